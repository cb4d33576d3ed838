package rewrite

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/penstock-edge/penstock/edge"
)

// mapping turns what a target says of its own paths and hosts into what clients know them by. It runs before
// an answer is stored: what it makes is the same for all clients that ask for the URL.
type mapping struct {
	public, private []byte // prefixes without a slash at their end; both empty: paths are the same
	found           bool   // they are found anew for each request, by what its two paths have in common
}

var (
	locationKey        = []byte("Location")
	contentLocationKey = []byte("Content-Location")
	setCookieKey       = []byte("Set-Cookie")
)

// Run implements edge.Filter.
func (m *mapping) Run(x *edge.Exchange) edge.Verdict {
	for lines := x.Resp.Lines(); len(lines) > 0; {
		var name []byte
		if name, _, _, lines = edge.NextField(lines); concerns(name) {
			s := scratches.Get().(*scratch)
			s.made = m.appendLines(s.made[:0], x)
			x.Resp.SetLines(s.made, nil)
			scratches.Put(s)
			break
		}
	}
	return edge.Next
}

func concerns(name []byte) bool {
	switch len(name) {
	case len(locationKey):
		return bytes.EqualFold(name, locationKey)
	case len(contentLocationKey):
		return bytes.EqualFold(name, contentLocationKey)
	case len(setCookieKey):
		return bytes.EqualFold(name, setCookieKey)
	}
	return false
}

// appendLines appends the fields of the answer as clients are to see them.
func (m *mapping) appendLines(dst []byte, x *edge.Exchange) []byte {
	public, private := m.prefixes(x)
	for lines := x.Resp.Lines(); len(lines) > 0; {
		var name, value, line []byte
		if name, value, line, lines = edge.NextField(lines); !concerns(name) {
			dst = append(dst, line...)
			continue
		}
		dst = append(append(dst, name...), ": "...)
		if len(name) == len(setCookieKey) {
			dst = appendCookie(dst, x, value, public, private)
		} else {
			dst = appendURL(dst, x, value, public, private)
		}
		dst = append(dst, "\r\n"...)
	}
	return dst
}

// prefixes returns what stands before the same rest in the client's path and in the target's.
func (m *mapping) prefixes(x *edge.Exchange) (public, private []byte) {
	if !m.found {
		if !under(x.Path, m.public) {
			return nil, nil // this path came through as it is
		}
		return m.public, m.private
	}
	p, o := x.Path, x.OutPath
	n := 0
	for n < len(p) && n < len(o) && p[len(p)-1-n] == o[len(o)-1-n] {
		n++
	}
	for n > 0 && p[len(p)-n] != '/' {
		n--
	}
	return p[:len(p)-n], o[:len(o)-n]
}

// under reports whether path is prefix or lies below it.
func under(path, prefix []byte) bool {
	return bytes.HasPrefix(path, prefix) && (len(path) == len(prefix) || path[len(prefix)] == '/')
}

// appendPath appends the client's path for one of the target's. A target that knows its prefix
// (X-Forwarded-Prefix) has put it there already.
func appendPath(dst, path, public, private []byte) []byte {
	if !under(path, private) || len(private) == 0 && len(public) > 0 && under(path, public) {
		return append(dst, path...)
	}
	rest := path[len(private):]
	if len(public) == 0 && len(rest) == 0 {
		return append(dst, '/')
	}
	return append(append(dst, public...), rest...)
}

// appendURL appends the client's reference for one of the target's. One to another site, or relative to
// the path, stays.
func appendURL(dst []byte, x *edge.Exchange, ref, public, private []byte) []byte {
	origin, path := cutAuthority(ref)
	authority := origin[bytes.LastIndexByte(origin, '/')+1:]
	switch {
	case len(origin) == 0 && (len(path) == 0 || path[0] != '/'):
		return append(dst, ref...)
	case len(origin) == 0:
	case bytes.EqualFold(authority, x.Authority):
		dst = append(dst, origin...)
		if len(path) == 0 {
			return append(dst, path...)
		}
	case isTarget(x, authority):
		if len(path) == 0 || path[0] != '/' {
			path = append([]byte("/"), path...) // rare enough for an allocation
		}
	default:
		return append(dst, ref...)
	}
	end := bytes.IndexAny(path, "?#")
	if end < 0 {
		end = len(path)
	}
	start := len(dst)
	dst = append(appendPath(dst, path[:end], public, private), path[end:]...)
	if start > 0 && dst[start-1] != ' ' || bytes.Equal(dst[start:], ref) {
		return dst // behind an authority, or as the target has it
	}
	return oneSlash(dst, start)
}

// oneSlash leaves one slash at the start of the path that stands at b[start:]: what follows two would be a
// host. Browsers take a backslash for a slash, and leave tabs out.
func oneSlash(b []byte, start int) []byte {
	end := start + 1
	for end < len(b) && (b[end] == '/' || b[end] == '\\' || b[end] == '\t') {
		end++
	}
	return append(b[:start+1], b[end:]...)
}

// cutAuthority parts an absolute or network-path reference (RFC 3986 section 4.2) from its path; origin
// is empty for all others.
func cutAuthority(ref []byte) (origin, path []byte) {
	var at int
	switch {
	case hasPrefixFold(ref, "http://"):
		at = len("http://")
	case hasPrefixFold(ref, "https://"):
		at = len("https://")
	case bytes.HasPrefix(ref, []byte("//")):
		at = len("//")
	default:
		return nil, ref
	}
	end := bytes.IndexAny(ref[at:], "/?#")
	if end < 0 {
		return ref, nil
	}
	return ref[:at+end], ref[at+end:]
}

