package fresh

import (
	"strconv"

	"github.com/dunglas/httpsfv"
)

// AddTargeted takes in a targeted field, whose lines are joined by commas (RFC 9213 section 2.1). It returns
// false, and takes in nothing, where the field is no dictionary (RFC 9651 section 3.2) or an empty one: it
// does not count then. Parameters are passed over, and so are numbers that are none.
func (d *Directives) AddTargeted(value string) bool {
	dict, err := httpsfv.UnmarshalDictionary([]string{value})
	if err != nil || len(dict.Names()) == 0 {
		return false
	}
	d.Present = true
	for _, name := range dict.Names() {
		m, _ := dict.Get(name) // it has the name
		item, ok := m.(httpsfv.Item)
		if !ok {
			d.forbid(name)
			continue
		}
		switch v := item.Value.(type) {
		case bool:
			if v && !numeric(name) {
				d.set([]byte(name), nil, false)
			}
		case int64:
			if v >= 0 && numeric(name) {
				d.set([]byte(name), strconv.AppendInt(nil, v, 10), true)
			} else {
				d.forbid(name)
			}
		case string:
			if name == "private" || name == "no-cache" {
				d.set([]byte(name), []byte(v), true)
			} else {
				d.forbid(name)
			}
		default:
			d.forbid(name)
		}
	}
	return true
}

func numeric(name string) bool {
	switch name {
	case "max-age", "s-maxage", "stale-while-revalidate", "stale-if-error":
		return true
	}
	return false
}

// forbid takes in a directive that has a value of a kind it should not have, if it forbids something.
func (d *Directives) forbid(name string) {
	switch name {
	case "no-store", "no-cache", "private", "must-revalidate", "proxy-revalidate", "no-transform":
		d.set([]byte(name), nil, false)
	}
}
