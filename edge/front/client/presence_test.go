package client

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/penstock-edge/penstock/edge/lib/clock"
	"github.com/penstock-edge/penstock/edge/lib/lanes"
	"github.com/penstock-edge/penstock/edge/lib/poll"
	"github.com/penstock-edge/penstock/edge/lib/splice"
)

// waiter is the other half of a connection: it notes what it is told.
type waiter struct {
	expired chan struct{}
	closed  chan struct{}
}

func (w *waiter) Ready()   {}
func (w *waiter) Expired() { close(w.expired) }
func (w *waiter) Hangup()  {}
func (w *waiter) Closed()  { close(w.closed) }

// pair returns a connection and its client's end.
func pair(t *testing.T, set *Settings) (*Conn, *net.TCPConn, *waiter) {
	t.Helper()
	loops, err := poll.Start(1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(loops.Close)
	nl, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l, err := loops.Listen(nl, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	far, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { far.Close() })
	_ = far.SetDeadline(time.Now().Add(time.Minute))
	a, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	w := &waiter{make(chan struct{}), make(chan struct{})}
	c := &Conn{Owner: w, Listener: &Listener{Group: &Group{Evicted: lanes.NewCounter()}}}
	c.Listener.Settings.Store(set)
	c.Net = &c.Socket
	c.Begin(false)
	if err := loops.Hold(&c.Socket, a, w); err != nil {
		t.Fatal(err)
	}
	if err := c.Socket.Begin(false); err != nil {
		t.Fatal(err)
	}
	return c, far.(*net.TCPConn), w
}

// TestPresence: what a connection is doing decides whether it may be evicted, and how it ends then.
func TestPresence(t *testing.T) {
	greets := func(c *Conn) { c.state.Store(greeting) }
	greeted := func(c *Conn) { c.Greeted() }
	begins := func(c *Conn) { c.Busy() }
	rests := func(c *Conn) { c.Idle(clock.Now()) }
	evicts := func(c *Conn) { c.Evict() }
	switches := func(c *Conn) { c.Switch(&Tunnel{}) }
	drains := func(c *Conn) { c.Listener.Drains.Store(true) }
	type steps []func(*Conn)
	for _, c := range []struct {
		name           string
		steps          steps
		waits, last    bool
		evicting, gone int64
	}{
		{"new", nil, true, false, 0, 0},
		{"greeting", steps{greets}, true, false, 0, 0},
		{"greeted", steps{greets, greeted}, true, false, 0, 0},
		{"busy", steps{begins}, false, false, 0, 0},
		{"idle again", steps{begins, rests}, true, false, 0, 0},
		{"tunnel", steps{begins, switches}, false, false, 0, 0},
		{"evicted", steps{evicts}, false, false, 1, 1},
		{"evicted twice", steps{evicts, evicts}, false, false, 1, 1},
		{"evicted while greeting", steps{greets, evicts}, false, false, 1, 1},
		{"greeted too late", steps{greets, evicts, greeted}, false, false, 1, 1},
		{"busy is not evicted", steps{begins, evicts}, false, false, 0, 0},
		{"a tunnel is not evicted", steps{begins, switches, evicts}, false, false, 0, 0},
		{"a request that came first", steps{evicts, begins}, false, true, 0, 1},
		{"a request of an evicted one, evicted", steps{evicts, begins, evicts}, false, true, 0, 1},
		{"the last one stays it", steps{evicts, begins, rests}, false, true, 0, 1},
		{"draining", steps{drains, begins}, false, true, 0, 0},
		{"draining, idle", steps{drains}, true, true, 0, 0},
	} {
		conn, _, w := pair(t, &Settings{})
		for _, step := range c.steps {
			step(conn)
		}
		g := conn.Listener.Group
		_, waits := conn.Waits(clock.Now())
		if waits != c.waits || conn.Last() != c.last || g.Evicting.Load() != c.evicting || int64(g.Evicted.Sum()) != c.gone {
			t.Errorf("%s: waits %v, last %v, evicting %d, evicted %d", c.name, waits, conn.Last(), g.Evicting.Load(), g.Evicted.Sum())
		}
		conn.Close(Orderly)
		<-w.closed
		conn.Evict() // it has ended
		if n := g.Evicting.Load(); n != 0 {
			t.Errorf("%s: %d are to be closed after the end", c.name, n)
		}
	}
}

// TestEvictRace: whoever comes first, an eviction and a request, the count of those that are to be closed is right.
func TestEvictRace(t *testing.T) {
	conn, _, _ := pair(t, &Settings{})
	g := conn.Listener.Group
	for range 2000 {
		conn.state.Store(idle)
		var both sync.WaitGroup
		both.Add(2)
		go func() { defer both.Done(); conn.Evict() }()
		go func() { defer both.Done(); conn.Busy() }()
		both.Wait()
		if n := g.Evicting.Load(); n != 0 || conn.state.Load() != busy && conn.state.Load() != last {
			t.Fatalf("%d are to be closed, state %d", n, conn.state.Load())
		}
	}
}

// TestEvictedExpires: an idle connection that is evicted ends at once, though its owner sets its wait just now.
func TestEvictedExpires(t *testing.T) {
	for name, order := range map[string]func(c *Conn){
		"before":   func(c *Conn) { c.Evict(); c.IdleUntil(clock.Now() + int64(time.Hour)) },
		"after":    func(c *Conn) { c.IdleUntil(clock.Now() + int64(time.Hour)); c.Evict() },
		"drain":    func(c *Conn) { c.Listener.Drains.Store(true); c.IdleUntil(clock.Now() + int64(time.Hour)) },
		"lastcall": func(c *Conn) { c.IdleUntil(clock.Now() + int64(time.Hour)); c.LastCall() },
	} {
		c, _, w := pair(t, &Settings{})
		for !c.Socket.Await() { // the first look finds that nothing has come
			_, _ = c.Socket.TryRead(make([]byte, 1))
			runtime.Gosched()
		}
		order(c)
		select {
		case <-w.expired:
		case <-time.After(time.Minute):
			t.Errorf("%s: the connection goes on", name)
		}
		c.Close(Orderly)
	}
}

// TestClose: how a connection is closed decides what its client sees of an answer on its way.
func TestClose(t *testing.T) {
	for _, c := range []struct {
		name   string
		how    Closing
		unread bool
		whole  bool // the client gets all, and an orderly end
	}{
		{"orderly", Orderly, false, true},
		{"lingering", Linger, false, true},
		{"lingering, unread bytes", Linger, true, true},
		{"reset", Reset, false, false},
	} {
		conn, far, w := pair(t, &Settings{})
		if c.unread {
			if _, err := far.Write(make([]byte, 100_000)); err != nil {
				t.Fatal(err)
			}
		}
		if err := conn.Write([]byte("answer")); err != nil {
			t.Fatal(err)
		}
		go conn.Close(c.how)
		b, err := io.ReadAll(far)
		if whole := string(b) == "answer" && err == nil; whole != c.whole {
			t.Errorf("%s: %q %v", c.name, b, err)
		}
		if !c.whole && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%s: %v, want a reset", c.name, err)
		}
		far.Close()
		<-w.closed
	}
}

