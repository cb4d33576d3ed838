package rewrite

import (
	"bytes"
	"strconv"
	"strings"
	"sync"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/pathtmpl"
	"github.com/penstock-edge/penstock/edge/route"
)

// template makes a new path out of the parameters of the old one.
type template struct {
	path pathtmpl.Template
	cut  int // bytes of the route's prefix
}

// parse reads a template over the given parameters. The message is empty when all is well.
func parse(text string, names []string, prefixed bool) (t *template, message string) {
	if !strings.HasPrefix(text, "/") {
		return nil, `must begin with "/"`
	}
	path, skeleton, message := pathtmpl.Parse(text, names, prefixed)
	if message == "" {
		message = check(skeleton)
	}
	if message != "" {
		return nil, message
	}
	return &template{path: path}, ""
}

// check looks at a template with an x in every parameter's place: what is literal must be canonical.
func check(skeleton string) string {
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
	s.made = t.path.Append(s.made[:0], &x.Match, x.Path, t.cut)
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
