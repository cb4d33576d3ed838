package poll

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/penstock-edge/penstock/edge/lib/clock"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// told is a handler that writes down what the loop calls.
type told struct {
	s     *Socket
	calls chan string
	hung  chan struct{} // Hangup was called; holds one
	quiet bool          // Ready does not read
}

func (h *told) Ready() {
	if h.quiet {
		h.calls <- "ready"
		return
	}
	buf := make([]byte, 64)
	for {
		n, err := h.s.TryRead(buf)
		switch {
		case n > 0:
			h.calls <- string(buf[:n])
		case err != nil:
			h.calls <- err.Error()
			return
		}
		if h.s.Fresh() && h.s.Await() {
			return
		}
	}
}

func (h *told) Expired() { h.calls <- "expired" }

func (h *told) Hangup() {
	select {
	case h.hung <- struct{}{}:
	default:
	}
}

// pair returns a socket of a loop and the other end of its connection.
func pair(t testing.TB) (*Socket, *told, *net.TCPConn) {
	t.Helper()
	p, err := Start(2)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	far, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { far.Close() })
	near, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	h := &told{calls: make(chan string, 100), hung: make(chan struct{}, 1)}
	// The handler is not called before Await, which comes after its field is set.
	s, err := p.Pick().AdoptConn(near, h)
	if err != nil {
		t.Fatal(err)
	}
	h.s = s
	t.Cleanup(func() { s.Close() })
	return s, h, far.(*net.TCPConn)
}

func (h *told) expect(t *testing.T, want ...string) {
	t.Helper()
	for _, w := range want {
		select {
		case got := <-h.calls:
			if got != w {
				t.Fatalf("the loop said %q, want %q", got, w)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("the loop did not say %q", w)
		}
	}
}

func TestReady(t *testing.T) {
	s, h, far := pair(t)
	if !s.Await() {
		t.Fatal("a fresh socket is not on Await")
	}
	for _, text := range []string{"one", "two", "three"} {
		far.Write([]byte(text))
		h.expect(t, text)
	}
	far.Close()
	h.expect(t, "EOF")
	if s.Await() {
		t.Error("a socket that has ended was taken on Await")
	}
}

// A read that is shorter than the buffer takes all there is; when the end came with the bytes, it must still be
// found, though no further event tells of it.
func TestEndBehindBytes(t *testing.T) {
	for range 50 {
		s, h, far := pair(t)
		far.Write([]byte("last"))
		far.CloseWrite()
		<-h.hung // nobody was on Await
		if s.Await() {
			t.Fatal("bytes and the end are there, and the socket went on Await")
		}
		h.Ready()
		h.expect(t, "last", "EOF")
	}
}

// More bytes than one read takes are not forgotten.
func TestLongReads(t *testing.T) {
	s, h, far := pair(t)
	text := bytes.Repeat([]byte("0123456789abcdef"), 64)
	far.Write(text)
	if !s.Await() {
		h.Ready()
	}
	var got []byte
	for len(got) < len(text) {
		select {
		case piece := <-h.calls:
			got = append(got, piece...)
		case <-time.After(10 * time.Second):
			t.Fatalf("%d of %d bytes came", len(got), len(text))
		}
	}
	if !bytes.Equal(got, text) {
		t.Error("other bytes came than were sent")
	}
}

func TestHangup(t *testing.T) {
	s, h, far := pair(t)
	far.CloseWrite()
	<-h.hung
	if !s.HungUp() || s.Fresh() {
		t.Error("the other side has closed its half unnoticed")
	}
	if _, err := s.Write([]byte("still here")); err != nil {
		t.Errorf("writing to a half-closed connection: %v", err)
	}
}

func TestDue(t *testing.T) {
	s, h, far := pair(t)
	s.SetDue(clock.Now() + int64(time.Hour))
	s.SetDue(clock.Now() + int64(20*time.Millisecond))
	if !s.Await() {
		t.Fatal("not on Await")
	}
	h.expect(t, "expired")
	h.quiet = true
	s.SetDue(clock.Now() + int64(20*time.Millisecond))
	s.SetDue(clock.Now() + int64(time.Hour)) // it is looked at early, and nothing is told
	if !s.Await() {
		t.Fatal("not on Await")
	}
	for s.tick.Load() == 0 || s.tick.Load() < (clock.Now()+int64(time.Second))/tick {
		time.Sleep(time.Millisecond) // until the wheel has put it where it belongs
	}
	far.Write([]byte("x"))
	h.expect(t, "ready")
}

func TestShutdownTellsTheHandler(t *testing.T) {
	s, h, _ := pair(t)
	if !s.Await() {
		t.Fatal("not on Await")
	}
	s.Shutdown()
	h.expect(t, "EOF")
}

func TestBlockingCalls(t *testing.T) {
	s, _, far := pair(t)
	buf := make([]byte, 8)
	_ = s.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	if _, err := s.Read(buf); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read without bytes: %v", err)
	}
	_ = s.SetReadDeadline(time.Time{})
	far.Write([]byte("hello"))
	if n, err := s.Read(buf); err != nil || string(buf[:n]) != "hello" {
		t.Errorf("%q %v", buf[:n], err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := s.Read(buf); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a deadline that passes while a read waits: %v", err)
		}
	})
	for s.in.state.Load() != parked {
		time.Sleep(time.Millisecond)
	}
	_ = s.SetReadDeadline(time.Unix(1, 0))
	wg.Wait()
	_ = s.SetReadDeadline(time.Time{})
	wg.Go(func() {
		if _, err := s.Read(buf); !errors.Is(err, net.ErrClosed) {
			t.Errorf("read while the socket is closed: %v", err)
		}
	})
	for s.in.state.Load() != parked {
		time.Sleep(time.Millisecond)
	}
	s.Close()
	wg.Wait()
	if err := s.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("second Close: %v", err)
	}
}

