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

// Soak is for how long the loads of this package last: PENSTOCK_LOAD_SECONDS, else the given time.
func Soak(t testing.TB, ordinary time.Duration) (d time.Duration, long bool) {
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

// Loader is a crowd of clients on plain sockets that retry nothing. What counts as failure: a connection that
// cannot be made, an answer that is not 200 or not the one to its request, and a connection that ends without
// having said "Connection: close" before.
type Loader struct {
	addr    string
	Think   time.Duration // between an answer and the next request
	Single  bool          // each connection makes one request, and says so
	Refused bool          // connections may be refused: the listener comes and goes
	quit    chan struct{}
	workers sync.WaitGroup

	Requests atomic.Int64
	dials    atomic.Int64
	Closes   atomic.Int64 // answers with Connection: close
	Turned   atomic.Int64 // connections refused where that is allowed

	mu       sync.Mutex // guards failures
	failures []string
}

// Load starts n clients against addr.
func Load(t testing.TB, addr string, n int, change ...func(*Loader)) *Loader {
	l := &Loader{addr: addr, Think: 40 * time.Millisecond, quit: make(chan struct{})}
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
func (l *Loader) end() {
	select {
	case <-l.quit:
	default:
		close(l.quit)
	}
	l.workers.Wait()
}

func (l *Loader) fail(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failures = append(l.failures, time.Now().Format("05.000 ")+fmt.Sprintf(format, args...))
}

// Check ends the load and fails the test if anything went wrong.
func (l *Loader) Check(t testing.TB, what string) {
	t.Helper()
	l.end()
	t.Logf("%s: %d requests on %d connections, %d of them closed in order, %d failures", what,
		l.Requests.Load(), l.dials.Load(), l.Closes.Load(), len(l.failures))
	for i, f := range l.failures {
		if i == 20 {
			break
		}
		t.Errorf("%s: %s", what, f)
	}
	if l.Requests.Load() == 0 {
		t.Errorf("%s: not one request was served", what)
	}
}

// Rest waits for the time to think; false when the load has ended.
func (l *Loader) Rest(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-l.quit:
		return false
	case <-timer.C:
		return true
	}
}

func (l *Loader) client(n int) {
	if !l.Rest(l.Think * time.Duration(n%17) / 17) { // not all at once
		return
	}
	for {
		c, err := net.DialTimeout("tcp", l.addr, 20*time.Second)
		switch {
		case err == nil:
			l.dials.Add(1)
			l.connection(c, n)
			c.Close()
		case l.Refused && errors.Is(err, syscall.ECONNREFUSED):
			l.Turned.Add(1)
		default:
			l.fail("client %d cannot connect: %v", n, err)
		}
		if !l.Rest(l.Think / 4) {
			return
		}
	}
}

// connection makes requests on c until it ends.
func (l *Loader) connection(c net.Conn, n int) {
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
		l.Requests.Add(1)
		if last {
			l.Closes.Add(1)
			return
		}
		if !l.Rest(l.Think) {
			return
		}
	}
}

// last is the field that announces that no request follows.
func (l *Loader) last() string {
	if l.Single {
		return "Connection: close\r\n"
	}
	return ""
}

// answer reads one answer, which must be the path asked for.
func (l *Loader) answer(br *bufio.Reader, path string) (last bool, err error) {
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

// CountedOrigin is an origin on net/http that counts the connections made to it.
func CountedOrigin(t testing.TB, h http.HandlerFunc) (addr string, connects *atomic.Int64) {
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

// PathOrigin answers with the path that was asked for, /ws echoes WebSocket messages, and /events sends a
// numbered event every 20 milliseconds.
func PathOrigin(w http.ResponseWriter, r *http.Request) {
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

// Stream is a long-lived exchange: n counts what came, end ends it and returns what went wrong before.
type Stream struct {
	N   atomic.Int64
	End func() error
}

// Check ends the stream and fails the test if it did not live until now.
func (s *Stream) Check(t testing.TB, what string) {
	t.Helper()
	if err := s.End(); err != nil || s.N.Load() == 0 {
		t.Errorf("%s ended after %d messages: %v", what, s.N.Load(), err)
	}
}

// Flows waits until more has come.
func (s *Stream) Flows(t testing.TB, what string) {
	t.Helper()
	from := s.N.Load()
	Eventually(t, what+" flows", func() bool { return s.N.Load() > from+2 })
}

// Talk keeps a WebSocket to addr in use.
func Talk(t testing.TB, addr string) *Stream {
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
	s := &Stream{}
	go func() { done <- converse(ctx, c, stop, &s.N) }()
	s.End = func() error {
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

// FollowEvents follows the events of addr; none may be missing.
func FollowEvents(t testing.TB, addr string) *Stream {
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
	s, done := &Stream{}, make(chan error, 1)
	go func() { done <- follow(resp.Body, &s.N) }()
	s.End = func() error {
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

// Crowd opens n connections to addr, says hello on each, and returns those that could be made; they are
// closed when the test ends.
func Crowd(t testing.TB, addr string, n int, hello func(i int) []byte) []net.Conn {
	t.Helper()
	var list []net.Conn
	for i := range n {
		c, err := net.DialTimeout("tcp", addr, 10*time.Second)
		if err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
		t.Cleanup(func() { c.Close() })
		if b := hello(i); len(b) > 0 {
			c.Write(b) // the gateway may have closed already
		}
		list = append(list, c)
	}
	return list
}

// ForeignIn returns how many bytes of b, which is made of tokens, are another client's.
func ForeignIn(b []byte, token string) int {
	whole := b[:bytes.LastIndexByte(b, ';')+1] // a part may begin and end within a token
	others := bytes.Count(whole, []byte("tok=")) - bytes.Count(whole, []byte("tok="+token+";")) -
		bytes.Count(whole, []byte("tok=------;"))
	return others * len("tok=000000;")
}
