package rewrite

import (
	"bytes"
	"strconv"
	"strings"
	"sync"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/template"
	"github.com/penstock-edge/penstock/edge/lib/wire"
	"github.com/penstock-edge/penstock/edge/route"
)

// newPath makes a new path out of what the request says.
type newPath struct{ path template.Template }

// parse reads a rewrite. The message is empty when all is well.
func parse(text string, vars edge.Vars, prefixed bool) (n *newPath, message string) {
	if !strings.HasPrefix(text, "/") {
		return nil, `must begin with "/"`
	}
	path, message := template.Parse(text, template.Path, vars)
	if message == "" {
		message = check(path.Skeleton())
	}
	if message != "" {
		return nil, message
	}
	if prefixed && strings.HasSuffix(text, "/") && !path.Uses(edge.VarRest) && !path.Uses(edge.VarPath) {
		path.Add(vars.Rest())
	}
	return &newPath{path: path}, ""
}

// check looks at a template with an x in every value's place: what is literal must be canonical.
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

// scratch is room for a path or a host being made.
type scratch struct{ made, canonical []byte }

var scratches = sync.Pool{New: func() any { return &scratch{canonical: make([]byte, 0, 256)} }}

var badParameters = &edge.Fault{Status: 400, Side: edge.SideClient, Code: "bad_request",
	Detail: "Parts of the path make up another path that is not allowed."}

// Run implements edge.Filter. Parts of a path go in as they came, escapes included. A value may be
// harmless where it stood and not where it is put ("a.." is a name, ".." is not): a path that is not
// canonical is refused.
func (n *newPath) Run(x *edge.Exchange) edge.Verdict {
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	s.made, _ = n.path.Append(s.made[:0], x) // only a host can be refused
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

// setHost gives the target a Host of the file's.
type setHost struct{ host template.Template }

// Run implements edge.Filter.
func (h *setHost) Run(x *edge.Exchange) edge.Verdict {
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	var ok bool
	if s.made, ok = h.host.Append(s.made[:0], x); !ok || !wire.IsHost(s.made) {
		x.Fault = edge.BadTemplate
		return edge.Answered
	}
	x.SetOutHost(s.made)
	return edge.Next
}