// Bytes pass whole and in order when both directions are full most of the time.
func TestManyBytes(t *testing.T) {
	s, _, far := pair(t)
	const total = 32 << 20
	var wg sync.WaitGroup
	send := func(w io.WriteCloser, end func() error) {
		buf := make([]byte, 1<<16)
		for at := 0; at < total; at += len(buf) {
			for i := range buf {
				buf[i] = byte((at + i) / 7)
			}
			if _, err := w.Write(buf); err != nil {
				t.Error(err)
				return
			}
		}
		if err := end(); err != nil {
			t.Error(err)
		}
	}
	receive := func(r io.Reader) {
		buf, at := make([]byte, 30_011), 0
		for {
			n, err := r.Read(buf)
			for i := range n {
				if buf[i] != byte((at+i)/7) {
					t.Errorf("byte %d is wrong", at+i)
					return
				}
			}
			at += n
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Error(err)
				break
			}
		}
		if at != total {
			t.Errorf("%d of %d bytes", at, total)
		}
	}
	wg.Go(func() { send(s, s.CloseWrite) })
	wg.Go(func() { receive(s) })
	wg.Go(func() { send(far, far.CloseWrite) })
	wg.Go(func() { receive(far) })
	wg.Wait()
}

// A socket closed by one goroutine while others use it gives its descriptor back once, and no call reaches the
// connection that gets the same number next.
func TestCloseRaces(t *testing.T) {
	for range 200 {
		s, _, far := pair(t)
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() { s.Close() })
			wg.Go(func() { s.Shutdown() })
			wg.Go(func() { s.SetDue(clock.Now() + 1e9) })
		}
		wg.Go(func() { _, _ = s.Read(make([]byte, 1)) })
		wg.Go(func() { _, _ = s.Write([]byte("x")) })
		far.Close()
		wg.Wait()
		if s.ref.Load() != closed {
			t.Fatalf("%d calls under way after all have returned", s.ref.Load()&^closed)
		}
	}
}

