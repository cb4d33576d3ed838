package e2e

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// soak is for how long the loads of this package last: PENSTOCK_LOAD_SECONDS, else the given time.
func soak(t testing.TB, ordinary time.Duration) (d time.Duration, long bool) {
	t.Helper()
	text := os.Getenv("PENSTOCK_LOAD_SECONDS")
	if text == "" {
		return ordinary, false
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("PENSTOCK_LOAD_SECONDS is %q, want whole seconds", text)
	}
	return time.Duration(n) * time.Second, true
}

// loader is a crowd of clients on plain sockets that retry nothing. What counts as failure: a connection that
// cannot be made, an answer that is not 200 or not the one to its request, and a connection that ends without
// having said "Connection: close" before.
type loader struct {
	addr    string
	think   time.Duration // between an answer and the next request
	single  bool          // each connection makes one request, and says so
	refused bool          // connections may be refused: the listener comes and goes
	quit    chan struct{}
	workers sync.WaitGroup

	requests atomic.Int64
	dials    atomic.Int64
	closes   atomic.Int64 // answers with Connection: close
	turned   atomic.Int64 // connections refused where that is allowed

	mu       sync.Mutex // guards failures
	failures []string
}

// load starts n clients against addr.
func load(t testing.TB, addr string, n int, change ...func(*loader)) *loader {
	l := &loader{addr: addr, think: 40 * time.Millisecond, quit: make(chan struct{})}
	for _, c := range change {
		c(l)
	}
	for i := range n {
		l.workers.Go(func() { l.client(i) })
	}
	t.Cleanup(l.end)
	return l
}

// end stops the clients between two requests and waits for them.
func (l *loader) end() {
	select {
	case <-l.quit:
	default:
		close(l.quit)
	}
	l.workers.Wait()
}

func (l *loader) fail(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failures = append(l.failures, time.Now().Format("05.000 ")+fmt.Sprintf(format, args...))
}

// check ends the load and fails the test if anything went wrong.
func (l *loader) check(t testing.TB, what string) {
	t.Helper()
	l.end()
	t.Logf("%s: %d requests on %d connections, %d of them closed in order, %d failures", what,
		l.requests.Load(), l.dials.Load(), l.closes.Load(), len(l.failures))
	for i, f := range l.failures {
		if i == 20 {
			break
		}
		t.Errorf("%s: %s", what, f)
	}
	if l.requests.Load() == 0 {
		t.Errorf("%s: not one request was served", what)
	}
}

// rest waits for the time to think; false when the load has ended.
func (l *loader) rest(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-l.quit:
		return false
	case <-timer.C:
		return true
	}
}

func (l *loader) client(n int) {
	if !l.rest(l.think * time.Duration(n%17) / 17) { // not all at once
		return
	}
	for {
		c, err := net.DialTimeout("tcp", l.addr, 20*time.Second)
		switch {
		case err == nil:
			l.dials.Add(1)
			l.connection(c, n)
			c.Close()
		case l.refused && errors.Is(err, syscall.ECONNREFUSED):
			l.turned.Add(1)
		default:
			l.fail("client %d cannot connect: %v", n, err)
		}
		if !l.rest(l.think / 4) {
			return
		}
	}
}

// connection makes requests on c until it ends.
func (l *loader) connection(c net.Conn, n int) {
	br := bufio.NewReader(c)
	for i := 0; ; i++ {
		path := fmt.Sprintf("/load/%d/%d", n, i)
		_ = c.SetDeadline(time.Now().Add(30 * time.Second)) // a closed socket fails the write
		if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: example.com\r\n%s\r\n", path, l.last()); err != nil {
			l.fail("client %d, request %d of its connection: cannot send: %v", n, i, err)
			return
		}
		last, err := l.answer(br, path)
		if err != nil {
			l.fail("client %d, request %d of its connection: %v", n, i, err)
			return
		}
		l.requests.Add(1)
		if last {
			l.closes.Add(1)
			return
		}
		if !l.rest(l.think) {
			return
		}
	}
}

// last is the field that tells that no request follows.
func (l *loader) last() string {
	if l.single {
		return "Connection: close\r\n"
	}
	return ""
}

// answer reads one answer, which must be the path asked for.
func (l *loader) answer(br *bufio.Reader, path string) (last bool, err error) {
	resp, err := http.ReadResponse(br, nil)
	if err != nil {
		return false, fmt.Errorf("no answer: %w", err)
	}
	b, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return false, fmt.Errorf("the answer was cut: %w", err)
	case resp.StatusCode != 200:
		return false, fmt.Errorf("status %d: %s", resp.StatusCode, bytes.TrimSpace(b))
	case string(b) != path:
		return false, fmt.Errorf("asked for %s, got %q", path, b)
	}
	return resp.Close, nil
}