// TestWriteRate: a client that takes an answer below the minimum rate is cut; what lies in the socket's queue
// does not count as taken.
func TestWriteRate(t *testing.T) {
	for _, c := range []struct {
		name          string
		rate          int64
		taken, waited int64
		queued        bool
		err           error
	}{
		{"no minimum", 0, 0, int64(time.Hour), false, nil},
		{"in the grace", 1000, 0, int64(4 * time.Second), false, nil},
		{"after the grace", 1000, 0, int64(6 * time.Second), false, os.ErrDeadlineExceeded},
		{"slow and honest", 1000, 3_600_000, int64(time.Hour), false, nil},
		{"slower than that", 1000, 3_500_000, int64(time.Hour), false, os.ErrDeadlineExceeded},
		{"only queued", 1000, 10_000, int64(6 * time.Second), true, os.ErrDeadlineExceeded},
	} {
		conn, far, _ := pair(t, &Settings{MinSend: c.rate})
		if c.queued { // as much as the kernel takes
			for n := 1; n > 0; {
				n, _ = conn.Socket.TryWrite(make([]byte, 1<<16))
			}
		}
		conn.Busy()
		conn.NewAnswer()
		conn.sendRate.Add(c.taken, c.waited)
		err := conn.Write([]byte("x"))
		if !errors.Is(err, c.err) || (err == nil) != (c.err == nil) {
			t.Errorf("%s: %v, want %v", c.name, err, c.err)
		}
		if c.err == nil {
			if _, err := io.ReadFull(far, make([]byte, 1)); err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
		}
		p, err := splice.Acquire()
		if err != nil {
			t.Fatal(err)
		}
		fillPipe(t, p, "spliced")
		var sent int64
		if err := conn.DrainPipe(p, &sent); !errors.Is(err, c.err) || c.err == nil && sent != int64(len("spliced")) {
			t.Errorf("%s: spliced %d bytes, %v", c.name, sent, err)
		}
		p.Release()
		conn.Close(Reset)
	}
}

