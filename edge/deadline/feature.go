// Package deadline lets clients say how long they will wait for an answer.
package deadline

import "github.com/penstock-edge/penstock/edge"

// Feature makes the route key trust_deadline work. In the list it stands before everything that takes time.
var Feature = edge.Feature{Name: "deadline", New: build}

func build(*edge.Host) *edge.Instance { return &edge.Instance{Route: route} }

func route(r *edge.RouteSetup) {
	if r.Unrouted {
		return
	}
	var conf struct {
		// true: X-Request-Timeout and grpc-timeout of a client shorten it.
		Trust bool `toml:"trust_deadline" default:"false"`
	}
	r.Table.Decode(&conf)
	if conf.Trust {
		r.Note("trust_deadline", "true")
		r.Add(edge.Access, readDeadline{})
	}
}
