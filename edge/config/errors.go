package config

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// Error is one mistake in a configuration file, with the place it was made at.
type Error struct {
	File    string `json:"file"`
	Line    int    `json:"line"` // from 1
	Col     int    `json:"col"`  // from 1, in bytes
	Key     string `json:"key,omitempty"`
	Message string `json:"message"`
	Suggest string `json:"suggest,omitempty"` // what was probably meant; "" when nothing is near
	// Known are the names that there are, when the mistake is one that is not.
	Known []string `json:"known,omitempty"`
}

// Error returns FILE:LINE:COL: key: message (did you mean "x"?); known: x, y, on one line.
func (e Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	b.WriteByte(':')
	b.WriteString(strconv.Itoa(e.Line))
	b.WriteByte(':')
	b.WriteString(strconv.Itoa(e.Col))
	b.WriteString(": ")
	if e.Key != "" {
		b.WriteString(e.Key)
		b.WriteString(": ")
	}
	b.WriteString(oneLine(e.Message))
	if e.Suggest != "" {
		b.WriteString(" (did you mean ")
		b.WriteString(strconv.Quote(e.Suggest))
		b.WriteString("?)")
	}
	if len(e.Known) > 0 {
		b.WriteString("; known: ")
		b.WriteString(oneLine(strings.Join(e.Known, ", ")))
	}
	return b.String()
}

// oneLine keeps a message from a file's own text, or from the system, on its line.
func oneLine(s string) string {
	if !strings.ContainsAny(s, "\r\n") {
		return s
	}
	return strings.NewReplacer("\r\n", " ", "\n", " ", "\r", " ").Replace(s)
}

// Errors are all the mistakes of one file in the order of their places. Nil means that there are none.
type Errors []Error

// Error returns one line per mistake, without a newline at the end.
func (es Errors) Error() string {
	lines := make([]string, len(es))
	for i, e := range es {
		lines[i] = e.Error()
	}
	return strings.Join(lines, "\n")
}

// Err returns es as an error, and a plain nil when there is no mistake.
func (es Errors) Err() error {
	if len(es) == 0 {
		return nil
	}
	return es
}

func (es Errors) sort() {
	slices.SortStableFunc(es, func(a, b Error) int {
		return cmp.Or(
			cmp.Compare(a.Line, b.Line),
			cmp.Compare(a.Col, b.Col),
			cmp.Compare(a.Key, b.Key),
			cmp.Compare(a.Message, b.Message),
		)
	})
}