func hasPrefixFold(b []byte, prefix string) bool {
	return len(b) >= len(prefix) && strings.EqualFold(string(b[:len(prefix)]), prefix)
}

// isTarget reports whether an authority is how the target was asked, by its Host or its address.
func isTarget(x *edge.Exchange, authority []byte) bool {
	return len(authority) > 0 && (sameHost(authority, x.OutHost) || sameHost(authority, []byte(x.TargetName)))
}

// sameHost compares two authorities; a port of 80 or 443 may be left out.
func sameHost(a, b []byte) bool { return bytes.EqualFold(cutDefault(a), cutDefault(b)) }

func cutDefault(authority []byte) []byte {
	return bytes.TrimSuffix(bytes.TrimSuffix(authority, []byte(":80")), []byte(":443"))
}

// appendCookie appends a Set-Cookie whose Path is the client's, and whose Domain is not one that the
// client would refuse because it is the target's.
func appendCookie(dst []byte, x *edge.Exchange, cookie, public, private []byte) []byte {
	pair, rest, more := bytes.Cut(cookie, []byte(";"))
	dst = append(dst, pair...)
	rooted := bytes.HasPrefix(pair, []byte("__Host-")) // whose path is / in any case (RFC 6265bis)
	for more {
		var one []byte
		one, rest, more = bytes.Cut(rest, []byte(";"))
		name, value, _ := bytes.Cut(one, []byte("="))
		name, value = bytes.TrimSpace(name), bytes.TrimSpace(value)
		switch {
		case bytes.EqualFold(name, []byte("Path")) && len(value) > 0 && value[0] == '/' && !rooted:
			dst = append(dst, "; Path="...)
			if len(value) == 1 && len(private) == 0 && len(public) > 0 {
				value = nil // the root of the target is the prefix itself
			}
			dst = appendPath(dst, value, public, private)
		case bytes.EqualFold(name, []byte("Domain")) && foreign(x, value):
		default:
			dst = append(append(dst, ';'), one...)
		}
	}
	return dst
}

// foreign reports whether a cookie's domain takes in the target and not the host that the client has
// asked for.
func foreign(x *edge.Exchange, domain []byte) bool {
	domain = bytes.ToLower(bytes.TrimPrefix(domain, []byte(".")))
	within := func(host []byte) bool {
		return bytes.Equal(host, domain) || bytes.HasSuffix(host, domain) && host[len(host)-len(domain)-1] == '.'
	}
	if within(x.Host) {
		return false
	}
	for _, authority := range [][]byte{x.OutHost, []byte(x.TargetName)} {
		host, _, _ := bytes.Cut(bytes.ToLower(authority), []byte(":"))
		if len(host) > 0 && within(host) {
			return true
		}
	}
	return false
}

const prefixName = "X-Forwarded-Prefix"

// addPrefix passes to the target what was taken off its paths (X-Forwarded-Prefix), after what a trusted
// proxy has taken off before. It runs after the filter that takes it off.
type addPrefix struct{ prefix []byte }

// Run implements edge.Filter.
func (t *addPrefix) Run(x *edge.Exchange) edge.Verdict {
	if !under(x.Path, t.prefix) {
		return edge.Next
	}
	if x.NoClaims || !x.Req.Has(prefixName) {
		x.Req.SetBytes(prefixName, t.prefix)
		return edge.Next
	}
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	s.made = append(s.made[:0], bytes.TrimSuffix(x.Req.Only(prefixName), []byte("/"))...)
	if !isPath(s.made) {
		s.made = s.made[:0] // nothing that can be built on
	}
	s.made = append(s.made, t.prefix...)
	x.Req.SetBytes(prefixName, s.made)
	return edge.Next
}

// isPath reports whether b may stand before a path.
func isPath(b []byte) bool {
	for _, c := range b {
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`"<>?#\,;`, c) >= 0 {
			return false
		}
	}
	return len(b) > 0 && b[0] == '/' && (len(b) == 1 || b[1] != '/')
}

// maps adds the mapping of what targets say of themselves, and tells them of the prefix that they do not see.
func (k *keys) maps(r *edge.RouteSetup, m *mapping) {
	if m == nil && (r.Table.Has("set_host") || !k.PreserveHost) {
		m = &mapping{}
	}
	on := m != nil
	if r.Table.Has("map_location") {
		on = k.MapLocation
		r.Note("map_location", strconv.FormatBool(on))
	}
	if m != nil && !m.found && len(m.private) == 0 && len(m.public) > 0 {
		r.Add(edge.Rewrite, &addPrefix{m.public})
	}
	if !on {
		return
	}
	if m == nil {
		m = &mapping{}
	}
	r.Add(edge.Receive, m)
}

// mapping returns how the paths that n makes are turned back; prefix is that of the route.
func (n *newPath) mapping(prefix string) *mapping {
	literal, ok := n.path.Before(edge.VarRest)
	if !ok || prefix == "" {
		return &mapping{found: true}
	}
	return &mapping{
		public: []byte(strings.TrimSuffix(prefix, "/")), private: []byte(strings.TrimSuffix(literal, "/")),
	}
}
