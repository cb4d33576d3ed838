// Package accept reads what clients accept: lists of preferences, in one form for all that say the same, and
// content codings, with the slots by which answers that differ by them are told apart.
package accept

import (
	"bytes"
	"slices"
	"strconv"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/header"
)

// IsAcceptEncoding reports whether a field, by its name in canonical form, is Accept-Encoding.
func IsAcceptEncoding(name []byte) bool { return string(name) == "Accept-Encoding" }

// IsPreference reports whether a field, by its name in canonical form, is a list of preferences with
// weights.
func IsPreference(name []byte) bool {
	switch string(name) {
	case "Accept", "Accept-Language", "Accept-Charset":
		return true
	}
	return false
}

// mostPreferences bounds how many elements are brought into order. A list with more stays as it came, as
// does one with a quoted string that has no end.
const mostPreferences = 64

// preference is an element of a list.
type preference struct {
	from, to int32 // in what it was appended to
	weight   int32 // thousandths
}

// AppendPreferences appends a list of preferences: its lines joined, names in lower case, without white
// space, weights of 1 and what stands twice, the greatest weight first and equal ones in the order of
// their bytes. It appends nothing when the field is missing or empty.
func AppendPreferences(dst []byte, x *edge.Exchange, name []byte) []byte {
	at := len(dst)
	dst = x.Req.AppendList(dst, header.View(name))
	if isNormal(dst[at:]) {
		return dst
	}
	mid := len(dst)
	dst = normalPreferences(dst, at)
	return dst[:at+copy(dst[at:], dst[mid:])]
}

// isNormal reports whether a list is nothing, or one element that has its normal form.
func isNormal(list []byte) bool {
	for _, c := range list {
		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '*', c == '/', c == '-', c == '+', c == '.':
		default:
			return false
		}
	}
	return true
}

// normalPreferences appends the normal form of what dst has from at on.
func normalPreferences(dst []byte, at int) []byte {
	var room [12]preference // more would grow the stack of most requests
	list := room[:0]
	mid := len(dst)
	for rest := dst[at:mid:mid]; len(rest) > 0; {
		var one []byte
		var ended bool
		one, rest, ended = cutOutside(rest, ',')
		if !ended {
			return append(dst[:mid], dst[at:mid]...) // in another place the quoted string would take in what follows
		}
		from := len(dst)
		var weight int
		if dst, weight = appendPreference(dst, one); len(dst) == from {
			continue
		}
		if len(list) == mostPreferences {
			return append(dst[:mid], dst[at:mid]...)
		}
		list = insert(list, preference{int32(from), int32(len(dst)), int32(weight)}, dst)
	}
	end := len(dst)
	for i, p := range list {
		if i > 0 {
			dst = append(dst, ", "...)
		}
		dst = append(dst, dst[p.from:p.to]...)
	}
	return append(dst[:mid], dst[end:]...)
}

// insert puts an element where it belongs in a list, unless it is there already. text is what they stand
// in.
func insert(list []preference, p preference, text []byte) []preference {
	i := len(list)
	for ; i > 0; i-- {
		before := list[i-1]
		c := int(before.weight - p.weight)
		if c == 0 {
			c = bytes.Compare(text[p.from:p.to], text[before.from:before.to])
		}
		if c == 0 {
			return list
		}
		if c > 0 {
			break
		}
	}
	return slices.Insert(list, i, p)
}

// appendPreference appends an element in normal form and returns its weight.
func appendPreference(dst, one []byte) (_ []byte, weight int) {
	value, rest, _ := cutOutside(one, ';')
	dst, weight = AppendLower(dst, bytes.TrimSpace(value)), 1000
	for len(rest) > 0 {
		var param []byte
		param, rest, _ = cutOutside(rest, ';')
		name, value, has := bytes.Cut(param, []byte{'='})
		if name, value = bytes.TrimSpace(name), bytes.TrimSpace(value); len(name)+len(value) == 0 {
			continue
		}
		at := len(dst)
		dst = AppendLower(append(dst, ';'), name)
		if has {
			dst = append(append(dst, '='), value...)
		}
		if !header.SameName(name, "q") {
			continue
		}
		if w, ok := weightOf(value); ok {
			weight = w
			dst = appendWeight(dst[:at], w)
		}
	}
	return dst, weight
}

// weightOf reads a weight (RFC 9110 section 12.4.2) in thousandths.
func weightOf(b []byte) (thousandths int, ok bool) {
	if len(b) == 0 || len(b) > len("0.000") || b[0] != '0' && b[0] != '1' || len(b) > 1 && b[1] != '.' {
		return 0, false
	}
	thousandths = int(b[0]-'0') * 1000
	unit := 100
	for i := 2; i < len(b); i++ {
		if b[i] < '0' || b[i] > '9' {
			return 0, false
		}
		thousandths += int(b[i]-'0') * unit
		unit /= 10
	}
	return thousandths, thousandths <= 1000
}

// appendWeight appends a weight, unless it is 1, in as few digits as it takes.
func appendWeight(dst []byte, thousandths int) []byte {
	switch thousandths {
	case 1000:
		return dst
	case 0:
		return append(dst, ";q=0"...)
	}
	dst = append(dst, ";q=0."...)
	at := len(dst)
	dst = strconv.AppendInt(dst, int64(1000+thousandths), 10)
	dst = append(dst[:at], dst[at+1:]...) // the 1 that keeps the zeros behind the point
	return bytes.TrimRight(dst, "0")
}

// cutOutside cuts b at the first sep that is not in a quoted string. ended reports whether such a
// string has an end.
func cutOutside(b []byte, sep byte) (before, after []byte, ended bool) {
	quoted := false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case c == sep && !quoted:
			return b[:i], b[i+1:], true
		}
	}
	return b, nil, !quoted
}

// AppendLower appends b in lower case.
func AppendLower(dst, b []byte) []byte {
	at := len(dst)
	dst = append(dst, b...)
	lower(dst[at:])
	return dst
}

func lower(b []byte) {
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
}
