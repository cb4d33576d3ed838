// Package forwarded deals with the fields by which proxies pass on who the client is: it believes those of
// trusted proxies, and tells the target.
package forwarded

import (
	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/ip"
)

// Feature finds the client behind trusted proxies and sends X-Forwarded-* and Via to the target. It has no
// keys but server.trusted_proxies. It stands first in the list: all others see the Client, Trusted and
// Scheme it sets.
var Feature = edge.Feature{Name: "forwarded", New: build}

func build(h *edge.Host) *edge.Instance {
	return &edge.Instance{
		Early: &trustForwarded{trusted: ip.NewSet(h.Config.Server.TrustedProxies)},
		Route: func(r *edge.RouteSetup) {
			if r.Unrouted {
				return
			}
			r.Add(edge.Rewrite, addForwarded{})
			r.Add(edge.Receive, addVia{})
		},
	}
}
