package metric

import (
	"cmp"
	"slices"
	"strings"
	"unicode/utf8"
)

// checkName panics unless the name of a metric fits its type, so that what is written
// is clean under promtool by construction.
func checkName(name string, k kind) {
	ok := isName(name, true)
	switch k {
	case counter:
		ok = ok && strings.HasSuffix(name, "_total")
	case histogram:
		ok = ok && strings.HasSuffix(name, "_seconds")
	case gauge:
		for _, suffix := range []string{"_total", "_count", "_sum", "_bucket"} {
			ok = ok && !strings.HasSuffix(name, suffix)
		}
	}
	if !ok {
		panic("BUG: metric " + name + " is no name for a " + k.String())
	}
}

// checkLabel checks one of the names of sorted labels; before is the one before it, "" for none.
func checkLabel(metric, name, before string) {
	reserved := name == "le" || name == "quantile" || strings.HasPrefix(name, "__")
	if reserved || !isName(name, false) || name == before {
		panic("BUG: metric " + metric + " cannot have the label " + name)
	}
}

// checkLabels wants sorted labels.
func checkLabels(metric string, labels []string) {
	before := ""
	for i := 0; i < len(labels); i += 2 {
		checkLabel(metric, labels[i], before)
		before = labels[i]
	}
}

func isName(s string, colons bool) bool {
	for i := range len(s) {
		c := s[i]
		letter := c|0x20 >= 'a' && c|0x20 <= 'z' || c == '_' || c == ':' && colons
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}

// sortLabels returns the pairs in the order of their names, the same slice if they are.
func sortLabels(metric string, labels []string) []string {
	if len(labels)%2 != 0 {
		panic("BUG: metric " + metric + " has a label without value")
	}
	sorted := true
	for i := 2; i < len(labels); i += 2 {
		sorted = sorted && labels[i-2] <= labels[i]
	}
	if sorted {
		return labels
	}
	pairs := make([][2]string, 0, len(labels)/2)
	for i := 0; i < len(labels); i += 2 {
		pairs = append(pairs, [2]string{labels[i], labels[i+1]})
	}
	slices.SortFunc(pairs, func(a, b [2]string) int { return cmp.Compare(a[0], b[0]) })
	labels = make([]string, 0, len(labels))
	for _, p := range pairs {
		labels = append(labels, p[0], p[1])
	}
	return labels
}

// appendLabels appends the pairs as they stand between braces.
func appendLabels(dst []byte, labels []string) []byte {
	for i := 0; i < len(labels); i += 2 {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, labels[i]...)
		dst = append(dst, '=', '"')
		dst = appendEscaped(dst, labels[i+1], true)
		dst = append(dst, '"')
	}
	return dst
}

// appendEscaped appends the value of a label or, without quotes, the text of a HELP
// line. The format is UTF-8: what is not becomes U+FFFD.
func appendEscaped(dst []byte, s string, quotes bool) []byte {
	if isPlain(s) {
		return append(dst, s...)
	}
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\ufffd")
	}
	for i := range len(s) {
		switch c := s[i]; {
		case c == '\n':
			dst = append(dst, '\\', 'n')
		case c == '\\' || c == '"' && quotes:
			dst = append(dst, '\\', c)
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

// isPlain reports whether s is ASCII in which nothing needs an escape.
func isPlain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
