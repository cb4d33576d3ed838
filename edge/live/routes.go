package live

import (
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/config"
	"github.com/penstock-edge/penstock/edge/lib/caught"
	"github.com/penstock-edge/penstock/edge/lib/header"
	"github.com/penstock-edge/penstock/edge/route"
)

// compile makes the plans and the table of routes. What is wrong is recorded on the file.
func (b *Built) compile() {
	rules, owners := b.rules()
	var table *route.Table
	var errs []route.RuleError
	var both sync.WaitGroup
	var failed *caught.Panic
	both.Go(func() { // pure, and a tenth of the work
		failed = caught.Call(func() { table, errs = route.NewTable(rules) })
	})
	b.plans()
	both.Wait()
	b.step("compile routes", func() {
		if failed != nil {
			b.logPanic("compile routes", failed)
			panic(failed.Value)
		}
	})
	for _, e := range errs {
		r := &b.Config.Routes[owners[e.Rule]]
		if e.Key != "methods" || !slices.ContainsFunc(r.Methods, strangeMethod) {
			r.Table.Errorf(e.Key, "%s", e.Message)
		}
	}
	if table == nil || len(rules) != len(b.Plans) {
		return
	}
	b.Routes = table
	for i, p := range b.Plans {
		p.Params = table.Params(i)
	}
}

// plans compiles all routes, and what requests without one pass.
func (b *Built) plans() {
	for i := range b.Config.Routes {
		r := &b.Config.Routes[i]
		b.step("build route "+r.Name, func() { b.Plans = append(b.Plans, b.plan(r)) })
	}
	empty := config.Parse("", nil, config.Options{}).Root
	b.Nowhere = &edge.Plan{}
	b.step("build the plan of no route", func() {
		b.setUp(&edge.RouteSetup{Plan: b.Nowhere, Table: empty, Unrouted: true})
	})
	for _, p := range b.instances {
		if p.Early != nil {
			b.Early = append(b.Early, p.Early)
		}
	}
}

// plan compiles one route.
func (b *Built) plan(r *config.Route) *edge.Plan {
	p := &edge.Plan{Name: r.Name, Timeout: r.Timeout}
	s := &edge.RouteSetup{Name: r.Name, Plan: p, Table: r.Table, Answerers: b.Answers}
	b.setUp(s)
	if r.Timeout > 0 {
		s.Note("timeout", r.Timeout.String())
	}
	// A key that is there but claimed nothing was wrong, and its owner has reported that.
	if !s.Answered() && !slices.ContainsFunc(b.Answers, r.Table.Has) {
		r.Table.Errorf("pool", "nobody answers this route: give %s", either(b.Answers))
	}
	return p
}

// either returns "a, b or c".
func either(names []string) string {
	last := len(names) - 1
	if last < 1 {
		return strings.Join(names, "")
	}
	return strings.Join(names[:last], ", ") + " or " + names[last]
}

func (b *Built) setUp(s *edge.RouteSetup) {
	for _, p := range b.instances {
		if p.Route != nil {
			p.Route(s)
		}
	}
}

// rules returns the rules of all routes, but for those whose path config has complained of already, and the
// index of the route of each.
func (b *Built) rules() (rules []route.Rule, owners []int) {
	for i := range b.Config.Routes {
		r := &b.Config.Routes[i]
		if (r.Path == "") == (r.Prefix == "") || !strings.HasPrefix(r.Path+r.Prefix, "/") {
			continue
		}
		rules = append(rules, rule(r))
		owners = append(owners, i)
	}
	return rules, owners
}

// strangeMethod reports whether config has complained of a method already.
func strangeMethod(m string) bool { return !header.IsToken(m) }

func rule(r *config.Route) route.Rule {
	return route.Rule{
		Name: r.Name, Hosts: r.Hosts, Methods: r.Methods, Path: r.Path, Prefix: r.Prefix,
		Listeners: r.Listeners, Schemes: r.Schemes,
		Headers: predicates(r.Headers), Query: predicates(r.Query), Priority: r.Priority,
	}
}

func predicates(m map[string]string) []route.Predicate {
	if len(m) == 0 {
		return nil
	}
	list := make([]route.Predicate, 0, len(m))
	for _, name := range slices.Sorted(maps.Keys(m)) {
		list = append(list, route.Predicate{Name: name, Value: m[name]})
	}
	return list
}
