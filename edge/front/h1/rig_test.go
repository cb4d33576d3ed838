package h1

import (
	"net"
	"testing"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/front/client"
	"github.com/penstock-edge/penstock/edge/lib/lanes"
	"github.com/penstock-edge/penstock/edge/lib/poll"
)

// rig is a front for tests: a listening socket whose connections the protocol serves in two loops.
type rig struct {
	client.Listener
	p      *Protocol
	loops  *poll.Loops
	socket *poll.Listener
}

// newRig returns a rig whose requests the generations of current serve.
func newRig(t *testing.T, current *edge.Current, set *client.Settings) *rig {
	t.Helper()
	r := &rig{p: New(current, lanes.NewGauge())}
	var err error
	if r.loops, err = poll.Start(2); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.loops.Close)
	nl, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if r.socket, err = r.loops.Listen(nl, false); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.socket.Close() })
	set.HeadBuffer = max(set.HeadBuffer, readBuffer)
	set.Underscored, set.Alike = lanes.NewCounter(), lanes.NewCounter()
	r.Group = &client.Group{Evicted: lanes.NewCounter()}
	r.Settings.Store(set)
	return r
}

// dial connects to the listener.
func (r *rig) dial(t *testing.T) net.Conn {
	t.Helper()
	far, err := net.Dial("tcp", r.socket.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { far.Close() })
	return far
}

// held is the front's half of a connection.
type held struct {
	client.Conn
	*conn
	ended chan struct{} // closed when the connection has ended
}

func (h *held) Closed() { close(h.ended) }

// accept takes in a connection. Without await only the test serves it.
func (r *rig) accept(t *testing.T, await bool) *held {
	t.Helper()
	a, err := r.socket.Accept()
	if err != nil {
		t.Fatal(err)
	}
	h := &held{ended: make(chan struct{})}
	h.Listener, h.Owner, h.Net = &r.Listener, h, &h.Conn.Socket
	h.Conn.Begin(false)
	h.conn = r.p.Open(&h.Conn).(*conn)
	if err := r.loops.Hold(&h.Conn.Socket, a, h.conn); err != nil {
		t.Fatal(err)
	}
	if err := h.Conn.Socket.Begin(await); err != nil {
		t.Fatal(err)
	}
	return h
}
