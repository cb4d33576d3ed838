package rewrite

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/route"
)

// rest is what stands for the rest of the path in a template.
const rest = "path..."

// piece is literal text, or what a request puts in its place.
type piece struct {
	text  []byte
	param int // index of the match's parameter, or one of the constants below
}

const (
	isText = -1
	isRest = -2
)

// template makes a new path out of the parameters of the old one.
type template struct {
	pieces []piece
	cut    int // bytes of the route's prefix
}

// parse reads a template over the given parameters. On a route with a prefix, one that ends with a slash gets
// the rest of the path added. The message is empty when all is well.
func parse(text string, names []string, prefixed bool) (t *template, message string) {
	if !strings.HasPrefix(text, "/") {
		return nil, `must begin with "/"`
	}
	t = &template{}
	var skeleton strings.Builder
	for left := text; left != ""; {
		literal, after, open := strings.Cut(left, "{")
		skeleton.WriteString(literal)
		t.add(piece{[]byte(literal), isText})
		if left = after; !open {
			break
		}
		name, after, closed := strings.Cut(left, "}")
		if left = after; !closed {
			return nil, "an opening brace without a closing one"
		}
		skeleton.WriteByte('x')
		param := slices.Index(names, name)
		if name == rest {
			param = isRest
		}
		if param == isText {
			return nil, unknown(name, names)
		}
		t.add(piece{nil, param})
	}
	if message := t.check(skeleton.String()); message != "" {
		return nil, message
	}
	hasRest := slices.ContainsFunc(t.pieces, func(p piece) bool { return p.param == isRest })
	if prefixed && !hasRest && strings.HasSuffix(text, "/") {
		t.add(piece{nil, isRest})
	}
	return t, ""
}

func (t *template) add(p piece) {
	if p.param != isText || len(p.text) > 0 {
		t.pieces = append(t.pieces, p)
	}
}

// check looks at the template with an x in every parameter's place: what is literal must be canonical.
func (t *template) check(skeleton string) string {
	if strings.ContainsAny(skeleton, "?#") {
		return "a path has no query and no fragment; the query of the request is kept"
	}
	canonical, bad := route.Canonical(nil, []byte(skeleton))
	if bad != nil {
		return bad.Reason
	}
	if string(canonical) != skeleton {
		return "is not in canonical form: that of its fixed parts is " + strconv.Quote(string(canonical))
	}
	return ""
}

func unknown(name string, names []string) string {
	has := "its path has none"
	if len(names) > 0 {
		has = "its path has " + strings.Join(names, ", ")
	}
	return "the route has no parameter " + strconv.Quote(name) + ": " + has + "; {" + rest +
		"} is the rest of the path"
}

// scratch is room for a path being made.
type scratch struct{ made, canonical []byte }

var scratches = sync.Pool{New: func() any { return new(scratch) }}

var badParameters = &edge.Fault{Status: 400, Side: edge.SideClient, Code: "bad_request",
	Detail: "Parts of the path make up another path that is not allowed."}

// Run implements edge.Filter. Values go in as they came, escapes included. A value may be harmless where it
// stood and not where it is put ("a.." is a name, ".." is not): a path that is not canonical is refused.
func (t *template) Run(x *edge.Exchange) edge.Verdict {
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	s.made = t.append(s.made[:0], x)
	path := s.made
	for len(path) > 1 && path[1] == '/' { // never two slashes: see rooted
		path = path[1:]
	}
	var bad *route.PathError
	s.canonical, bad = route.Canonical(s.canonical[:0], path)
	if bad != nil || !bytes.Equal(s.canonical, path) {
		x.Fault = badParameters
		return edge.Answered
	}
	x.SetOutPath(path)
	return edge.Next
}

func (t *template) append(dst []byte, x *edge.Exchange) []byte {
	for i := range t.pieces {
		switch p := &t.pieces[i]; p.param {
		case isText:
			dst = append(dst, p.text...)
		case isRest:
			dst = append(dst, rooted(x.Path, t.cut)[1:]...)
		default:
			dst = append(dst, x.Match.ParamAt(p.param)...)
		}
	}
	return dst
}
