// Package template makes text out of what a request says: "https://{host}/users/{params.id}". A template is
// parsed at load. Which names there are and what they stand for is its caller's affair; what this package
// sees to is that no value breaks the place where it is put.
//
//   - {name} is a value.
//   - {{ is a brace, and so is the }} that belongs to it: {{name}} is the text {name}.
//   - Any other brace of a body or a field is itself, so that JSON can be written as it is. In a URL it is a
//     mistake.
package template

import "strings"

// Place is where a text stands.
type Place uint8

// The places, each with what becomes of values there.
const (
	Text  Place = iota // a body: nothing
	JSON               // a string within JSON: what would end or break it is escaped
	HTML               // text or a quoted attribute of HTML: likewise
	Field              // the value of a field: control characters are left out
	Host               // the authority of a URL: a value that cannot stand there is refused
	Path               // of a URL: what is no name of a segment is percent-encoded
	Query              // of a URL: what is no name or value of a parameter is percent-encoded
)

// Form is how the values of a variable are written already.
type Form uint8

// The forms.
const (
	Plain     Form = iota // text that may hold any byte
	PathForm              // a path or a part of one, percent-encoded
	QueryForm             // a query, percent-encoded
	HostForm              // a host, perhaps with a port
)

// Var is what a name stands for. Kind, Name and N are a matter of its maker and of the Source.
type Var struct {
	Kind   int
	Name   []byte
	N      int
	Form   Form
	Rooted bool // values begin with a slash
}

// Names are the names that a template may use.
type Names interface {
	// Find returns what a name stands for.
	Find(name string) (Var, bool)
	// Known lists the names, for messages.
	Known() string
}

// Source has the values.
type Source interface {
	// AppendVar appends the value of v; nothing when there is none.
	AppendVar(dst []byte, v *Var) []byte
}

// Template is a parsed template. The zero value makes an empty text. Any number of goroutines may use it.
type Template struct {
	place  Place
	pieces []piece
}

// piece is literal text, or a variable.
type piece struct {
	text []byte // nil: v
	v    Var
}

// Parse reads a template for a place. The message is empty when all is well.
func Parse(text string, place Place, names Names) (t Template, message string) {
	t.place = place
	var literal []byte
	flush := func() {
		if len(literal) > 0 {
			t.pieces = append(t.pieces, piece{text: literal})
			literal = nil
		}
	}
	for len(text) > 0 {
		lit, name, n := next(text)
		before := text
		text = text[n:]
		if name == "" {
			if place >= Host && (before[0] == '{' || before[0] == '}') {
				return Template{}, stray(before)
			}
			literal = append(literal, lit...)
			continue
		}
		v, ok := names.Find(name)
		if !ok {
			return Template{}, "{" + name + "} is not known; known are " + names.Known()
		}
		flush()
		t.pieces = append(t.pieces, piece{v: v})
	}
	flush()
	return t, ""
}

// next cuts what stands first off text: n bytes that are the literal text lit, or a variable's name.
func next(text string) (lit, name string, n int) {
	if strings.HasPrefix(text, "{{") {
		if name = nameIn(text[1:]); name != "" && strings.HasPrefix(text[len(name)+3:], "}") {
			return "{" + name + "}", "", len(name) + 4
		}
		return "{", "", 2
	}
	if name = nameIn(text); name != "" {
		return "", name, len(name) + 2
	}
	return text[:1], "", 1
}

// nameIn returns the name that text begins with, which stands in braces; empty: there is none.
func nameIn(text string) string {
	inner, _, closed := strings.Cut(text, "}")
	if !closed || len(inner) < 2 || inner[0] != '{' {
		return ""
	}
	for i := 1; i < len(inner); i++ {
		c := inner[i]
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_'
		if !letter && (i == 1 || !('0' <= c && c <= '9' || c == '.' || c == '-')) {
			return ""
		}
	}
	return inner[1:]
}

// stray returns what is wrong with a brace in a URL.
func stray(text string) string {
	if text[0] == '{' && !strings.Contains(text, "}") {
		return "an opening brace without a closing one"
	}
	return "a brace has no place in a URL: write %7B or %7D"
}

// Add puts a variable at the end.
func (t *Template) Add(v Var) { t.pieces = append(t.pieces, piece{v: v}) }

// Uses reports whether a variable of the kind is in t.
func (t *Template) Uses(kind int) bool {
	for i := range t.pieces {
		if p := &t.pieces[i]; p.text == nil && p.v.Kind == kind {
			return true
		}
	}
	return false
}

// Before returns the text before a variable of the kind that stands last; not ok when t is anything else.
func (t *Template) Before(kind int) (literal string, ok bool) {
	n := len(t.pieces) - 1
	if n < 0 || n > 1 || t.pieces[n].text != nil || t.pieces[n].v.Kind != kind {
		return "", false
	}
	if n == 1 {
		literal = string(t.pieces[0].text)
	}
	return literal, n == 0 || t.pieces[0].text != nil
}

// Vars calls f with each variable, from left to right.
func (t *Template) Vars(f func(v *Var)) {
	for i := range t.pieces {
		if p := &t.pieces[i]; p.text == nil {
			f(&p.v)
		}
	}
}

// IsFixed reports whether t has no variables: it makes what Skeleton returns.
func (t *Template) IsFixed() bool {
	return len(t.pieces) == 0 || len(t.pieces) == 1 && t.pieces[0].text != nil
}

// Skeleton returns the text with an x in the place of each value, behind a slash where values begin with one:
// what its literal parts are can be checked as a whole.
func (t *Template) Skeleton() string {
	var b strings.Builder
	for i := range t.pieces {
		switch p := &t.pieces[i]; {
		case p.text != nil:
			b.Write(p.text)
		case p.v.Rooted:
			b.WriteString("/x")
		default:
			b.WriteByte('x')
		}
	}
	return b.String()
}

// Append appends the text that t makes of the values of src. ok is false when one of them cannot stand in its
// place, which only happens to a Host.
func (t *Template) Append(dst []byte, src Source) (_ []byte, ok bool) {
	for i := range t.pieces {
		p := &t.pieces[i]
		if p.text != nil {
			dst = append(dst, p.text...)
			continue
		}
		from := len(dst)
		dst = src.AppendVar(dst, &p.v)
		if dst, ok = escape(dst, from, t.place, p.v.Form); !ok {
			return dst, false
		}
	}
	return dst, true
}
