package route

import (
	"bytes"
	"regexp"
	"strconv"
	"strings"

	"github.com/penstock-edge/penstock/edge/lib/header"
	"github.com/penstock-edge/penstock/edge/lib/values"
)

// Predicate is a condition on one header field or query parameter. Value is compared exactly,
// except "*" (present), "!" (absent) and "~re" (an RE2 pattern that has to match the whole value).
//
// Of several fields or parameters of one name each counts: one that has the value is enough. A header field
// with an empty value counts as absent. Names and values of the query are percent-decoded, "+" is a space; a
// bad escape stands for itself; a value that needs decoding and is longer than 512 bytes decoded
// matches no pattern, nor does any value of more than 8 KiB.
type Predicate struct{ Name, Value string }

type predicateKind byte

const (
	equalValue predicateKind = iota
	present
	absent
	matching
)

// predicate is a compiled Predicate.
type predicate struct {
	kind  predicateKind
	query bool // of the query; otherwise of the header
	name  []byte
	value []byte
	re    *regexp.Regexp
	text  string // Value as it was given
}

// compilePredicate checks p. The message is empty if all is well.
func compilePredicate(p Predicate, query bool, exprs expressions) (c predicate, message string) {
	c = predicate{query: query, name: []byte(p.Name), value: []byte(p.Value), text: p.Value}
	if !query {
		if !header.IsToken(p.Name) {
			return c, quote(p.Name) + " is not a header name"
		}
		c.name = []byte(header.Canonical(p.Name))
	}
	expr, isPattern := strings.CutPrefix(p.Value, "~")
	switch {
	case p.Name == "":
		return c, "the name is empty"
	case p.Value == "*":
		c.kind = present
	case p.Value == "!":
		c.kind = absent
	case isPattern:
		re, err := exprs.compile(expr)
		if err != nil {
			return c, quote(p.Name) + ": " + err.Error()
		}
		c.kind, c.re = matching, re
	case p.Value == "" && !query:
		return c, quote(p.Name) + ` has an empty value: write "!" for an absent header`
	}
	return c, ""
}

// holds reports whether the request meets p. m lends its room.
func (p *predicate) holds(k *Key, m *Match) bool {
	if p.query {
		return p.holdsQuery(k, m)
	}
	if k.Header == nil {
		return p.kind == absent
	}
	name := header.View(p.name)
	switch p.kind {
	case present:
		return k.Header.Has(name)
	case absent:
		return !k.Header.Has(name)
	}
	for v := range k.Header.All(name) {
		if len(v) > 0 && p.takes(k, v) {
			return true
		}
	}
	return false
}

// takes reports whether a plain value is the one that p wants.
func (p *predicate) takes(k *Key, v []byte) bool {
	if p.kind == matching {
		return k.test(p.re, v)
	}
	return bytes.Equal(v, p.value)
}

func (p *predicate) holdsQuery(k *Key, m *Match) bool {
	v, rest, ok := values.NextParam(k.RawQuery, p.name)
	switch p.kind {
	case present:
		return ok
	case absent:
		return !ok
	}
	for ; ok; v, rest, ok = values.NextParam(rest, p.name) {
		if p.kind == equalValue {
			if values.EqualDecoded(v, p.value) {
				return true
			}
			continue
		}
		if plain, fits := values.Decoded(v, m.room()); fits && k.test(p.re, plain) {
			return true
		}
	}
	return false
}

// why returns why the request does not meet p.
func (p *predicate) why(k *Key) string {
	what := "header " + string(p.name)
	there := k.Header != nil && k.Header.Has(string(p.name))
	if p.query {
		what = "query parameter " + strconv.Quote(string(p.name))
		_, _, there = values.NextParam(k.RawQuery, p.name)
	}
	switch {
	case p.kind == absent:
		return what + " is present"
	case !there:
		return what + " is absent"
	case p.kind == matching && p.tooLong(k):
		return what + " is longer than 8 KiB: no pattern matches it"
	case p.kind == matching:
		return what + " does not match " + strconv.Quote(p.text[1:])
	}
	return what + " is not " + strconv.Quote(p.text)
}

// tooLong reports whether the header has a value that is too long for patterns.
func (p *predicate) tooLong(k *Key) bool {
	if p.query {
		return false
	}
	for v := range k.Header.All(string(p.name)) {
		if len(v) > longest {
			return true
		}
	}
	return false
}

// String returns p in a form that is equal for equal predicates only.
func (p *predicate) String() string {
	return strconv.FormatBool(p.query) + quote(string(p.name)) + quote(p.text)
}

func quote(s string) string { return strconv.Quote(s) }
