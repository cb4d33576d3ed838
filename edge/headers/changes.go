package headers

import (
	"slices"
	"strings"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/config"
	"github.com/penstock-edge/penstock/edge/lib/header"
	"github.com/penstock-edge/penstock/edge/lib/template"
)

// changes are the compiled form of Changes.
type changes struct {
	remove   []string // names
	prefixes []string // of names
	rename   []renaming
	fields   []field // set, then added

	own    *header.Names // all these: clients may not send them in another spelling; nil: they may
	params []string      // of the path that the templates use
}

type renaming struct{ from, to string }

type field struct {
	name  string // as the file has it
	value template.Template
	set   bool // in place of all others of the name
	tls   bool // for clients with TLS only
}

// compile returns nil when nothing is to be changed. What is wrong is recorded.
func (c *Changes) compile(request bool) *changes {
	out := &changes{}
	for _, name := range c.Remove {
		prefix, open := strings.CutSuffix(name, "*")
		if why := refused(prefix, "x", request); why != "" && (!open || !header.IsToken(prefix)) {
			c.Table.Mistake("remove", name, "", why)
			continue
		}
		if open {
			out.prefixes = append(out.prefixes, prefix)
		} else {
			out.remove = append(out.remove, name)
		}
	}
	if t := c.Table.Child("rename"); t != nil {
		for _, from := range t.Keys() {
			why := refused(from, "x", request)
			if why == "" {
				if why = refused(c.Rename[from], "x", request); why != "" {
					why = c.Rename[from] + " " + why
				}
			}
			if why != "" {
				t.Errorf(from, "%s", why)
			}
			out.rename = append(out.rename, renaming{from, c.Rename[from]})
		}
	}
	out.put(c.Table.Child("set"), c.Set, request, true)
	out.put(c.Table.Child("add"), c.Add, request, false)
	if len(out.remove)+len(out.prefixes)+len(out.rename)+len(out.fields) == 0 {
		return nil
	}
	if request {
		out.own = header.NewNames(out.names()...)
	}
	return out
}

// names returns what is changed; a * at the end of one stands for whatever follows.
func (c *changes) names() []string {
	names := slices.Clone(c.remove)
	for _, p := range c.prefixes {
		names = append(names, p+"*")
	}
	for _, r := range c.rename {
		names = append(names, r.from, r.to)
	}
	for _, f := range c.fields {
		names = append(names, f.name)
	}
	odd := func(n string) bool { return !header.IsPlain([]byte(strings.TrimSuffix(n, "*"))) }
	return slices.DeleteFunc(names, odd)
}

// put compiles the fields that are set or added, in the order of the file.
func (c *changes) put(t *config.Table, values map[string]string, request, set bool) {
	if t == nil {
		return
	}
	for i, name := range t.Keys() {
		value, message := template.Parse(values[name], template.Field, edge.Vars{Shared: true})
		if message != "" {
			t.Errorf(name, "%s; write {{ for a brace", message)
			continue
		}
		if why := refused(name, value.Skeleton(), request); why != "" {
			t.Errorf(name, "%s", why)
			continue
		}
		if values[name] == "" {
			t.Errorf(name, "has no value: remove is what takes a field out")
		}
		for _, other := range t.Keys()[:i] {
			if strings.EqualFold(other, name) {
				t.Errorf(name, "is given twice: case makes no difference in the name of a header")
			}
		}
		value.Vars(func(v *template.Var) {
			if v.Kind == edge.VarParam {
				c.params = append(c.params, string(v.Name))
			}
		})
		c.fields = append(c.fields, field{name, value, set, !request && isHSTS(name)})
	}
}

// isHSTS names the field that may only be sent over TLS (RFC 6797 section 7.2).
func isHSTS(name string) bool { return strings.EqualFold(name, "Strict-Transport-Security") }

// refused returns why a field is not a policy's to change; empty: it is.
func refused(name, value string, request bool) string {
	switch key, why := header.Given(name, value); {
	case why != "":
		return why
	case key == "Host" && request:
		return "is decided by preserve_host and set_host"
	case key == "Host":
		return "has no place in an answer"
	}
	return ""
}

// strictChanges are those of the policy strict.
func strictChanges() *changes {
	out := &changes{}
	for _, f := range [][2]string{
		{"Strict-Transport-Security", "max-age=31536000"},
		{"X-Content-Type-Options", "nosniff"},
		{"X-Frame-Options", "DENY"},
		{"Referrer-Policy", "strict-origin-when-cross-origin"},
	} {
		value, _ := template.Parse(f[1], template.Field, edge.Vars{})
		out.fields = append(out.fields, field{f[0], value, true, isHSTS(f[0])})
	}
	return out
}

// kept names the fields that no pattern takes: they are not a policy's.
func kept(name []byte) bool {
	for _, n := range [...]string{"Host", "Date", "Content-Length", "Transfer-Encoding"} {
		if header.SameName(name, n) {
			return true
		}
	}
	return false
}
