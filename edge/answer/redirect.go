package answer

import (
	"slices"
	"strconv"
	"strings"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/config"
	"github.com/penstock-edge/penstock/edge/lib/template"
	"github.com/penstock-edge/penstock/edge/lib/wire"
	"github.com/penstock-edge/penstock/edge/route"
)

// redirectKeys are redirect of a [[route]], or of an entry of its split.
type redirectKeys struct {
	To     string `toml:"to" unset:"this, or scheme, host, port"`               // a template; a path, or a URL
	Scheme string `toml:"scheme" enum:"http|https" unset:"that of the request"` // http or https
	Host   string `toml:"host" unset:"that of the request"`                     // a template
	Port   int    `toml:"port" min:"1" max:"65535" unset:"none"`                // of the new URL
	Status int    `toml:"status" default:"308"`                                 // 301, 302, 303, 307 or 308

	Table *config.Table `toml:"-"`
}

// redirect sends the client elsewhere.
type redirect struct {
	status int
	within bool   // the target is on the site of the request, and has no origin
	scheme string // "": that of the request
	host   template.Template
	port   int // 0: as it comes with host; noPort: that of the request's Host

	path      template.Template
	keepPath  bool // the path of the request
	query     template.Template
	keepQuery bool // the query of the request
	fragment  template.Template
	marked    bool // there is a fragment
}

const noPort = -1

// Run implements edge.Filter.
func (r *redirect) Run(x *edge.Exchange) edge.Verdict {
	room := locations.Get().(*[]byte)
	defer locations.Put(room)
	var ok bool
	if *room, ok = r.append((*room)[:0], x); !ok {
		x.Fault = edge.BadTemplate
		return edge.Answered
	}
	send(x, r.status, *room)
	return edge.Answered
}

func (r *redirect) append(dst []byte, x *edge.Exchange) (_ []byte, ok bool) {
	if !r.within {
		if dst, ok = r.appendOrigin(dst, x); !ok {
			return dst, false
		}
	}
	start := len(dst)
	if r.keepPath {
		dst = append(dst, x.Path...)
	} else {
		dst, _ = r.path.Append(dst, x) // only a host can be refused
	}
	if len(dst) > start+1 && dst[start+1] == '/' {
		// Two slashes at the start name another host (RFC 3986 section 4.2): nobody but the file chooses that.
		n := start + 1
		for n < len(dst) && dst[n] == '/' {
			n++
		}
		dst = append(dst[:start+1], dst[n:]...)
	}
	if r.keepQuery {
		if x.HasQuery {
			dst = append(append(dst, '?'), x.Query...)
		}
	} else {
		at := len(dst)
		if dst, _ = r.query.Append(append(dst, '?'), x); len(dst) == at+1 {
			dst = dst[:at]
		}
	}
	if r.marked {
		dst, _ = r.fragment.Append(append(dst, '#'), x)
	}
	return dst, true
}

func (r *redirect) appendOrigin(dst []byte, x *edge.Exchange) (_ []byte, ok bool) {
	scheme := r.scheme
	if scheme == "" {
		scheme = x.Scheme
	}
	dst = append(append(dst, scheme...), "://"...)
	at := len(dst)
	if dst, ok = r.host.Append(dst, x); !ok || !wire.IsHost(dst[at:]) {
		return dst, false
	}
	port := r.port
	if port == noPort {
		port = route.PortOf(x.Authority, x.Scheme)
	}
	if port == 0 || scheme == "http" && port == 80 || scheme == "https" && port == 443 {
		return dst, true
	}
	return strconv.AppendInt(append(dst, ':'), int64(port), 10), true
}

// compile returns nil when a key is wrong, which is then recorded, or the path that it is about.
func (k *redirectKeys) compile(path, prefix string) *redirect {
	switch k.Status {
	case 301, 302, 303, 307, 308:
	default:
		k.Table.Errorf("status", "must be 301, 302, 303, 307 or 308, is %d", k.Status)
	}
	vars, ok := edge.RouteVars(path, prefix)
	if !ok {
		return nil // reported by whoever compiles the routes
	}
	r := &redirect{status: k.Status}
	key := "to"
	var message string
	switch {
	case !k.Table.Has("to"):
		if !k.Table.Has("scheme") && !k.Table.Has("host") && !k.Table.Has("port") {
			k.Table.Errorf("to", "is required, or one of scheme, host and port")
			return nil
		}
		key, message = "host", r.parts(k, vars)
	case k.Table.Has("scheme") || k.Table.Has("host") || k.Table.Has("port"):
		message = "says all: leave scheme, host and port out"
	case k.To == "":
		message = "must not be empty"
	default:
		message = r.parse(k.To, vars, prefix)
	}
	if message != "" {
		k.Table.Errorf(key, "%s", message)
		return nil
	}
	return r
}