// countedOrigin is an origin on net/http that counts the connections made to it.
func countedOrigin(t testing.TB, h http.HandlerFunc) (addr string, connects *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	connects = &atomic.Int64{}
	srv := &http.Server{Handler: h, ConnState: func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			connects.Add(1)
		}
	}}
	go srv.Serve(l)
	t.Cleanup(func() { srv.Shutdown(canceled()); srv.Close() })
	return l.Addr().String(), connects
}

// pathOrigin answers with the path that was asked for, /ws echoes WebSocket messages, and /events sends a
// numbered event every 20 milliseconds.
func pathOrigin(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/ws":
		echoWebSocket(w, r)
	case "/events":
		sendEvents(w, r)
	default:
		io.WriteString(w, r.URL.Path)
	}
}

func echoWebSocket(w http.ResponseWriter, r *http.Request) {
	c, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer c.CloseNow()
	for {
		kind, b, err := c.Read(r.Context())
		if err != nil || c.Write(r.Context(), kind, b) != nil {
			return
		}
	}
}

func sendEvents(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for i := 0; ; i++ {
		if _, err := fmt.Fprintf(w, "data: %d\n\n", i); err != nil {
			return
		}
		w.(http.Flusher).Flush()
		select {
		case <-r.Context().Done():
			return
		case <-tick.C:
		}
	}
}

// stream is a long-lived exchange: n counts what came, end ends it and tells what went wrong before.
type stream struct {
	n   atomic.Int64
	end func() error
}

// check ends the stream and fails the test if it did not live until now.
func (s *stream) check(t testing.TB, what string) {
	t.Helper()
	if err := s.end(); err != nil || s.n.Load() == 0 {
		t.Errorf("%s ended after %d messages: %v", what, s.n.Load(), err)
	}
}

// flows waits until more has come.
func (s *stream) flows(t testing.TB, what string) {
	t.Helper()
	from := s.n.Load()
	eventually(t, what+" flows", func() bool { return s.n.Load() > from+2 })
}

// talk keeps a WebSocket to addr in use.
func talk(t testing.TB, addr string) *stream {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	c, resp, err := websocket.Dial(ctx, "ws://"+addr+"/ws", nil)
	if err != nil {
		cancel()
		t.Fatal("cannot open a WebSocket: ", err)
	}
	if resp.Body != nil {
		resp.Body.Close()
	}
	t.Cleanup(func() { cancel(); c.CloseNow() })
	stop, done := make(chan struct{}), make(chan error, 1)
	s := &stream{}
	go func() { done <- converse(ctx, c, stop, &s.n) }()
	s.end = func() error {
		close(stop)
		err := <-done
		if err == nil {
			err = c.Close(websocket.StatusNormalClosure, "")
		}
		cancel()
		return err
	}
	return s
}

func converse(ctx context.Context, c *websocket.Conn, stop chan struct{}, count *atomic.Int64) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-stop:
			return nil
		case <-tick.C:
		}
		want := strings.Repeat(strconv.Itoa(i), 50)
		if err := c.Write(ctx, websocket.MessageText, []byte(want)); err != nil {
			return fmt.Errorf("cannot send message %d: %w", i, err)
		}
		_, got, err := c.Read(ctx)
		if err != nil || string(got) != want {
			return fmt.Errorf("message %d came back as %q: %w", i, got, err)
		}
		count.Add(1)
	}
}

// followEvents follows the events of addr; none may be missing.
func followEvents(t testing.TB, addr string) *stream {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, "GET", "http://"+addr+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal("cannot open an event stream: ", err)
	}
	s, done := &stream{}, make(chan error, 1)
	go func() { done <- follow(resp.Body, &s.n) }()
	s.end = func() error {
		select {
		case err := <-done:
			return err
		default:
		}
		cancel()
		<-done
		return nil
	}
	return s
}

func follow(body io.ReadCloser, count *atomic.Int64) error {
	defer body.Close()
	lines := bufio.NewScanner(body)
	for lines.Scan() {
		if lines.Text() == "" {
			continue
		}
		if want := fmt.Sprintf("data: %d", count.Load()); lines.Text() != want {
			return fmt.Errorf("event %q came in place of %q", lines.Text(), want)
		}
		count.Add(1)
	}
	return fmt.Errorf("the stream ended: %w", lines.Err())
}
