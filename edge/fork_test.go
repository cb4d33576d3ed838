package edge

import (
	"io"
	"testing"
	"time"
)

// leaver is a client that wants the answer of a fork, until it is gone.
type leaver struct {
	client
	gone bool
}

func (l *leaver) Gone() bool { return l.gone }

// insistent is a peer whose policy always wants another attempt; in the first the client leaves.
type insistent struct {
	upstream
	client *leaver
}

func (u *insistent) RoundTrip(x *Exchange) *Fault {
	u.client.gone = true
	return u.upstream.RoundTrip(x)
}

func (u *insistent) Pick(x *Exchange) (Peer, *Fault) {
	_, f := u.upstream.Pick(x)
	return u, f
}

func (u *insistent) Retry(*Exchange, *Fault) (bool, time.Duration) { return true, time.Hour }

func forked(t *testing.T) (h *house, x *Exchange) {
	h = newHouse(t)
	h.add(Access, "access", Next, nil)
	h.add(Admit, "admit", Next, nil)
	h.add(Receive, "receive", Next, nil)
	x = &Exchange{}
	x.Reset()
	x.Conn, x.Plan, x.Gen = client{}, h.plan, h.g
	x.SetMethod([]byte("GET"))
	x.Path = []byte("/x")
	return h, x
}

// TestForkCancelled: a fork that nobody wants any more makes no other attempt, and lets go of what it has;
// what it was made for does not hear of it.
func TestForkCancelled(t *testing.T) {
	h, x := forked(t)
	l := &leaver{}
	h.plan.Upstream = &insistent{upstream{h: h, faults: []*Fault{UpstreamReset}}, l}
	y := new(Exchange)
	x.Fork(y, l)
	f := Fetch(y)
	y.Finish(f)
	h.expect("admit", "pick", "try", "release:upstream_reset")
	if f != ClientGone || x.Fault != nil {
		t.Errorf("the fork ends with %v, what it was made for with %v", f, x.Fault)
	}
}

// TestForkJoined: the answer of a fork becomes that of the other, with its peer.
func TestForkJoined(t *testing.T) {
	h, x := forked(t)
	h.plan.Upstream = &upstream{h: h, faults: []*Fault{nil}}
	y := new(Exchange)
	x.Fork(y, nil)
	if f := Fetch(y); f != nil {
		t.Fatal(f)
	}
	x.TakeOver(y)
	y.Finish(nil)
	h.expect("admit", "pick", "try", "receive")
	b, err := io.ReadAll(x.Out)
	x.Finish(nil)
	h.expect("admit", "pick", "try", "receive", "release")
	if string(b) != "from the upstream" || err != nil || x.Attempts != 1 {
		t.Errorf("%q, %v, %d attempts", b, err, x.Attempts)
	}
}

// TestForkDetached: a fork goes on when what it was made for has ended, with a plan and a deadline of its
// own.
func TestForkDetached(t *testing.T) {
	h, x := forked(t)
	other := &upstream{h: h, faults: []*Fault{UpstreamStale, nil}}
	y := new(Exchange)
	x.SetMethod([]byte("POST"))
	x.Deadline = 1
	x.Fork(y, nil)
	y.Plan = &Plan{Name: "copies", Upstream: other, Copies: true}
	y.Begin(time.Hour)
	x.SetMethod([]byte("PUT"))
	x.Reset()
	f := Fetch(y)
	y.Finish(f)
	h.expect("pick", "try", "release:upstream_reset", "pick", "try", "release")
	if f != nil || string(y.Method) != "POST" || string(y.Path) != "/x" || y.Deadline-y.Times.Start != int64(time.Hour) {
		t.Errorf("%v: %s %s", f, y.Method, y.Path)
	}
}

// TestAdopt: an attempt made by a fork becomes one of the exchange's own peer. The fork has nothing left.
func TestAdopt(t *testing.T) {
	h, x := forked(t)
	peer := &upstream{h: h}
	x.peer = peer
	y := new(Exchange)
	x.Fork(y, nil)
	body := NewBytesBody([]byte("b"))
	y.Out, y.OutLen, y.Held, y.TargetName, y.Times.Sent = body, 1, 7, "t", 5
	x.Adopt(y)
	if x.peer != Peer(peer) || x.Out != Body(body) || x.OutLen != 1 || x.Held != 7 || x.TargetName != "t" || x.Times.Sent != 5 {
		t.Errorf("adopted: %+v", x.Response)
	}
	if y.peer != nil || y.Out != nil || y.Held != nil || y.TargetName != "" {
		t.Errorf("left over: %+v", y.Response)
	}
	y.Finish(nil)
	h.expect()
}
