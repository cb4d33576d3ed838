package fresh

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"unicode/utf8"

	"github.com/dunglas/httpsfv"
)

// QueryRule is the parts of a query that an answer depends on, as its No-Vary-Search field has it
// (draft-ietf-httpbis-no-vary-search). The zero value is that of an answer without the field: on all.
type QueryRule struct {
	AnyOrder bool // the order of parameters with different names means nothing
	// Ignored: the answer does not depend on parameters, but on those with these names. Otherwise it depends
	// on all but those.
	Ignored bool
	Names   [][]byte // decoded
}

// mostNames bounds the names of a rule; a field with more is not obeyed.
const mostNames = 64

// ParseNoVarySearch reads the field; several lines are joined by commas. ok is false where it is not one, and
// the answer depends on all of the query.
func ParseNoVarySearch(value string) (q QueryRule, ok bool) {
	d, err := httpsfv.UnmarshalDictionary([]string{value})
	if err != nil {
		return q, false
	}
	if m, has := d.Get("key-order"); has {
		if q.AnyOrder, ok = boolean(m); !ok {
			return QueryRule{}, false
		}
	}
	if m, has := d.Get("params"); has {
		if q.Ignored, ok = boolean(m); !ok {
			if q.Names, ok = stringsOf(m); !ok {
				return QueryRule{}, false
			}
		}
	}
	if m, has := d.Get("except"); has {
		if q.Names, ok = stringsOf(m); !ok || !q.Ignored {
			return QueryRule{}, false
		}
	}
	return q, true
}

func boolean(m httpsfv.Member) (value, ok bool) {
	item, ok := m.(httpsfv.Item)
	if ok {
		value, ok = item.Value.(bool)
	}
	return value, ok
}

// stringsOf returns the members of an inner list of strings, decoded as names of parameters are.
func stringsOf(m httpsfv.Member) (list [][]byte, ok bool) {
	inner, ok := m.(httpsfv.InnerList)
	if !ok || len(inner.Items) > mostNames {
		return nil, false
	}
	for _, item := range inner.Items {
		s, ok := item.Value.(string)
		if !ok {
			return nil, false
		}
		list = append(list, decode([]byte(s)))
	}
	return list, true
}

// Default reports whether the answer depends on all of the query.
func (q *QueryRule) Default() bool { return !q.AnyOrder && !q.Ignored && len(q.Names) == 0 }

// Append appends a form of the rule that ParseRule reads.
func (q *QueryRule) Append(dst []byte) []byte {
	flags := byte(0)
	if q.AnyOrder {
		flags |= 1
	}
	if q.Ignored {
		flags |= 2
	}
	dst = append(dst, flags)
	for _, n := range q.Names {
		dst = append(binary.AppendUvarint(dst, uint64(len(n))), n...)
	}
	return dst
}

var errRule = errors.New("not a rule for queries")

// ParseRule reads what Append has written into q, whose room is used again. Names point into b.
func (q *QueryRule) ParseRule(b []byte) error {
	if len(b) == 0 || b[0] > 3 {
		return errRule
	}
	q.AnyOrder, q.Ignored, q.Names = b[0]&1 != 0, b[0]&2 != 0, q.Names[:0]
	for b = b[1:]; len(b) > 0; {
		n, used := binary.Uvarint(b)
		if used <= 0 || n > uint64(len(b)-used) {
			return errRule
		}
		b = b[used:]
		q.Names = append(q.Names, b[:n:n])
		b = b[n:]
	}
	return nil
}

// parameter is one of a query, as it came.
type parameter struct{ name, value []byte }