// fillPipe puts s into p.
func fillPipe(t *testing.T, p *splice.Pipe, s string) {
	t.Helper()
	from, to, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	if _, err := io.WriteString(to, s); err != nil {
		t.Fatal(err)
	}
	to.Close()
	raw, err := from.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Fill(raw, int64(len(s))); err != nil {
		t.Fatal(err)
	}
}

// TestWriteSlowReader: a client that reads in small pieces gets everything.
func TestWriteSlowReader(t *testing.T) {
	conn, far, _ := pair(t, &Settings{MinSend: 1})
	want := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	done := make(chan error)
	go func() {
		err := conn.Write(want)
		conn.Close(Orderly)
		done <- err
	}()
	var got bytes.Buffer
	buf := make([]byte, 777)
	for {
		n, err := far.Read(buf)
		got.Write(buf[:n])
		if err != nil {
			break
		}
	}
	if err := <-done; err != nil || !bytes.Equal(got.Bytes(), want) {
		t.Errorf("%d bytes of %d, %v", got.Len(), len(want), err)
	}
}

// TestWriteGone: a client that leaves ends a write that waits for it.
func TestWriteGone(t *testing.T) {
	for name, leave := range map[string]func(*net.TCPConn){
		"reset": func(far *net.TCPConn) { _ = far.SetLinger(0); far.Close() },
		"close": func(far *net.TCPConn) { far.Close() },
	} {
		conn, far, _ := pair(t, &Settings{})
		done := make(chan error)
		go func() {
			var err error
			for err == nil {
				err = conn.Write(make([]byte, 1<<20))
			}
			done <- err
		}()
		leave(far)
		if err := <-done; errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: %v", name, err)
		}
		conn.Close(Reset)
	}
}

// TestEnds: both ends of a connection are known, the local one after the client has left too.
func TestEnds(t *testing.T) {
	conn, far, _ := pair(t, &Settings{})
	conn.Peer, conn.Port = AddressOf(conn.Socket.Remote()), conn.Socket.Remote().Port()
	peer, local := conn.Ends()
	if peer.String() != far.LocalAddr().String() || local.String() != far.RemoteAddr().String() {
		t.Errorf("%s and %s, want %s and %s", peer, local, far.LocalAddr(), far.RemoteAddr())
	}
	conn.Close(Orderly)
	if _, again := conn.Ends(); again != local {
		t.Errorf("%s after the end, want %s", again, local)
	}
	other, _, _ := pair(t, &Settings{})
	other.Listener.Addr = local
	other.Close(Orderly)
	if _, at := other.Ends(); at != local {
		t.Errorf("asked after the end: %s, want the listener's %s", at, local)
	}
}