// parts makes a redirect that changes scheme, host or port alone.
func (r *redirect) parts(k *redirectKeys, vars edge.Vars) (message string) {
	r.scheme, r.port, r.keepPath, r.keepQuery = k.Scheme, k.Port, true, true
	if k.Port == 0 && k.Scheme == "" {
		r.port = noPort // with another scheme its own port goes along
	}
	host := k.Host
	if !k.Table.Has("host") {
		host = "{host}"
	}
	r.host, message = template.Parse(host, template.Host, vars)
	if message == "" && (host == "" || strings.ContainsAny(r.host.Skeleton(), `/@\"<>?# `)) {
		message = "must be a plain host"
	}
	return message
}

// String is what `penstock routes` shows.
func (k *redirectKeys) String() string {
	if k.To != "" {
		return k.To
	}
	to := k.Host
	if k.Scheme != "" {
		to = k.Scheme + "://" + to
	}
	if k.Port != 0 {
		to += ":" + strconv.Itoa(k.Port)
	}
	return to
}

// parse takes the target apart. The message is empty when all is well.
func (r *redirect) parse(to string, vars edge.Vars, prefix string) (message string) {
	if strings.ContainsFunc(to, func(c rune) bool { return c <= ' ' || c >= 0x7f }) {
		return "must be in ASCII and without spaces, line ends or control characters: escape them with %"
	}
	rest, fragment, marked := strings.Cut(to, "#")
	rest, query, hasQuery := strings.Cut(rest, "?")
	r.keepQuery, r.marked = !hasQuery, marked
	scheme, host, path, message := cutOrigin(rest)
	if message != "" {
		return message
	}
	r.within = host == ""
	if scheme != "{scheme}" {
		r.scheme = scheme
	}
	for _, part := range []struct {
		into  *template.Template
		text  string
		place template.Place
	}{
		{&r.host, host, template.Host}, {&r.path, path, template.Path},
		{&r.query, query, template.Query}, {&r.fragment, fragment, template.Query},
	} {
		if *part.into, message = template.Parse(part.text, part.place, vars); message != "" {
			return message
		}
	}
	if slices.ContainsFunc([]int{edge.VarPath, edge.VarRest, edge.VarQuery, edge.VarURI}, r.host.Uses) {
		return "a part of the path cannot stand in the host: it would let the client choose the target"
	}
	if r.path.Uses(edge.VarURI) {
		return "{uri} is no path: {path} is, and the query is kept"
	}
	if path != "" {
		if _, bad := route.Canonical(nil, []byte(r.path.Skeleton())); bad != nil {
			return bad.Reason
		}
	}
	if prefix != "" && !r.path.Uses(edge.VarRest) && !r.path.Uses(edge.VarPath) {
		r.carryOn(path, prefix, vars)
	}
	return ""
}

// carryOn adds what lies behind the prefix of the route where one prefix is to be replaced by another.
func (r *redirect) carryOn(path, prefix string, vars edge.Vars) {
	switch {
	case strings.HasSuffix(path, "/"):
		r.path.Add(vars.Rest())
	case !strings.HasSuffix(prefix, "/"):
		r.path.Add(vars.Tail())
	}
}

// cutOrigin cuts scheme and authority off a target; both are empty for a path.
func cutOrigin(to string) (scheme, host, path, message string) {
	scheme, after, absolute := strings.Cut(to, "://")
	switch {
	case strings.HasPrefix(to, "//"):
		return "", "", "", `must say a scheme before "//"`
	case strings.HasPrefix(to, "/"):
		return "", "", to, ""
	case !absolute || scheme != "http" && scheme != "https" && scheme != "{scheme}":
		return "", "", "", `must be a path such as "/new/", or begin with "http://" or "https://"`
	}
	end := len(after)
	for _, begin := range []string{"/", "{path}"} {
		if i := strings.Index(after, begin); i >= 0 {
			end = min(end, i)
		}
	}
	if end == 0 {
		return "", "", "", `must say a host behind "` + scheme + `://"`
	}
	if strings.ContainsAny(after[:end], `@\"<>`) {
		return "", "", "", "must have a plain host, with a port or without"
	}
	return scheme, after[:end], after[end:], ""
}
