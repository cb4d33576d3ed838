package edge

import (
	"slices"
	"strconv"
	"strings"
	"unsafe"

	"github.com/penstock-edge/penstock/edge/lib/header"
	"github.com/penstock-edge/penstock/edge/lib/template"
	"github.com/penstock-edge/penstock/edge/lib/values"
	"github.com/penstock-edge/penstock/edge/route"
)

// Kinds of the variables that an exchange has values for.
const (
	VarHost = iota
	VarPort
	VarPath
	VarRest // what lies behind the prefix of the route, without the slashes in front
	VarTail // the same with one slash in front, unless nothing is left
	VarQuery
	VarURI
	VarScheme
	VarMethod
	VarClient
	VarRequestID
	VarParam
	VarHeader
	VarCookie
	VarQueryParam
)

// Vars are the names that templates may use.
type Vars struct {
	// Params are the parameters of the route's path; nil and Shared: any, for a template of several routes.
	Params []string
	Shared bool
	// Cut is the length of the route's prefix.
	Cut int
}

// RouteVars returns the names for the templates of a route; not ok when its path or prefix is wrong, which
// the compiler of the routes reports.
func RouteVars(path, prefix string) (v Vars, ok bool) {
	names, ok := route.ParamNames(path)
	cut, bad := route.Canonical(nil, []byte(prefix))
	return Vars{Params: names, Cut: len(cut)}, ok && (bad == nil || prefix == "")
}

// plainVars are the names without a dot in them.
var plainVars = []struct {
	name string
	v    template.Var
}{
	{"host", template.Var{Kind: VarHost, Form: template.HostForm}},
	{"port", template.Var{Kind: VarPort}},
	{"path", template.Var{Kind: VarPath, Form: template.PathForm, Rooted: true}},
	{"query", template.Var{Kind: VarQuery, Form: template.QueryForm}},
	{"uri", template.Var{Kind: VarURI}},
	{"scheme", template.Var{Kind: VarScheme}},
	{"method", template.Var{Kind: VarMethod}},
	{"client", template.Var{Kind: VarClient}},
	{"client_ip", template.Var{Kind: VarClient}},
	{"request_id", template.Var{Kind: VarRequestID}},
}

// groupKinds are the kinds of the names with a dot, by what stands before it.
var groupKinds = map[string]int{
	"params": VarParam, "headers": VarHeader, "header": VarHeader,
	"cookies": VarCookie, "cookie": VarCookie, "query": VarQueryParam,
}

// Find implements template.Names. A parameter of the path goes before a name of the same spelling.
func (vs Vars) Find(name string) (template.Var, bool) {
	param := template.Var{Kind: VarParam, Name: []byte(name), Form: template.PathForm}
	if slices.Contains(vs.Params, name) {
		return param, true
	}
	if name == "path..." && !vs.Shared {
		return vs.Rest(), true
	}
	for i := range plainVars {
		if plainVars[i].name == name {
			return plainVars[i].v, true
		}
	}
	group, name, _ := strings.Cut(name, ".")
	switch kind := groupKinds[group]; {
	case kind == VarParam && (vs.Shared && name != "" || slices.Contains(vs.Params, name)):
		param.Name = []byte(name)
		return param, true
	case (kind == VarHeader || kind == VarCookie) && header.IsToken(name), kind == VarQueryParam && name != "":
		return template.Var{Kind: kind, Name: []byte(name)}, true
	}
	return template.Var{}, false
}

// Known implements template.Names.
func (vs Vars) Known() string {
	var b strings.Builder
	for _, name := range vs.Params {
		b.WriteString("{" + name + "}, ")
	}
	for i := range plainVars {
		b.WriteString("{" + plainVars[i].name + "}, ")
	}
	if !vs.Shared {
		b.WriteString("{path...}, ")
	}
	return b.String() + "{params.NAME}, {headers.NAME}, {cookies.NAME} and {query.NAME}"
}

// Rest returns the variable that has what lies behind the prefix of the route.
func (vs Vars) Rest() template.Var {
	return template.Var{Kind: VarRest, N: vs.Cut, Form: template.PathForm}
}

// Tail returns the same with its slash.
func (vs Vars) Tail() template.Var {
	return template.Var{Kind: VarTail, N: vs.Cut, Form: template.PathForm}
}

// AppendVar implements template.Source. Of several values of a field all are appended, with commas
// between them; of a cookie and a parameter of the query the first one.
func (x *Exchange) AppendVar(dst []byte, v *template.Var) []byte {
	switch v.Kind {
	case VarHost:
		return append(dst, x.Host...)
	case VarPort:
		return strconv.AppendInt(dst, int64(route.PortOf(x.Authority, x.Scheme)), 10)
	case VarPath:
		return append(dst, x.Path...)
	case VarRest, VarTail:
		return x.appendRest(dst, v)
	case VarQuery:
		return append(dst, x.Query...)
	case VarURI:
		dst = append(dst, x.Path...)
		if x.HasQuery {
			dst = append(append(dst, '?'), x.Query...)
		}
		return dst
	case VarScheme:
		return append(dst, x.Scheme...)
	case VarMethod:
		return append(dst, x.Method...)
	case VarClient:
		if x.Client.IsValid() {
			dst = x.Client.Unmap().AppendTo(dst)
		}
		return dst
	case VarRequestID:
		return append(dst, x.RequestID...)
	}
	return x.appendNamed(dst, v)
}

func (x *Exchange) appendNamed(dst []byte, v *template.Var) []byte {
	switch v.Kind {
	case VarParam:
		return append(dst, x.Match.ParamBytes(v.Name)...)
	case VarHeader:
		name := unsafe.String(unsafe.SliceData(v.Name), len(v.Name)) // nobody writes to it
		if strings.EqualFold(name, "Cookie") {
			return append(dst, x.Cookie...)
		}
		return x.Req.AppendList(dst, name)
	case VarCookie:
		return append(dst, values.Cookie(x.Cookie, v.Name)...)
	case VarQueryParam:
		return values.AppendFirstParam(dst, x.Query, v.Name)
	}
	panic("BUG: a variable of kind " + strconv.Itoa(v.Kind))
}

func (x *Exchange) appendRest(dst []byte, v *template.Var) []byte {
	rest := x.Path[min(v.N, len(x.Path)):]
	for len(rest) > 0 && rest[0] == '/' {
		rest = rest[1:]
	}
	if v.Kind == VarTail && len(rest) < len(x.Path)-v.N {
		dst = append(dst, '/')
	}
	return append(dst, rest...)
}

// AnswerTemplate is Answer with a body that t makes.
func (x *Exchange) AnswerTemplate(status int, contentType string, t *template.Template) {
	x.scratch, _ = t.Append(x.scratch[:0], x) // only a host can be refused
	x.Answer(status, contentType, x.scratch)
}

// BadTemplate is the fault of a request whose values cannot stand where a template of the file puts them.
var BadTemplate = &Fault{Status: 400, Side: SideClient, Code: "bad_request",
	Detail: "Parts of the request make up a host that is not allowed."}
