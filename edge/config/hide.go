package config

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// expansion is what the file took from elsewhere, and how it is written there.
type expansion struct{ text, written string }

const (
	leastHidden = 4 // bytes; what is shorter stands in too many messages by chance, and hides nothing
	leastPart   = 8 // bytes; of a text of which only the beginning is shown
)

// hide notes that the file takes text from elsewhere by what is written. Parts of it, as of a URL with a
// password, are noted too, for messages that show only one.
func (f *File) hide(text, written string) {
	f.note(text, written)
	parts := strings.FieldsFunc(text, func(c rune) bool {
		return strings.ContainsRune(" \t\r\n:/@,;?&=#\"'", c)
	})
	for _, part := range parts {
		if len(part) >= leastPart {
			f.note(part, written)
		}
	}
}

func (f *File) note(text, written string) {
	for _, form := range []string{text, strings.ToLower(text), inner(strconv.Quote(text))} {
		e := expansion{form, written}
		if len(form) < leastHidden || slices.Contains(f.expansions, e) {
			continue
		}
		i, _ := slices.BinarySearchFunc(f.expansions, e, func(a, b expansion) int { // the longest first
			return cmp.Compare(len(b.text), len(a.text))
		})
		f.expansions = slices.Insert(f.expansions, i, e)
	}
}

// inner returns a quoted string without its quotes.
func inner(quoted string) string { return quoted[1 : len(quoted)-1] }

// Hide returns text in which all that the file takes from variables and from files of secrets is as it is
// written in the file: ${NAME}, or file:/path.
func (f *File) Hide(text string) string {
	for _, e := range f.expansions {
		text = e.hide(text)
	}
	return text
}

// hide replaces e.text, and what begins like it and was cut, in text.
func (e *expansion) hide(text string) string {
	if strings.Contains(e.written, e.text) {
		return text // as ${NAME} with the value NAME
	}
	start := e.text[:min(len(e.text), leastPart)]
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(text, start)
		b.WriteString(before)
		if !found {
			return b.String()
		}
		n := len(start)
		for n < len(e.text) && n-len(start) < len(rest) && rest[n-len(start)] == e.text[n] {
			n++
		}
		b.WriteString(e.written)
		text = rest[n-len(start):]
	}
}
