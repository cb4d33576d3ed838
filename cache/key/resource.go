package key

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/zeebo/xxh3"

	"github.com/penstock-edge/penstock/edge/config"
)

// What is stored belongs to what the target was asked, not to the route that asked: routes share it that
// ask the same pools for the same, wherever they stand in the file and whatever their names are.

// indifferent are the keys of a route that make no difference to an answer that is stored, or one that is
// in the rest of its key. Any other makes the answers those of routes with the same value alone, so that
// a key which is forgotten here costs hits and gives nothing wrong away.
var indifferent = []string{
	"name", "priority", // of the route itself
	"hosts", "path", "prefix", "query", "listeners", "schemes", // the URL is in the key
	"methods",                                              // only answers to GET are stored
	"rewrite", "strip_prefix", "preserve_host", "set_host", // what they make of it is in the key
	"pool", "split", // see pools
	"sticky", "mirror", // who is asked among these, and who hears of it
	"timeout", "trust_deadline", "retry_unsafe", "expect", "max_body_bytes",
	"rate_limits", "rate_cost", "priority_class",
	"redirect", "respond", // what the gateway itself answers is not stored
}

// Resource returns what of a route the keys of its answers begin with: the pools, and a hash of all keys
// that may make a difference and of the names of what else is in keys. The file is finished.
func Resource(t *config.Table, r *Rules) string {
	var rest strings.Builder
	keys := t.Keys()
	slices.Sort(keys)
	for _, key := range keys {
		v, _ := t.Value(key)
		switch {
		case slices.Contains(indifferent, key), key == "cache" && v.Table() == nil: // its name alone
		default:
			fmt.Fprintf(&rest, "%q=", key)
			writeValue(&rest, v)
		}
	}
	for _, name := range r.Headers {
		fmt.Fprintf(&rest, " header %q", name)
	}
	for _, name := range r.Cookies {
		fmt.Fprintf(&rest, " cookie %q", name)
	}
	text := strings.Join(pools(t), ",")
	if rest.Len() > 0 {
		sum := xxh3.HashString128(rest.String()).Bytes()
		text += " " + hex.EncodeToString(sum[:])
	}
	return text
}

// pools returns the names of the pools that may answer, in order.
func pools(t *config.Table) (names []string) {
	if v, ok := t.Value("pool"); ok {
		if name, ok := v.String(); ok {
			names = append(names, name)
		}
	}
	if v, ok := t.Value("split"); ok {
		for _, arm := range v.List() {
			weight := int64(1)
			if w, ok := arm.Table().Value("weight"); ok {
				weight, _ = w.Int()
			}
			p, _ := arm.Table().Value("pool")
			if name, _ := p.String(); weight > 0 {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// writeValue writes a value in a form that equal ones alone have.
func writeValue(b *strings.Builder, v config.Value) {
	if t := v.Table(); t != nil {
		keys := t.Keys()
		slices.Sort(keys)
		b.WriteByte('{')
		for _, key := range keys {
			one, _ := t.Value(key)
			fmt.Fprintf(b, "%q=", key)
			writeValue(b, one)
		}
		b.WriteByte('}')
		return
	}
	if list := v.List(); list != nil {
		b.WriteByte('[')
		for _, one := range list {
			writeValue(b, one)
		}
		b.WriteByte(']')
		return
	}
	if s, ok := v.String(); ok {
		fmt.Fprintf(b, "%q ", s)
		return
	}
	b.WriteString(v.Describe() + " ")
}
