package relay

import (
	"crypto/sha256"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pair is what stands at both ends of a relay that runs until the test ends.
type pair struct {
	target net.Listener
	addr   string
}

func start(t *testing.T) *pair {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r, err := Listen("127.0.0.1:0", l.Addr().String(), false)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(r.Serve)
	t.Cleanup(func() { l.Close(); r.Close(); wg.Wait() })
	return &pair{l, r.Addr()}
}

// connect opens a connection through the relay and gives both of its ends.
func (p *pair) connect(t *testing.T) (client, server net.Conn) {
	t.Helper()
	client, err := net.Dial("tcp", p.addr)
	if err != nil {
		t.Fatal(err)
	}
	server, err = p.target.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(); server.Close() })
	return client, server
}

func noise(seed uint64, n int) []byte {
	p := make([]byte, n)
	seeded := rand.NewChaCha8([32]byte{byte(seed)})
	seeded.Read(p)
	return p
}

// transfer sends n bytes from one end to the other and compares their sums.
func transfer(t *testing.T, from, to net.Conn, seed uint64, n int) {
	p := noise(seed, n)
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := from.Write(p); err != nil {
			t.Error(err)
		}
	})
	h := sha256.New()
	got, err := io.CopyN(h, to, int64(n))
	if err != nil || [32]byte(h.Sum(nil)) != sha256.Sum256(p) {
		t.Errorf("%d of %d bytes came, or others: %v", got, n, err)
	}
	wg.Wait()
}

func TestBothWays(t *testing.T) {
	p := start(t)
	f := func(n int) {
		t.Helper()
		client, server := p.connect(t)
		for range 2 {
			var wg sync.WaitGroup
			wg.Go(func() { transfer(t, client, server, 1, n) })
			wg.Go(func() { transfer(t, server, client, 2, n) })
			wg.Wait()
		}
	}
	f(1)
	f(1000)
	f(1 << 20)
	f(30 << 20)
}

// What an end does not read waits: nothing is lost, the other direction and other pairs go on.
func TestReaderWaits(t *testing.T) {
	p := start(t)
	client, server := p.connect(t)
	const n = 30 << 20 // more than the sockets' buffers hold
	sent := noise(1, n)
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		if _, err := client.Write(sent); err != nil {
			t.Error(err)
		}
	})
	other, otherServer := p.connect(t)
	transfer(t, other, otherServer, 3, 1<<20)
	transfer(t, server, client, 4, 1<<20)
	h := sha256.New()
	if _, err := io.CopyN(h, server, n); err != nil || [32]byte(h.Sum(nil)) != sha256.Sum256(sent) {
		t.Errorf("other bytes have come, or not all: %v", err)
	}
}

func TestClose(t *testing.T) {
	p := start(t)
	f := func(swap, reset bool) {
		t.Helper()
		a, b := p.connect(t)
		if swap {
			a, b = b, a
		}
		if _, err := io.WriteString(a, "bye"); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 3)
		if _, err := io.ReadFull(b, got); err != nil || string(got) != "bye" {
			t.Fatalf("%q, %v", got, err)
		}
		if reset {
			a.(*net.TCPConn).SetLinger(0)
		}
		a.Close()
		if n, err := b.Read(got); n != 0 || err == nil {
			t.Errorf("%d bytes and %v, want the end", n, err)
		}
	}
	for _, reset := range []bool{false, true} {
		f(false, reset)
		f(true, reset)
	}
	client, server := p.connect(t) // others go on
	transfer(t, client, server, 5, 1000)
}

// An end that breaks while the relay holds bytes for the other takes nothing else with it.
func TestBrokenWhileFull(t *testing.T) {
	p := start(t)
	client, server := p.connect(t)
	var wg sync.WaitGroup
	wg.Go(func() { client.Write(make([]byte, 30<<20)) }) // ends when the connection breaks
	if _, err := io.ReadFull(server, make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	client.(*net.TCPConn).SetLinger(0)
	client.Close()
	wg.Wait()
	io.Copy(io.Discard, server) // comes to an end
	client, server = p.connect(t)
	transfer(t, client, server, 6, 1000)
}

// Without a target, a connection is closed, and the relay goes on.
func TestNoTarget(t *testing.T) {
	p := start(t)
	p.target.Close()
	for range 3 {
		c, err := net.Dial("tcp", p.addr)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil {
			t.Errorf("%d bytes, %v", n, err)
		}
		c.Close()
	}
}

func TestListenRefuses(t *testing.T) {
	f := func(addr, target string) {
		t.Helper()
		if r, err := Listen(addr, target, false); err == nil {
			t.Errorf("listens on %s", r.Addr())
		}
	}
	f("nowhere", "127.0.0.1:80")
	f("127.0.0.1:0", "nowhere")
	f("127.0.0.1:0", "localhost:80")
}
