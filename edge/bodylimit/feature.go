// Package bodylimit bounds the bodies of requests by route.
package bodylimit

import (
	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/config"
)

// Feature makes the route key max_body_bytes work, and refuses a body that is announced as too large before
// anything of it is read. In the list it stands among the first of those that may refuse a request.
var Feature = edge.Feature{Name: "bodylimit", New: build}

func build(*edge.Host) *edge.Instance { return &edge.Instance{Route: route} }

func route(r *edge.RouteSetup) {
	if r.Unrouted {
		return
	}
	var conf struct {
		Max *config.Size `toml:"max_body_bytes" unset:"that of the listener"` // of a request body
	}
	r.Table.Decode(&conf)
	l := &limit{max: asListener}
	if conf.Max != nil {
		l.max = int64(*conf.Max)
		r.Note("max_body_bytes", conf.Max.String())
	}
	r.Add(edge.Access, l)
}
