// Package fixed is the peer that answers for a pool when no target can be asked: always the same.
package fixed

import (
	"maps"
	"slices"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/pool/section"
)

// Answer is a peer that gives one answer by itself.
type Answer struct {
	status int
	body   []byte
	kind   string
	fields [][2]string
}

// Start implements edge.Starter.
func (*Answer) Start(*edge.Exchange) bool { return true }

// Receive implements edge.Starter.
func (a *Answer) Receive(x *edge.Exchange) (edge.Outcome, *edge.Fault) {
	return edge.Ended, a.RoundTrip(x)
}

// RoundTrip implements edge.Peer.
func (a *Answer) RoundTrip(x *edge.Exchange) *edge.Fault {
	x.Answer(a.status, a.kind, a.body)
	for _, f := range a.fields {
		x.Resp.Add(f[0], f[1])
	}
	return nil
}

// Release implements edge.Peer.
func (*Answer) Release(*edge.Exchange, *edge.Fault) {}

// New returns the answer that f describes.
func New(f *section.Fallback) *Answer {
	a := &Answer{status: f.Status, body: []byte(f.Body), kind: f.ContentType}
	for _, name := range slices.Sorted(maps.Keys(f.Headers)) {
		a.fields = append(a.fields, [2]string{name, f.Headers[name]})
	}
	return a
}
