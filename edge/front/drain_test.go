package front

import (
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/metric"
)

// TestDrainWhileConnecting: a drain that meets connections at any point of their beginning ends all of them
// after the grace, not after the time a client has for its first request.
func TestDrainWhileConnecting(t *testing.T) {
	f := New(&edge.Current{}, metric.NewRegistry().Scope(), nil, 2)
	if err := f.startLoops(); err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	f.drainGrace.Store(int64(time.Millisecond))
	nl, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	socket, err := f.loops.Listen(nl, false)
	if err != nil {
		t.Fatal(err)
	}
	l := newListener(f, "test", socket)
	l.settings.Store(&settings{headerTimeout: time.Hour, headBuffer: readBuffer, maxConns: 1000})
	l.start()
	l.drains.Store(true) // as drain does, but again and again
	for range 500 {
		nc, err := net.Dial("tcp", nl.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		l.each((*conn).lastCall)
		_ = nc.SetDeadline(time.Now().Add(time.Minute))
		if b, err := io.ReadAll(nc); len(b) > 0 || err != nil && !errors.Is(err, syscall.ECONNRESET) {
			t.Fatalf("%q %v", b, err)
		}
		nc.Close()
	}
	l.drains.Store(false)
	l.drain()
	if !l.waitEmpty(time.Now().Add(time.Minute)) {
		t.Fatalf("%d connections are left", l.conns.Sum())
	}
}
