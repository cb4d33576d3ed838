package answer

import (
	"strings"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/pathtmpl"
	"github.com/penstock-edge/penstock/edge/route"
)

// redirect sends the client elsewhere.
type redirect struct {
	status    int
	origin    string // scheme and authority; empty: those of the request
	path      pathtmpl.Template
	cut       int    // bytes of the route's prefix
	keepQuery bool   // the request's query goes along
	tail      string // query and fragment of the target
}

// Run implements edge.Filter.
func (r *redirect) Run(x *edge.Exchange) edge.Verdict {
	room := locations.Get().(*[]byte)
	*room = r.append((*room)[:0], x)
	send(x, r.status, *room)
	locations.Put(room)
	return edge.Answered
}

func (r *redirect) append(dst []byte, x *edge.Exchange) []byte {
	dst = append(dst, r.origin...)
	start := len(dst)
	dst = r.path.Append(dst, &x.Match, x.Path, r.cut)
	if len(dst) > start+1 && dst[start+1] == '/' {
		// Two slashes at the start name another host (RFC 3986 section 4.2): nobody but the file chooses that.
		n := start + 1
		for n < len(dst) && dst[n] == '/' {
			n++
		}
		dst = append(dst[:start+1], dst[n:]...)
	}
	if r.keepQuery && x.HasQuery {
		dst = append(append(dst, '?'), x.Query...)
	}
	return append(dst, r.tail...)
}

// redirect returns nil when a key is wrong, which is then recorded, or the path that it is about.
func (k *keys) redirect() *redirect {
	t := k.Redirect.Table
	switch k.Redirect.Status {
	case 301, 302, 303, 307, 308:
	default:
		t.Errorf("status", "must be 301, 302, 303, 307 or 308, is %d", k.Redirect.Status)
	}
	names, ok := route.ParamNames(k.Path)
	cut, bad := route.Canonical(nil, []byte(k.Prefix))
	if !ok || bad != nil && k.Prefix != "" || k.Redirect.To == "" {
		return nil // reported by whoever compiles the routes, or as missing
	}
	r := &redirect{status: k.Redirect.Status, cut: len(cut)}
	if message := r.parse(k.Redirect.To, names, k.Prefix != ""); message != "" {
		t.Errorf("to", "%s", message)
		return nil
	}
	return r
}

// parse takes the target apart. The message is empty when all is well.
func (r *redirect) parse(to string, names []string, prefixed bool) (message string) {
	for i := range len(to) {
		if to[i] <= ' ' || to[i] >= 0x7f {
			return "must be in ASCII and without spaces, line ends or control characters: escape them with %"
		}
	}
	path, fragment, hasFragment := strings.Cut(to, "#")
	path, query, hasQuery := strings.Cut(path, "?")
	r.keepQuery = !hasQuery
	if hasQuery {
		r.tail = "?" + query
	}
	if hasFragment {
		r.tail += "#" + fragment
	}
	if r.origin, path, message = cutOrigin(path); message != "" {
		return message
	}
	if strings.ContainsAny(r.origin+r.tail, "{}") {
		return "a parameter can stand in the path only: elsewhere it would let the client choose the target"
	}
	if path == "" {
		return ""
	}
	var skeleton string
	if r.path, skeleton, message = pathtmpl.Parse(path, names, prefixed); message != "" {
		return message
	}
	if _, bad := route.Canonical(nil, []byte(skeleton)); bad != nil {
		return bad.Reason
	}
	return ""
}

// cutOrigin cuts scheme and authority off a target.
func cutOrigin(to string) (origin, path, message string) {
	scheme, after, absolute := strings.Cut(to, "://")
	switch {
	case strings.HasPrefix(to, "//"):
		return "", "", `must say a scheme before "//"`
	case strings.HasPrefix(to, "/"):
		return "", to, ""
	case !absolute || scheme != "http" && scheme != "https":
		return "", "", `must be a path such as "/new/", or begin with "http://" or "https://"`
	}
	slash := strings.IndexByte(after, '/')
	if slash < 0 {
		slash = len(after)
	}
	if slash == 0 {
		return "", "", `must say a host behind "` + scheme + `://"`
	}
	if strings.ContainsAny(after[:slash], `@\"<>`) {
		return "", "", "must have a plain host, with a port or without"
	}
	return to[:len(scheme)+3+slash], after[slash:], ""
}
