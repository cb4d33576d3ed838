package route

import (
	"bytes"
	"strings"
)

// span is where in the path a parameter's value stands.
type span struct{ from, to int32 }

// matcher matches one segment that has text around its parameters: prefix, parameter, separator,
// parameter, … suffix. Every parameter takes at least one byte. The split is made from the right:
// the last separator that leaves the last parameter a byte, then the last one before that, and so
// on. It depends on the literal text alone and is found in one pass; expressions are asked about
// the parts afterwards. So a segment costs its length, whatever it holds.
type matcher struct {
	prefix, suffix []byte   // canonical text, as the separators
	separators     [][]byte // between the parameters: one fewer than they are
	params         []param
}

// addText and addParam fill the matcher from left to right.
func (m *matcher) addText(text string) {
	if len(m.params) == 0 {
		m.prefix = []byte(text)
	} else {
		m.suffix = []byte(text)
	}
}

func (m *matcher) addParam(q param) (message string) {
	if len(m.params) > 0 {
		if len(m.suffix) == 0 {
			return "two parameters must have text between them"
		}
		m.separators = append(m.separators, m.suffix)
		m.suffix = nil
	}
	m.params = append(m.params, q)
	return ""
}

// shape returns the segment without the parameters' names. Canonical text has no braces, so two
// segments of one shape match the same texts.
func (m *matcher) shape() string {
	var b strings.Builder
	b.Write(m.prefix)
	for i, q := range m.params {
		if i > 0 {
			b.Write(m.separators[i-1])
		}
		b.WriteByte('{')
		if q.expr != "" {
			b.WriteByte(':')
			b.WriteString(q.expr)
		}
		b.WriteByte('}')
	}
	b.Write(m.suffix)
	return b.String()
}

// match reports whether k.Path[lo:hi] fits, and writes where the values stand to spans.
func (m *matcher) match(k *Key, lo, hi int, spans []span) bool {
	return m.split(k.Path, lo, hi, spans) && m.valid(k, k.Path, spans)
}

// split is match with the expressions left aside.
func (m *matcher) split(path []byte, lo, hi int, spans []span) bool {
	seg := path[lo:hi]
	if len(seg) < len(m.prefix)+len(m.suffix)+1 ||
		!bytes.HasPrefix(seg, m.prefix) || !bytes.HasSuffix(seg, m.suffix) {
		return false
	}
	lo, hi = lo+len(m.prefix), hi-len(m.suffix)
	for i := len(m.separators); i > 0; i-- {
		sep := m.separators[i-1]
		at := -1
		if lo < hi {
			at = bytes.LastIndex(path[lo:hi-1], sep)
		}
		if at < 0 {
			return false
		}
		spans[i] = span{int32(lo + at + len(sep)), int32(hi)}
		hi = lo + at
	}
	spans[0] = span{int32(lo), int32(hi)}
	return lo < hi
}

func (m *matcher) valid(k *Key, path []byte, spans []span) bool {
	for i := range m.params {
		if re := m.params[i].re; re != nil && !k.test(re, path[spans[i].from:spans[i].to]) {
			return false
		}
	}
	return true
}