// AppendQuery appends the form of a query that all those have on which the answer does not depend in another
// way. What it appends says the same as what is left of the query.
func (q *QueryRule) AppendQuery(dst, query []byte) []byte {
	if q.Default() {
		return append(dst, query...)
	}
	var room [16]parameter
	list := room[:0]
	for len(query) > 0 {
		var pair []byte
		pair, query, _ = bytes.Cut(query, ampersand)
		if len(pair) == 0 {
			continue
		}
		name, value, _ := bytes.Cut(pair, equals)
		if q.matters(name) {
			list = append(list, parameter{name, value})
		}
	}
	if q.AnyOrder {
		slices.SortStableFunc(list, func(a, b parameter) int { return compareDecoded(a.name, b.name) })
	}
	for i, p := range list {
		if i > 0 {
			dst = append(dst, '&')
		}
		dst = append(appendEncoded(dst, p.name), '=')
		dst = appendEncoded(dst, p.value)
	}
	return dst
}

// matters reports whether the answer depends on parameters with a name, which is as it came.
func (q *QueryRule) matters(name []byte) bool {
	for _, n := range q.Names {
		if equalDecoded(name, n) {
			return q.Ignored
		}
	}
	return !q.Ignored
}

// first returns the first character of a part of a query as application/x-www-form-urlencoded has it, and
// how many bytes stand for it. What is no UTF-8 is U+FFFD: one for the beginning of a character that has no
// end, and one for a byte that begins none. Queries that differ only there are the same for the draft.
func first(b []byte) (r rune, n int) {
	if c := b[0]; c < utf8.RuneSelf && c != '%' && c != '+' {
		return rune(c), 1 // most are
	}
	return encoded(b)
}

// encoded is first for what has more bytes than one, or may have.
func encoded(b []byte) (r rune, n int) {
	c, n := octet(b)
	if c < utf8.RuneSelf {
		return rune(c), n
	}
	var text [utf8.UTFMax]byte
	var ends [utf8.UTFMax]int // in b
	have := 0
	for at := 0; at < len(b) && have < len(text); have++ {
		text[have], n = octet(b[at:])
		at += n
		ends[have] = at
	}
	r, size := utf8.DecodeRune(text[:have])
	if size == 1 {
		for size < have && !utf8.FullRune(text[:size+1]) {
			size++
		}
	}
	return r, ends[size-1]
}

// octet returns the first byte, and how many stand for it.
func octet(b []byte) (c byte, n int) {
	switch {
	case b[0] == '+':
		return ' ', 1
	case b[0] == '%' && len(b) > 2:
		hi, lo := hex(b[1]), hex(b[2])
		if hi >= 0 && lo >= 0 {
			return byte(hi<<4 | lo), 3
		}
	}
	return b[0], 1
}

func hex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

func decode(b []byte) (out []byte) {
	for len(b) > 0 {
		r, n := first(b)
		out, b = utf8.AppendRune(out, r), b[n:]
	}
	return out
}

// equalDecoded reports whether a part of a query stands for want, which is UTF-8.
func equalDecoded(b, want []byte) bool {
	for len(b) > 0 {
		r, n := first(b)
		w, m := utf8.DecodeRune(want)
		if m == 0 || r != w {
			return false
		}
		b, want = b[n:], want[m:]
	}
	return len(want) == 0
}

func compareDecoded(a, b []byte) int {
	for len(a) > 0 && len(b) > 0 {
		c, n := first(a)
		d, m := first(b)
		if c != d {
			return int(c) - int(d)
		}
		a, b = a[n:], b[m:]
	}
	return len(a) - len(b)
}

// appendEncoded appends a part of a query in the one way in which everything can be written.
func appendEncoded(dst, b []byte) []byte {
	const digits = "0123456789ABCDEF"
	for len(b) > 0 {
		r, n := first(b)
		b = b[n:]
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9',
			r == '-', r == '.', r == '_', r == '~':
			dst = append(dst, byte(r))
			continue
		}
		var text [utf8.UTFMax]byte
		for _, c := range text[:utf8.EncodeRune(text[:], r)] {
			dst = append(dst, '%', digits[c>>4], digits[c&15])
		}
	}
	return dst
}

var (
	ampersand = []byte("&")
	equals    = []byte("=")
)
