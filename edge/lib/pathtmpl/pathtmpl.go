// Package pathtmpl makes a new path out of the parameters of an old one: "/users/{id}/{path...}".
package pathtmpl

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
)

// rest is what stands for the rest of the old path in a template.
const rest = "path..."

// Template is a parsed template. The zero value makes an empty path.
type Template struct{ pieces []piece }

// piece is literal text, or what a request puts in its place.
type piece struct {
	text  []byte
	param int // index of the parameter, or one of the constants below
}

const (
	isText = -1
	isRest = -2
)

// Params are the parameters of an old path by their place in its pattern, from 0.
type Params interface {
	ParamAt(i int) []byte
}

// Parse reads a template over parameters of the given names. On a route with a prefix, one that ends with a
// slash gets the rest of the path added, unless it says where the rest goes. The skeleton is the template
// with an x in every parameter's place, for the caller to check: values go in as they are. The message is
// empty when all is well.
func Parse(text string, names []string, prefixed bool) (t Template, skeleton, message string) {
	var b strings.Builder
	for left := text; ; {
		literal, after, open := strings.Cut(left, "{")
		b.WriteString(literal)
		if literal != "" {
			t.pieces = append(t.pieces, piece{[]byte(literal), isText})
		}
		if !open {
			break
		}
		name, after, closed := strings.Cut(after, "}")
		if left = after; !closed {
			return Template{}, "", "an opening brace without a closing one"
		}
		b.WriteByte('x')
		param := slices.Index(names, name)
		if name == rest {
			param = isRest
		}
		if param == isText {
			return Template{}, "", unknown(name, names)
		}
		t.pieces = append(t.pieces, piece{nil, param})
	}
	hasRest := slices.ContainsFunc(t.pieces, func(p piece) bool { return p.param == isRest })
	if prefixed && !hasRest && strings.HasSuffix(text, "/") {
		t.pieces = append(t.pieces, piece{nil, isRest})
	}
	return t, b.String(), ""
}

func unknown(name string, names []string) string {
	has := "its path has none"
	if len(names) > 0 {
		has = "its path has " + strings.Join(names, ", ")
	}
	return "the route has no parameter " + strconv.Quote(name) + ": " + has + "; {" + rest +
		"} is the rest of the path"
}

// Append appends the new path to dst. The rest of the old one is what lies behind its first cut bytes,
// without the slashes in front.
func (t *Template) Append(dst []byte, params Params, path []byte, cut int) []byte {
	for i := range t.pieces {
		switch p := &t.pieces[i]; p.param {
		case isText:
			dst = append(dst, p.text...)
		case isRest:
			dst = append(dst, bytes.TrimLeft(path[cut:], "/")...)
		default:
			dst = append(dst, params.ParamAt(p.param)...)
		}
	}
	return dst
}
