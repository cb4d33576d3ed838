// Package headers sets, adds, removes and renames fields of requests and answers by policies that routes
// name.
package headers

import (
	"slices"
	"strings"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/config"
)

// Feature makes [headers.NAME] and the key headers_policy of routes, and of entries of split, work. In
// the list it stands before all that puts fields into answers: it sees them all, and has the last word.
var Feature = edge.Feature{Name: "headers", New: build}

// Config is [headers.NAME].
type Config struct {
	Request  Changes `toml:"request"`  // fields toward the target
	Response Changes `toml:"response"` // fields toward the client
}

// Changes are done in this order: remove, rename, set, add.
type Changes struct {
	// Names, also with * at the end; changes are made in the order remove, rename, set, add.
	Remove []string          `toml:"remove"`
	Rename map[string]string `toml:"rename" unset:"{}"` // old names and new ones
	// Fields in place of those of the same name; values are templates.
	Set map[string]string `toml:"set" unset:"{}"`
	// Fields beside those of the same name; values are templates.
	Add map[string]string `toml:"add" unset:"{}"`

	Table *config.Table `toml:"-"`
}

// keys are those of a [[route]], and of an entry of its split.
type keys struct {
	Policies []string `toml:"headers_policy"` // from [headers.NAME]; also on an entry of split
	Path     string   `toml:"path"`
	Prefix   string   `toml:"prefix"`
}

// strict is the policy that is there without a section.
const strict = "strict"

// policy is [headers.NAME], compiled.
type policy struct {
	name              string
	request, response *changes // nil: none
}

type policies struct {
	names []string
	list  []*policy
}

func build(h *edge.Host) *edge.Instance {
	ps := &policies{}
	for _, t := range h.Config.File.Root.Children("headers") {
		var c Config
		t.Decode(&c)
		ps.names = append(ps.names, t.Name())
		ps.list = append(ps.list, &policy{t.Name(), c.Request.compile(true), c.Response.compile(false)})
	}
	if !slices.Contains(ps.names, strict) {
		ps.names = append(ps.names, strict)
		ps.list = append(ps.list, &policy{name: strict, response: strictChanges()})
	}
	return &edge.Instance{Route: ps.route}
}

func (ps *policies) route(r *edge.RouteSetup) {
	if r.Unrouted {
		return
	}
	own, params := ps.read(r, r.Table, nil)
	var arms [][]*policy
	if r.Table.Has("split") {
		arms = ps.arms(r, params)
	}
	f := &filter{own: own, arms: arms}
	all := slices.Concat(append(arms, own)...)
	if slices.ContainsFunc(all, (*policy).asks) {
		r.Add(edge.Rewrite, (*requests)(f))
	}
	if slices.ContainsFunc(all, (*policy).answers) {
		r.Add(edge.Respond, (*answers)(f))
	}
}

func (p *policy) asks() bool    { return p.request != nil }
func (p *policy) answers() bool { return p.response != nil }

// arms returns the policies of the entries of split; nil: none has any.
func (ps *policies) arms(r *edge.RouteSetup, params []string) (arms [][]*policy) {
	some := false
	for _, t := range r.Table.List("split") {
		list, _ := ps.read(r, t, params)
		arms = append(arms, list)
		some = some || list != nil
	}
	if !some {
		return nil
	}
	return arms
}

// read returns the policies that a table names, and the parameters of the route's path, which an entry of
// split is told.
func (ps *policies) read(r *edge.RouteSetup, t *config.Table, params []string) (list []*policy, _ []string) {
	var k keys
	if t == r.Table {
		t.Decode(&k)
		if vars, ok := edge.RouteVars(k.Path, k.Prefix); ok {
			params = vars.Params
		}
	} else {
		var arm struct {
			Policies []string `toml:"headers_policy"` // from [headers.NAME], for this entry
		}
		t.Decode(&arm)
		k.Policies = arm.Policies
	}
	for i, name := range k.Policies {
		at := slices.Index(ps.names, name)
		if at < 0 {
			t.Unknown("headers_policy", "headers policy", name, ps.names)
			continue
		}
		if slices.Contains(k.Policies[:i], name) {
			t.Mistake("headers_policy", name, "", "is given twice")
			continue
		}
		p := ps.list[at]
		if missing := p.lacks(params); missing != "" {
			t.Mistake("headers_policy", name, "",
				"policy "+name+" uses {params."+missing+"}, which the path of this route does not have")
		}
		list = append(list, p)
	}
	if list != nil {
		r.Note("headers_policy", strings.Join(k.Policies, ", "))
	}
	return list, params
}

// lacks returns a parameter that p uses and that is not among params; empty: there is none.
func (p *policy) lacks(params []string) string {
	for _, c := range []*changes{p.request, p.response} {
		if c == nil {
			continue
		}
		for _, name := range c.params {
			if !slices.Contains(params, name) {
				return name
			}
		}
	}
	return ""
}
