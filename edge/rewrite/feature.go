// Package rewrite decides which path and which Host the target sees.
package rewrite

import (
	"strings"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/config"
	"github.com/penstock-edge/penstock/edge/route"
)

// Feature makes the route keys strip_prefix, rewrite and preserve_host work.
var Feature = edge.Feature{Name: "rewrite", New: build}

func build(*edge.Host) *edge.Instance { return &edge.Instance{Route: setUp} }

// keys are those of a [[route]].
type keys struct {
	StripPrefix  string `toml:"strip_prefix"`
	Rewrite      string `toml:"rewrite"`
	PreserveHost bool   `toml:"preserve_host" default:"true"`
	// Path and Prefix are the route's own: what the parameters are, and what lies behind the prefix.
	Path   string `toml:"path"`
	Prefix string `toml:"prefix"`

	Table *config.Table `toml:"-"`
}

func setUp(r *edge.RouteSetup) {
	if r.Unrouted {
		return
	}
	var k keys
	r.Table.Decode(&k)
	if k.PreserveHost {
		r.Add(edge.Rewrite, keepHost{})
	} else {
		r.Note("preserve_host", "false")
	}
	switch {
	case r.Table.Has("strip_prefix") && r.Table.Has("rewrite"):
		r.Table.Errorf("rewrite", "a route has either strip_prefix or rewrite")
	case r.Table.Has("strip_prefix"):
		if s := k.strip(); s != nil {
			r.Add(edge.Rewrite, s)
			r.Note("strip_prefix", k.StripPrefix)
		}
	case r.Table.Has("rewrite"):
		if t := k.template(); t != nil {
			r.Add(edge.Rewrite, t)
			r.Note("rewrite", k.Rewrite)
		}
	}
}

// strip returns nil when the key is wrong, which is then recorded.
func (k *keys) strip() *strip {
	prefix, bad := route.Canonical(nil, []byte(k.StripPrefix))
	if bad != nil {
		k.Table.Errorf("strip_prefix", "%s", bad.Reason)
		return nil
	}
	literal, _, _ := strings.Cut(k.Path+k.Prefix, "{")
	if !strings.HasPrefix(literal, string(prefix)) && !strings.HasPrefix(string(prefix), literal) {
		k.Table.Errorf("strip_prefix", "no path of this route begins with %q: all begin with %q", prefix, literal)
		return nil
	}
	return &strip{prefix}
}

// template returns nil when the key is wrong, which is then recorded, or the path that it is about.
func (k *keys) template() *template {
	names, ok := route.ParamNames(k.Path)
	cut, bad := route.Canonical(nil, []byte(k.Prefix))
	if !ok || bad != nil && k.Prefix != "" {
		return nil // whoever compiles the routes reports it
	}
	t, message := parse(k.Rewrite, names, k.Prefix != "")
	if message != "" {
		k.Table.Errorf("rewrite", "%s", message)
		return nil
	}
	t.cut = len(cut)
	return t
}
