package route

import (
	"bytes"
	"regexp"
	"strconv"
	"strings"

	"github.com/penstock-edge/penstock/edge/lib/header"
)

// Predicate is a condition on one header field or query parameter. Value is compared exactly,
// except "*" (present), "!" (absent) and "~re" (an RE2 pattern that has to match the whole value).
//
// Of several fields or parameters of one name the first counts. A header field with an empty value
// counts as absent. Names and values of the query are percent-decoded, "+" is a space; a bad
// escape stands for itself; a value that needs decoding and is longer than 512 bytes decoded
// matches no pattern.
type Predicate struct{ Name, Value string }

// Headers is how predicates read the header: fasthttp.RequestHeader has it. The key is in
// canonical form (X-Request-Id); nil or empty stands for an absent field.
type Headers interface{ PeekCanonical(key []byte) []byte }

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
		canonicalName(c.name)
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

// holds reports whether the request meets p. scratch is overwritten.
func (p *predicate) holds(k *Key, scratch []byte) bool {
	if p.query {
		return p.holdsQuery(k.RawQuery, scratch)
	}
	var v []byte
	if k.Header != nil {
		v = k.Header.PeekCanonical(p.name)
	}
	switch p.kind {
	case equalValue:
		return bytes.Equal(v, p.value)
	case present:
		return len(v) > 0
	case absent:
		return len(v) == 0
	case matching:
		return len(v) > 0 && p.re.Match(v)
	}
	panic("BUG: unknown kind of predicate")
}

func (p *predicate) holdsQuery(raw, scratch []byte) bool {
	v, ok := queryValue(raw, p.name)
	switch p.kind {
	case equalValue:
		return ok && equalDecoded(v, p.value)
	case present:
		return ok
	case absent:
		return !ok
	case matching:
		if !ok {
			return false
		}
		v, ok = decoded(v, scratch)
		return ok && p.re.Match(v)
	}
	panic("BUG: unknown kind of predicate")
}

// why says why the request does not meet p.
func (p *predicate) why(k *Key) string {
	what := "header " + string(p.name)
	there := k.Header != nil && len(k.Header.PeekCanonical(p.name)) > 0
	if p.query {
		what = "query parameter " + strconv.Quote(string(p.name))
		_, there = queryValue(k.RawQuery, p.name)
	}
	switch {
	case p.kind == absent:
		return what + " is present"
	case !there:
		return what + " is absent"
	case p.kind == matching:
		return what + " does not match " + strconv.Quote(p.text[1:])
	}
	return what + " is not " + strconv.Quote(p.text)
}

// String returns p in a form that is equal for equal predicates only.
func (p *predicate) String() string {
	return strconv.FormatBool(p.query) + quote(string(p.name)) + quote(p.text)
}

// canonicalName writes name as fasthttp does: a capital at the start and after each hyphen.
func canonicalName(name []byte) {
	upper := true
	for i, c := range name {
		switch {
		case upper && 'a' <= c && c <= 'z':
			name[i] = c - ('a' - 'A')
		case !upper && 'A' <= c && c <= 'Z':
			name[i] = c + ('a' - 'A')
		}
		upper = c == '-'
	}
}

func quote(s string) string { return strconv.Quote(s) }
