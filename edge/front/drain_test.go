package front

import (
	"errors"
	"io"
	"syscall"
	"testing"
	"time"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/front/client"
)

// TestDrainWhileConnecting: a drain that meets connections at any point of their beginning ends all of them
// after the grace, not after the time a client has for its first request.
func TestDrainWhileConnecting(t *testing.T) {
	l := newTestListener(t, &edge.Current{}, &settings{Settings: client.Settings{HeaderTimeout: time.Hour}, maxConns: 1000})
	l.front.group.DrainGrace.Store(int64(time.Millisecond))
	l.start()
	l.Drains.Store(true) // as drain does, but again and again
	for range 500 {
		nc := l.dial(t)
		l.each(func(c *conn) { c.LastCall() })
		_ = nc.SetDeadline(time.Now().Add(time.Minute))
		if b, err := io.ReadAll(nc); len(b) > 0 || err != nil && !errors.Is(err, syscall.ECONNRESET) {
			t.Fatalf("%q %v", b, err)
		}
		nc.Close()
	}
	l.Drains.Store(false)
	l.drain()
	if !l.waitEmpty(time.Now().Add(time.Minute)) {
		t.Fatalf("%d connections are left", l.conns.Sum())
	}
}

// TestLeavingListener: one that may still take in connections is remembered, though it has none, so that a stop waits
// for them.
func TestLeavingListener(t *testing.T) {
	l := newTestListener(t, &edge.Current{}, &settings{})
	l.start()
	f := l.front
	f.leaving = append(f.leaving, l)
	if f.dropEmpty(); len(f.leaving) != 1 {
		t.Error("a listener that accepts is forgotten")
	}
	l.drain()
	l.accepts.Wait()
	if f.dropEmpty(); len(f.leaving) != 0 {
		t.Error("a listener that has ended is remembered")
	}
}
