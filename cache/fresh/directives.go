// Package fresh is the arithmetic of RFC 9111 as pure functions: what a shared cache may store, for how
// long it is fresh, and what it may be used for after that. Times are milliseconds since 1970, spans
// milliseconds.
package fresh

import "bytes"

// Directives are those of a Cache-Control field, or of one that stands in for it. Spans are in seconds;
// less than 0: absent. What says the same thing twice in two ways counts in the stricter one.
type Directives struct {
	MaxAge, SMaxAge                    int64
	StaleWhileRevalidate, StaleIfError int64
	MaxStale                           int64 // of a request; Any: however old
	MinFresh                           int64

	NoCache, NoStore, Private, Public, MustRevalidate, ProxyRevalidate bool
	MustUnderstand, NoTransform, OnlyIfCached, Immutable               bool

	// NoCacheFields and PrivateFields are the names of fields that alone the directive is about, as they
	// stand in the field: with commas and spaces. NoCache and Private are false then.
	NoCacheFields, PrivateFields [2][]byte

	// Present reports whether there was a field.
	Present bool
}

// Any is a MaxStale without a number.
const Any = int64(1) << 40

// most is what larger numbers of seconds become, RFC 9111 section 1.2.2.
const most = int64(1) << 31

// Reset makes d that of a message without the field.
func (d *Directives) Reset() {
	*d = Directives{MaxAge: -1, SMaxAge: -1, StaleWhileRevalidate: -1, StaleIfError: -1, MaxStale: -1,
		MinFresh: -1}
}

// Add takes in one line of the field. What it does not know it passes over (section 5.2.3).
func (d *Directives) Add(value []byte) {
	d.Present = true
	for len(value) > 0 {
		var name, arg []byte
		var has bool
		name, arg, has, value = next(value)
		d.set(name, arg, has)
	}
}

// AppendIndifferent appends the directives of a request's line to dst but for those that ask for something
// fresher than what is fresh: no-cache, max-age and min-fresh.
func AppendIndifferent(dst, value []byte) []byte {
	for len(value) > 0 {
		name, _, _, rest := next(value)
		text := bytes.Trim(value[:len(value)-len(rest)], " \t,")
		value = rest
		if len(name) == 0 || is(name, "no-cache") || is(name, "max-age") || is(name, "min-fresh") {
			continue
		}
		if len(dst) > 0 {
			dst = append(dst, ", "...)
		}
		dst = append(dst, text...)
	}
	return dst
}

// next takes a directive off the beginning: its name, and its argument without quotes.
func next(b []byte) (name, arg []byte, has bool, rest []byte) {
	b = bytes.TrimLeft(b, " \t,")
	end := bytes.IndexAny(b, "=,")
	if end < 0 {
		return bytes.TrimRight(b, " \t"), nil, false, nil
	}
	name = bytes.TrimRight(b[:end], " \t")
	if b[end] == ',' {
		return name, nil, false, b[end+1:]
	}
	b = bytes.TrimLeft(b[end+1:], " \t")
	if len(b) > 0 && b[0] == '"' {
		arg, b = quoted(b[1:])
	} else {
		at := bytes.IndexByte(b, ',')
		if at < 0 {
			at = len(b)
		}
		arg, b = bytes.TrimRight(b[:at], " \t"), b[at:]
	}
	if at := bytes.IndexByte(b, ','); at >= 0 {
		return name, arg, true, b[at+1:]
	}
	return name, arg, true, nil
}

// quoted takes a quoted string off the beginning, whose first quote has been taken. Escapes stay as
// they are: neither numbers nor names of fields have any.
func quoted(b []byte) (text, rest []byte) {
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return b[:i], b[i+1:]
		}
	}
	return b, nil // without an end: all that is left
}

func (d *Directives) set(name, arg []byte, has bool) {
	switch {
	case is(name, "max-age"):
		tighten(&d.MaxAge, arg)
	case is(name, "s-maxage"):
		tighten(&d.SMaxAge, arg)
	case is(name, "stale-while-revalidate"):
		tighten(&d.StaleWhileRevalidate, arg)
	case is(name, "stale-if-error"):
		tighten(&d.StaleIfError, arg)
	case is(name, "min-fresh"):
		d.MinFresh = max(d.MinFresh, seconds(arg))
	case is(name, "max-stale"):
		if !has {
			d.MaxStale = max(d.MaxStale, Any)
			return
		}
		d.MaxStale = max(d.MaxStale, seconds(arg))
	case is(name, "no-cache"):
		if len(arg) == 0 || !d.name(&d.NoCacheFields, arg) {
			d.NoCache = true
		}
	case is(name, "private"):
		if len(arg) == 0 || !d.name(&d.PrivateFields, arg) {
			d.Private = true
		}
	case is(name, "no-store"):
		d.NoStore = true
	case is(name, "public"):
		d.Public = true
	case is(name, "must-revalidate"):
		d.MustRevalidate = true
	case is(name, "proxy-revalidate"):
		d.ProxyRevalidate = true
	case is(name, "must-understand"):
		d.MustUnderstand = true
	case is(name, "no-transform"):
		d.NoTransform = true
	case is(name, "only-if-cached"):
		d.OnlyIfCached = true
	case is(name, "immutable"):
		d.Immutable = true
	}
}

// name keeps the names of fields; false: there is no more room, and the directive is about the whole
// answer.
func (d *Directives) name(into *[2][]byte, arg []byte) bool {
	for i := range into {
		if into[i] == nil {
			into[i] = arg
			return true
		}
	}
	return false
}

// tighten takes the smaller number; one that is none counts as 0 (section 4.2.1: treat it as stale).
func tighten(n *int64, arg []byte) {
	s := max(seconds(arg), 0)
	if *n < 0 || s < *n {
		*n = s
	}
}

// seconds reads a number of seconds; less than 0: it is none.
func seconds(b []byte) int64 {
	if len(b) == 0 {
		return -1
	}
	n := int64(0)
	for _, c := range b {
		if c < '0' || c > '9' {
			return -1
		}
		n = min(n*10+int64(c-'0'), most)
	}
	return n
}

// is compares a name without regard to case; want is lower-case.
func is(name []byte, want string) bool {
	if len(name) != len(want) {
		return false
	}
	for i, c := range name {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != want[i] {
			return false
		}
	}
	return true
}