// TestTryWriteBoth: two pieces arrive in their order, as far as there is room, wherever that ends.
func TestTryWriteBoth(t *testing.T) {
	s, _, far := pair(t)
	sent := make([]byte, 0, 16<<20)
	for i := 0; len(sent)+8 <= cap(sent); i++ {
		sent = binary.BigEndian.AppendUint64(sent, uint64(i))
	}
	f := func(first, second int, whole bool) (n int) {
		t.Helper()
		n, err := s.TryWriteBoth(sent[:first], sent[first:first+second])
		if err != nil || whole && n != first+second {
			t.Fatal(n, err)
		}
		sent = sent[n:]
		return n
	}
	all := sent
	f(0, 1, true)
	f(1, 0, true)
	f(1, 1, true)
	f(3, 5000, true)
	f(5000, 3, true)
	if n := f(1, 15<<20, false); n <= 1 || n > 15<<20 { // nobody reads
		t.Errorf("%d bytes, want a part of the second piece", n)
	}
	for f(1, 1, false) > 0 { // the kernel still makes room
	}
	all = all[:len(all)-len(sent)]
	s.Close()
	if got, err := io.ReadAll(far); err != nil || !bytes.Equal(got, all) {
		t.Errorf("%d of %d bytes arrived, %v", len(got), len(all), err)
	}
	if n, err := s.TryWriteBoth([]byte("a"), []byte("b")); n != 0 || !errors.Is(err, net.ErrClosed) {
		t.Errorf("%d %v on a closed socket", n, err)
	}
}

// TestHeld: whatever is asked of a socket between Hold and Begin holds from Begin on.
func TestHeld(t *testing.T) {
	p, err := Start(1)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	nl, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l, err := p.Listen(nl, false)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	f := func(ask func(s *Socket), want string) {
		t.Helper()
		far, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer far.Close()
		a, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		s := &Socket{}
		h := &told{s: s, calls: make(chan string, 100)}
		if err := p.Hold(s, a, h); err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		ask(s)
		if err := s.Begin(true); err != nil {
			t.Fatal(err)
		}
		h.expect(t, want)
		if err := s.Begin(true); err == nil || s.ref.Load() != closed { // as when the system has no room for it
			t.Errorf("begun twice: %v, calls under way and closed: %x", err, s.ref.Load())
		}
	}
	f(func(s *Socket) { s.SetDue(clock.Now() + int64(time.Millisecond)) }, "expired")
	f(func(s *Socket) { s.Shutdown() }, "EOF")
}

func TestListener(t *testing.T) {
	p, err := Start(1)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	f := func(network, address string) {
		t.Helper()
		nl, err := net.Listen(network, address)
		if err != nil {
			t.Fatal(err)
		}
		l, err := p.Listen(nl, false)
		if err != nil {
			t.Fatal(err)
		}
		far, err := net.Dial(network, l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		a, err := l.Accept()
		if err != nil || (network == "tcp") != a.Remote.IsValid() {
			t.Fatalf("%v from %v", err, a.Remote)
		}
		a.TurnAway([]byte("go away"))
		if b, err := io.ReadAll(far); err != nil || string(b) != "go away" {
			t.Errorf("%q %v", b, err)
		}
		_ = l.SetDeadline(time.Now())
		if _, err := l.Accept(); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("accept after the deadline: %v", err)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("accept on a closed listener: %v", err)
		}
		if _, err := net.Dial(network, l.Addr().String()); err == nil {
			t.Error("a closed listener lets clients connect")
		}
	}
	f("tcp", "127.0.0.1:0")
	f("unix", t.TempDir()+"/s")
}

// stuck is a handler that keeps its loop.
type stuck struct{ gate, in chan struct{} }

func (h *stuck) Ready()   { close(h.in); <-h.gate }
func (h *stuck) Expired() {}
func (h *stuck) Hangup()  {}

// TestTurn: loops that wait, or work, turn; one that hangs in a handler is seen.
func TestTurn(t *testing.T) {
	loops, err := Start(2)
	if err != nil {
		t.Fatal(err)
	}
	defer loops.Close()
	for range 3 {
		if err := loops.Turn(10 * time.Second); err != nil {
			t.Fatal(err)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	h := &stuck{make(chan struct{}), make(chan struct{})}
	s, err := loops.Pick().AdoptConn(server, h)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if !s.Await() {
		t.Fatal("something is there already")
	}
	if _, err := client.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	<-h.in
	if err := loops.Turn(20 * time.Millisecond); err == nil {
		t.Error("a loop that hangs turns")
	}
	close(h.gate)
	if err := loops.Turn(10 * time.Second); err != nil {
		t.Error(err)
	}
}
