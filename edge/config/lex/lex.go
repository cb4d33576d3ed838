// Package lex finds where the strings, comments and keys of a TOML text begin and end, without reading it.
package lex

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// SkipString returns the offset after the string that starts at i, be it on one line or on many.
// A string on one line ends at the latest with its line.
func SkipString(text string, i int) int {
	quote := text[i]
	if !isTriple(text[i:], quote) {
		return SkipLineString(text, i)
	}
	for i += 3; i < len(text); i++ {
		switch {
		case text[i] == '\\' && quote == '"':
			i++
		case isTriple(text[i:], quote):
			// Quotes may stand before the closing three: the whole run belongs to the string.
			for i += 3; i < len(text) && text[i] == quote; i++ {
			}
			return i
		}
	}
	return len(text)
}

// SkipLineString returns the offset after the string on one line that starts at i: after its quote, or at the
// end of the line.
func SkipLineString(text string, i int) int {
	quote := text[i]
	for i++; i < len(text) && text[i] != '\n'; i++ {
		switch {
		case text[i] == '\\' && quote == '"':
			i++
		case text[i] == quote:
			return i + 1
		}
	}
	return min(i, len(text))
}

func isTriple(text string, quote byte) bool {
	return len(text) >= 3 && text[0] == quote && text[1] == quote && text[2] == quote
}

// SkipComment returns the offset of the end of the line in which the comment at i stands.
func SkipComment(text string, i int) int {
	if n := strings.IndexByte(text[i:], '\n'); n >= 0 {
		return i + n
	}
	return len(text)
}

// IsBareKeyByte reports whether c can stand in a key without quotes.
func IsBareKeyByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '-'
}

// Unquote returns what a quoted key, with its quotes, stands for. A bad escape stands for itself.
func Unquote(quoted string) string {
	if len(quoted) < 2 {
		return quoted
	}
	inner := quoted[1 : len(quoted)-1]
	if quoted[0] == '\'' || !strings.Contains(inner, `\`) {
		return inner
	}
	var b []byte
	for i := 0; i < len(inner); {
		if inner[i] != '\\' || i+1 == len(inner) {
			b = append(b, inner[i])
			i++
			continue
		}
		var used int
		b, used = appendEscape(b, inner[i+1:])
		i += 1 + used
	}
	return string(b)
}

// appendEscape appends what the escape after a backslash stands for and returns its length.
func appendEscape(b []byte, escape string) ([]byte, int) {
	const short, bytes = `btnfre"\`, "\b\t\n\f\r\x1b\"\\"
	if i := strings.IndexByte(short, escape[0]); i >= 0 {
		return append(b, bytes[i]), 1
	}
	digits := 0
	switch escape[0] {
	case 'x':
		digits = 2
	case 'u':
		digits = 4
	case 'U':
		digits = 8
	}
	if digits == 0 || len(escape) < 1+digits {
		return append(b, '\\', escape[0]), 1
	}
	code, err := strconv.ParseUint(escape[1:1+digits], 16, 32)
	if err != nil || code > utf8.MaxRune {
		return append(b, '\\', escape[0]), 1
	}
	return utf8.AppendRune(b, rune(code)), 1 + digits
}
