// Package answer answers requests without asking anybody: by a redirect, or by a fixed answer.
package answer

import (
	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/config"
)

// Feature makes the route keys redirect and respond work, and redirect_https of listeners. In the list it
// stands behind all that may refuse a request in Admit: it is the last to answer.
var Feature = edge.Feature{Name: "answer", Answers: []string{"redirect", "respond"}, New: build}

func build(h *edge.Host) *edge.Instance {
	return &edge.Instance{Early: redirectHTTPS(h.Config), Route: setUp}
}

// keys are those of a [[route]].
type keys struct {
	Redirect *redirectKeys `toml:"redirect"` // sends the client elsewhere
	Respond  *respondKeys  `toml:"respond"`  // a fixed answer
	// Path and Prefix are the route's own: what the parameters are, and what lies behind the prefix.
	Path   string `toml:"path"`
	Prefix string `toml:"prefix"`
}

// arms adds the redirects of entries of split.
func (k *keys) arms(r *edge.RouteSetup) {
	a := &armRedirects{}
	some := false
	for _, t := range r.Table.List("split") {
		var arm struct {
			// Sends the share of this entry elsewhere; instead of pool.
			Redirect *redirectKeys `toml:"redirect"`
		}
		t.Decode(&arm)
		var to *redirect
		if arm.Redirect != nil {
			to, some = arm.Redirect.compile(k.Path, k.Prefix), true
			r.Note("redirect of split", arm.Redirect.String())
		}
		a.list = append(a.list, to)
	}
	if some {
		r.Add(edge.Rewrite, a) // before an answer at hand is looked for
	}
}

// armRedirects are the redirects of entries of split; nil: the entry has a pool.
type armRedirects struct{ list []*redirect }

// Run implements edge.Filter.
func (a *armRedirects) Run(x *edge.Exchange) edge.Verdict {
	if x.Arm > 0 && a.list[x.Arm-1] != nil {
		return a.list[x.Arm-1].Run(x)
	}
	return edge.Next
}

type respondKeys struct {
	Status int    `toml:"status" default:"200" min:"200" max:"599"` // 200 to 599
	Body   string `toml:"body"`                                     // a template
	// Fields of the answer; values are templates.
	Headers map[string]string `toml:"headers" unset:"{}"`

	Table *config.Table `toml:"-"`
}

func setUp(r *edge.RouteSetup) {
	if r.Unrouted {
		return
	}
	var k keys
	r.Table.Decode(&k)
	if r.Table.Has("split") {
		k.arms(r)
	}
	if k.Redirect != nil {
		r.Answers("redirect")
		if to := k.Redirect.compile(k.Path, k.Prefix); to != nil {
			r.Add(edge.Admit, to)
			r.Note("redirect", k.Redirect.String())
		}
	}
	if k.Respond != nil {
		r.Answers("respond")
		vars, ok := edge.RouteVars(k.Path, k.Prefix)
		if !ok {
			return // reported by whoever compiles the routes
		}
		a := k.Respond.compile(vars)
		r.Add(edge.Admit, a)
		r.Note("respond", a.String())
	}
}
