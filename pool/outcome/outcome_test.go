package outcome

import (
	"testing"

	"github.com/penstock-edge/penstock/edge"
)

func TestOf(t *testing.T) {
	f := func(status int, fault *edge.Fault, want Outcome, failed bool) {
		t.Helper()
		if got := Of(status, fault); got != want || got.Failed() != failed {
			t.Errorf("%d, %v: %s, failed %v; want %s, %v", status, fault, got, got.Failed(), want, failed)
		}
	}
	f(200, nil, OK, false)
	f(499, nil, OK, false)
	f(500, nil, Error, true)
	f(0, edge.UpstreamConnect, Connect, true)
	f(0, edge.UpstreamTLS, Connect, true)
	f(0, edge.UpstreamConnectTimeout, Timeout, true)
	f(0, edge.UpstreamTimeout, Timeout, true)
	f(0, edge.UpstreamReset, Reset, true)
	f(0, edge.UpstreamStale, Reset, true)
	f(0, edge.UpstreamUnsent, Reset, true)
	f(200, edge.UpstreamTruncated, Reset, true)
	f(0, edge.UpstreamProtocol, Protocol, true)
	f(101, edge.UpstreamUpgrade, Protocol, true)
	f(0, &edge.Fault{Side: edge.SideUpstream, Code: edge.UpstreamProtocol.Code}, Protocol, true)
	f(0, edge.ClientGone, Client, false)
	f(0, edge.Internal, Client, false)
	f(0, edge.Exhausted, Gateway, false)
	f(0, Lost, Cancelled, false)
}

func TestLast(t *testing.T) {
	var l Last
	if at, _ := l.Get(); at != 0 {
		t.Error("something happened before anything did")
	}
	l.Note(edge.UpstreamReset, 200)
	if at, what := l.Get(); at == 0 || what != "upstream_reset" {
		t.Errorf("%d, %q", at, what)
	}
	l.Note(nil, 503)
	if _, what := l.Get(); what != "status 503" {
		t.Errorf("%q", what)
	}
}
