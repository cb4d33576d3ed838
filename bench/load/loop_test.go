package load

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/penstock-edge/penstock/bench/origin"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// short is how long a run of a test takes: enough for some requests on the slowest machine, and nothing depends on it.
const short = 100 * time.Millisecond

// startOrigin runs bench's own origin until the test ends.
func startOrigin(t *testing.T) string {
	s, err := origin.Listen("127.0.0.1:0", false)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(s.Serve)
	t.Cleanup(func() { s.Close(); wg.Wait() })
	return s.Addr()
}

// serve hands each connection to f until the test ends, and closes it behind f.
func serve(t *testing.T, f func(net.Conn)) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { defer c.Close(); f(c) })
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return l.Addr().String()
}

// readHead reads one request without a body; false: there is none.
func readHead(r *bufio.Reader) bool {
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return false
		}
		if line == "\r\n" {
			return true
		}
	}
}

func answerOf(body string) string {
	return fmt.Sprintf("%sContent-Length: %d\r\n\r\n%s", ok, len(body), body)
}

func newLoader(t *testing.T, opt Options) *Loader {
	if opt.Paths == nil {
		opt.Paths = []string{"/128"}
	}
	l, err := New(opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

// tally wants every request to be done or failed, and every failure to have a kind.
func tally(t *testing.T, r Result) {
	t.Helper()
	kinds := 0
	for _, n := range r.Errors {
		kinds += n
	}
	if r.Sent == 0 || r.Sent != r.Done+r.Failed || kinds != r.Failed {
		t.Errorf("want every request accounted for: %+v", r)
	}
	if r.Done > 0 && (r.P50 <= 0 || r.P50 > r.P99 || r.P99 > r.Max || r.Rate <= 0) {
		t.Errorf("want times in their order: %+v", r)
	}
}

func clean(t *testing.T, r Result) {
	t.Helper()
	if tally(t, r); r.Failed != 0 {
		t.Errorf("want no failure: %+v", r)
	}
}

func TestClosedLoop(t *testing.T) {
	f := func(conns int, opt Options) {
		t.Helper()
		opt.Addr = startOrigin(t)
		l := newLoader(t, opt)
		for range 2 { // again over the same connections
			if r := l.Run(conns, 0, short); r.Sent < conns {
				t.Errorf("%d connections: %+v", conns, r)
			} else {
				clean(t, r)
			}
		}
	}
	f(1, Options{})
	f(64, Options{})
	f(8, Options{Paths: []string{"/0", "/r/1/1024", "/1000000"}})
	f(8, Options{Close: true})
	f(2, Options{Close: true, Paths: []string{"/1000000"}})
}

func TestOpenLoop(t *testing.T) {
	f := func(conns int, rate float64, last time.Duration, want int, opt Options) {
		t.Helper()
		opt.Addr = startOrigin(t)
		l := newLoader(t, opt)
		l.patience = time.Hour // a run that waits for nothing would never end
		r := l.Run(conns, rate, last)
		if clean(t, r); r.Sent != want {
			t.Errorf("%g/s for %v: %d requests, want %d", rate, last, r.Sent, want)
		}
	}
	f(4, 1000, 50*time.Millisecond, 50, Options{})
	f(1, 4000, 50*time.Millisecond, 200, Options{})
	f(64, 10, 50*time.Millisecond, 1, Options{}) // ends though nothing happens any more
	f(4, 1000, 50*time.Millisecond, 50, Options{Close: true})
}

func TestPathsInTurn(t *testing.T) {
	var mu sync.Mutex
	seen := map[string]int{}
	addr := serve(t, func(c net.Conn) {
		for r := bufio.NewReader(c); ; {
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			mu.Lock()
			seen[req.URL.Path]++
			mu.Unlock()
			io.WriteString(c, answerOf("x"))
		}
	})
	l := newLoader(t, Options{Addr: addr, Paths: []string{"/a", "/b", "/c"}})
	clean(t, l.Run(2, 1000, 30*time.Millisecond))
	l.Close()
	mu.Lock()
	defer mu.Unlock()
	if len(seen) != 3 || seen["/a"] != 10 || seen["/b"] != 10 || seen["/c"] != 10 {
		t.Errorf("asked for %v, want ten each", seen)
	}
}

// Latency counts from when a request was due: the requests that wait while the only connection is stalled have
// waited as long as there was left of the stall.
func TestOpenLoopCountsWaiting(t *testing.T) {
	clock := newLoader(t, Options{Addr: startOrigin(t)})
	stalled := make(chan time.Duration, 1)
	addr := serve(t, func(c net.Conn) {
		r := bufio.NewReader(c)
		for first := true; readHead(r); first = false {
			if first {
				begin, over := time.Now(), make(chan struct{})
				go func() { clock.Run(1, 0, 60*time.Millisecond); close(over) }()
				<-over
				stalled <- time.Since(begin)
			}
			io.WriteString(c, answerOf("x"))
		}
	})
	l := newLoader(t, Options{Addr: addr})
	r := l.Run(1, 1000, 100*time.Millisecond)
	l.Close()
	clean(t, r)
	wait := min(<-stalled, 100*time.Millisecond)
	// Of the 100 requests a millisecond apart, those due in the first half of the stall waited for the second.
	if r.Sent != 100 || r.Max < int64(wait) || r.P90 < int64(wait)/2 {
		t.Errorf("stalled for %v: %+v", wait, r)
	}
}

func TestHeldConnections(t *testing.T) {
	l := newLoader(t, Options{Addr: startOrigin(t)})
	f := func(what string, r Result, want int) {
		t.Helper()
		if r.Sent != want || r.Done != want || r.Failed != 0 {
			t.Errorf("%s: %+v, want %d", what, r, want)
		}
	}
	f("idle", l.Idle(100), 100)
	f("burst", l.Burst(), 100)
	f("burst", l.Burst(), 100)
	f("idle", l.Idle(3), 3)
	clean(t, l.Run(3, 0, short))
	f("burst after a run", l.Burst(), 3)
	l.Drop()
	f("burst of none", l.Burst(), 0)
	clean(t, l.Run(2, 0, short))
}

// The server closes every connection behind one answer. What the loader has noticed of that is opened anew; what
// it has not, fails.
func TestHeldConnectionsClosed(t *testing.T) {
	addr := serve(t, func(c net.Conn) {
		if readHead(bufio.NewReader(c)) {
			io.WriteString(c, answerOf("x"))
		}
	})
	l := newLoader(t, Options{Addr: addr})
	clean(t, l.Idle(20))
	tally(t, l.Burst())
	tally(t, l.Burst())
}

func TestAnswerUntilClose(t *testing.T) {
	addr := serve(t, func(c net.Conn) {
		if readHead(bufio.NewReader(c)) {
			io.WriteString(c, ok+"\r\nuntil the end")
		}
	})
	l := newLoader(t, Options{Addr: addr})
	clean(t, l.Run(4, 0, short))
	clean(t, l.Run(4, 1000, short))
}

func TestErrors(t *testing.T) {
	refused, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refused.Close()
	f := func(kind, addr string) {
		t.Helper()
		l := newLoader(t, Options{Addr: addr})
		for _, rate := range []float64{0, 2000} {
			r := l.Run(2, rate, short/5) // each request leaves a port that rests for a minute
			if tally(t, r); r.Done != 0 || kind != "" && r.Errors[kind] != r.Failed {
				t.Errorf("want only %s: %+v", kind, r)
			}
		}
		if r := l.Idle(10); r.Sent != 10 || r.Failed != 10 {
			t.Errorf("want ten failures: %+v", r)
		}
	}
	answered := func(text string) string {
		return serve(t, func(c net.Conn) {
			for r := bufio.NewReader(c); readHead(r); {
				io.WriteString(c, text)
			}
		})
	}
	closed := func(text string) string {
		return serve(t, func(c net.Conn) {
			readHead(bufio.NewReader(c))
			io.WriteString(c, text)
		})
	}
	f("", refused.Addr().String())
	f("closed", closed(""))
	f("closed", closed(ok+"Content-Length: 10\r\n\r\nhalf"))
	f("status-503", answered("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\nno"))
	f("bad-head", answered("SSH-2.0-OpenSSH_9.9\r\n"))
	f("bad-chunk", answered(ok+"Transfer-Encoding: chunked\r\n\r\nzz\r\n"))
}

func TestUnasked(t *testing.T) {
	addr := serve(t, func(c net.Conn) {
		for r := bufio.NewReader(c); readHead(r); {
			io.WriteString(c, answerOf("x")+answerOf("y"))
		}
	})
	l := newLoader(t, Options{Addr: addr})
	if r := l.Run(2, 0, short); r.Done == 0 || r.Failed == 0 || r.Errors["unasked"] != r.Failed {
		t.Errorf("want each second answer to be an error: %+v", r)
	}
}

// A server that does not answer, or does not close, ends no run and is counted.
func TestImpatience(t *testing.T) {
	f := func(kind, answer string, done, failed int) {
		t.Helper()
		var asked atomic.Int64
		addr := serve(t, func(c net.Conn) {
			for r := bufio.NewReader(c); readHead(r); {
				asked.Add(1)
				io.WriteString(c, answer)
			}
		})
		l := newLoader(t, Options{Addr: addr, Close: true})
		l.patience = short
		r := l.Run(3, 0, short)
		if l.Close(); r.Sent != 3 || r.Done != done || r.Failed != failed || r.Errors[kind] != failed {
			t.Errorf("want three %s: %+v", kind, r)
		}
		if n := asked.Load(); n > 3 {
			t.Errorf("%d requests over three connections", n)
		}
	}
	f("no-answer", ok, 0, 3)
	f("not-closed", answerOf("x"), 3, 3)
}

func TestOptionsRefused(t *testing.T) {
	f := func(opt Options) {
		t.Helper()
		if r, err := newRunner(opt); err == nil {
			r.Close()
			t.Errorf("%+v was taken", opt)
		}
	}
	f(Options{Addr: "127.0.0.1:80"})
	f(Options{Addr: "127.0.0.1:80", TLS: true})
	f(Options{Addr: "localhost:80", Paths: []string{"/"}})
	f(Options{Addr: "[::1]:80", Paths: []string{"/"}})
	f(Options{Paths: []string{"/"}})
}
