package front

import (
	"net"
	"testing"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/metric"
)

// newTestListener returns a listener with a front of its own, of two loops. It accepts when it is told to.
func newTestListener(t *testing.T, current *edge.Current, set *settings) *Listener {
	t.Helper()
	f := New(current, metric.NewRegistry().Scope(), nil, 2)
	if err := f.startLoops(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	nl, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	socket, err := f.loops.Listen(nl, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { socket.Close() })
	set.HeadBuffer = 4 << 10
	l := newListener(f, "test", socket)
	l.use(set)
	return l
}

// dial connects to the listener.
func (l *Listener) dial(t *testing.T) net.Conn {
	t.Helper()
	far, err := net.Dial("tcp", l.socket.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { far.Close() })
	return far
}
