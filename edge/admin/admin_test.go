package admin

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
	"go.uber.org/goleak"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/config"
	"github.com/penstock-edge/penstock/edge/lib/metric"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// fasthttp renews the Date field from a goroutine that lives as long as the process.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		// The one that ends idle workers of a closed server notices it after ten seconds.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"))
}

// journal is a log that may be read while it is written.
type journal struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.String()
}

// site is a served API.
type site struct {
	t       testing.TB
	s       *Server
	log     *journal
	address string
	client  *http.Client
}

// open serves an API on loopback until the test ends.
func open(t testing.TB, o Options) *site {
	l, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return openOn(t, o, l)
}

func openOn(t testing.TB, o Options, l net.Listener) *site {
	p := &site{t: t, log: &journal{}, address: l.Addr().String(), client: &http.Client{
		Transport:     &http.Transport{},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	o.Log = slog.New(slog.NewTextHandler(p.log, nil))
	if o.Registry == nil {
		o.Registry = metric.NewRegistry()
	}
	if o.Current == nil {
		o.Current = &edge.Current{}
		o.Current.Swap(edge.NewGeneration(7, func() {}))
	}
	p.s = New(o)
	done := make(chan error, 1)
	go func() { done <- p.s.Serve(l) }()
	t.Cleanup(func() {
		p.client.CloseIdleConnections()
		p.s.Close()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return p
}

// call makes one call; fields are "Name: value".
func (p *site) call(method, path string, fields ...string) (status int, header http.Header, body string) {
	p.t.Helper()
	r, err := http.NewRequest(method, "http://"+p.address+path, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	for _, field := range fields {
		name, value, _ := strings.Cut(field, ": ")
		if name == "Host" {
			r.Host = value
		}
		r.Header.Set(name, value)
	}
	a, err := p.client.Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	defer a.Body.Close()
	b, err := io.ReadAll(a.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return a.StatusCode, a.Header, string(b)
}

func (p *site) want(method, path string, status int, body string, fields ...string) http.Header {
	p.t.Helper()
	gotStatus, header, got := p.call(method, path, fields...)
	if gotStatus != status || !strings.Contains(got, body) {
		p.t.Errorf("%s %s %q: got %d %q, want %d %q", method, path, fields, gotStatus, got, status, body)
	}
	return header
}

func TestHealthAndReadiness(t *testing.T) {
	why := ""
	var mu sync.Mutex
	current := &edge.Current{}
	p := open(t, Options{Current: current, Unready: func() string {
		mu.Lock()
		defer mu.Unlock()
		return why
	}})
	p.want("GET", "/healthz", 200, "ok\n")
	p.want("GET", "/readyz", 503, "no configuration")
	current.Swap(edge.NewGeneration(1, func() {}))
	p.want("GET", "/readyz", 200, "ready\n")
	mu.Lock()
	why = "nobody is there"
	mu.Unlock()
	p.want("GET", "/readyz", 503, "not ready: nobody is there\n")
	p.want("GET", "/healthz", 200, "ok\n")
}

func TestUnknownAndWrongMethod(t *testing.T) {
	p := open(t, Options{Reload: func() ([]string, error) { return nil, nil }, Drain: func() {},
		Status: func() any { return nil }})
	f := func(method, path string, status int, allow string) {
		t.Helper()
		h := p.want(method, path, status, "")
		if h.Get("Allow") != allow {
			t.Errorf("%s %s: Allow: %q, want %q", method, path, h.Get("Allow"), allow)
		}
		if c := h.Get("Content-Type"); !strings.HasPrefix(c, "text/plain") {
			t.Errorf("%s %s: %s", method, path, c)
		}
	}
	f("GET", "/", 404, "")
	f("GET", "/nothing", 404, "")
	f("GET", "/healthz/", 404, "")
	f("GET", "/HEALTHZ", 404, "")
	f("GET", "/x/../healthz", 404, "")
	f("POST", "/healthz", 405, "GET, HEAD")
	f("POST", "/metrics", 405, "GET, HEAD")
	f("DELETE", "/status", 405, "GET, HEAD")
	f("OPTIONS", "/readyz", 405, "GET, HEAD")
	f("GET", "/reload", 405, "POST")
	f("GET", "/debug/", 404, "")
	f("GET", "/debug/vars", 404, "")
	f("HEAD", "/drain", 405, "POST")
	f("BREW", "/reload", 405, "POST")
	f("DELETE", "/debug/pprof/symbol", 405, "GET, HEAD, POST")
}

// What the options lack is not there.
func TestMissingOptions(t *testing.T) {
	p := open(t, Options{})
	p.want("POST", "/reload", 404, "no such endpoint")
	p.want("POST", "/drain", 404, "no such endpoint")
	p.want("GET", "/status", 404, "no such endpoint")
	p.want("GET", "/readyz", 200, "ready")
}

func TestStatus(t *testing.T) {
	p := open(t, Options{Status: func() any { return map[string]any{"generation": 3} }})
	h := p.want("GET", "/status", 200, "\"generation\": 3")
	if h.Get("Content-Type") != "application/json" || h.Get("Cache-Control") != "no-store" ||
		h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Server") != "" {
		t.Errorf("head: %v", h)
	}
	p.want("HEAD", "/status", 200, "")
	bad := open(t, Options{Status: func() any { return func() {} }})
	bad.want("GET", "/status", 500, "cannot be shown as JSON")
}

func TestReload(t *testing.T) {
	var changes []string
	var err error
	p := open(t, Options{Reload: func() ([]string, error) { return changes, err }})
	f := func(path string, status int, want string, fields ...string) {
		t.Helper()
		p.want("POST", path, status, want, fields...)
	}
	changes = []string{"route users added"}
	f("/reload", 200, "{\n  \"generation\": 7,\n  \"changes\": [\n    \"route users added\"\n  ]\n}\n")
	changes = nil
	f("/reload", 200, `"changes": []`)
	err = fmt.Errorf("cannot reload: %w", config.Errors{
		{File: "p.toml", Line: 3, Col: 1, Key: "rote", Message: "unknown key", Suggest: "route"},
		{File: "p.toml", Line: 9, Col: 5, Key: "pool.a.targets", Message: "is required"},
	})
	f("/reload", 422, "p.toml:3:1: rote: unknown key (did you mean \"route\"?)\np.toml:9:5: pool.a.targets: is required\n")
	f("/reload?format=json", 422, `"suggest": "route"`)
	f("/reload", 422, `"line": 9`, "Accept: application/json")
	err = errors.New("open p.toml: no such file or directory")
	f("/reload", 422, "no such file")
	f("/reload?format=json", 422, `"message": "open p.toml: no such file or directory"`)
	var got struct{ Errors []config.Error }
	_, _, body := p.call("POST", "/reload?format=json")
	if json.Unmarshal([]byte(body), &got) != nil || len(got.Errors) != 1 {
		t.Errorf("got %s", body)
	}
	if n := strings.Count(p.log.String(), `msg="admin call" method=POST uri=`); n != 8 {
		t.Errorf("%d of 8 calls logged:\n%s", n, p.log)
	}
}

func TestDrain(t *testing.T) {
	begun, end := make(chan bool, 2), make(chan bool)
	defer close(end)
	p := open(t, Options{Drain: func() { begun <- true; <-end }})
	p.want("POST", "/drain", 202, "draining\n")
	<-begun
	p.want("POST", "/drain", 202, "draining already\n")
	p.want("GET", "/readyz", 503, "draining")
	if len(begun) != 0 {
		t.Error("Drain was called twice")
	}
}

// A browser is kept out where it could do harm, by address and by name.
func TestGuard(t *testing.T) {
	reloads := 0
	p := open(t, Options{Hosts: []string{"Edge1.Example"}, Status: func() any { return 1 },
		Reload: func() ([]string, error) { reloads++; return nil, nil }})
	f := func(method, path string, status int, fields ...string) {
		t.Helper()
		p.want(method, path, status, "", fields...)
	}
	f("POST", "/reload", 403, "Origin: https://evil.example")
	f("POST", "/reload", 403, "Origin: null")
	f("POST", "/reload", 403, "Sec-Fetch-Site: same-origin")
	f("POST", "/reload", 403, "Host: evil.example")
	f("GET", "/status", 403, "Host: evil.example")
	f("GET", "/metrics", 403, "Host: evil.example:9901")
	f("GET", "/status", 403, "Host: 127.0.0.1.evil.example")
	f("GET", "/status", 403, "Host: localhost.evil.example")
	f("GET", "/status", 403, "Host: edge1.example.evil.example")
	f("GET", "/nothing", 403, "Host: evil.example")
	if reloads != 0 {
		t.Errorf("%d calls came through", reloads)
	}
	for _, field := range []string{"Via: 1.1 penstock", "Forwarded: for=1.2.3.4", "X-Forwarded-For: 1.2.3.4",
		"X-Forwarded-Proto: https", "x_forwarded_host: a", "X-Forwarded-Prefix: /a"} {
		p.want("GET", "/healthz", 403, "came through a proxy", field)
		p.want("POST", "/reload", 403, "came through a proxy", field)
	}
	if reloads != 0 {
		t.Errorf("%d calls came through", reloads)
	}
	for _, path := range []string{"/status", "/metrics", "/healthz", "/debug/pprof/profile?seconds=1"} {
		f("GET", path, 403, "Sec-Fetch-Site: cross-site")
		f("GET", path, 403, "Sec-Fetch-Site: same-site")
		f("GET", path, 403, "Origin: https://evil.example")
		f("GET", path, 403, "Referer: https://evil.example/x")
	}
	const heap, self = "/debug/pprof/heap?gc=1", "http://localhost:9901"
	f("GET", heap, 403, "Sec-Fetch-Site: none")
	f("GET", heap, 403, "User-Agent: Mozilla/5.0 (X11)")
	f("GET", heap, 200, "Sec-Fetch-Site: same-origin")
	f("GET", heap, 200, "Host: localhost:9901", "Referer: "+self+"/debug/pprof/", "User-Agent: Mozilla/5.0 (X11)")
	f("GET", heap, 200, "Host: localhost:9901", "Origin: "+self)
	f("GET", heap, 200)
	f("POST", heap, 200)
	f("POST", heap, 403, "Sec-Fetch-Site: cross-site", "Origin: https://evil.example")
	f("GET", "/debug/pprof/", 200, "Sec-Fetch-Site: none")
	f("GET", "/status", 200, "Sec-Fetch-Site: none") // a person who looks at it
	f("POST", "/reload", 200)
	f("GET", "/status", 200, "Host: localhost")
	f("GET", "/status", 200, "Host: LOCALHOST:9901")
	f("GET", "/status", 200, "Host: localhost.:9901")
	f("GET", "/status", 200, "Host: 10.1.2.3:9901")
	f("GET", "/status", 200, "Host: [::1]:9901")
	f("GET", "/status", 200, "Host: [2001:db8::1]")
	f("GET", "/status", 200, "Host: edge1.example:9901")
	if n := strings.Count(p.log.String(), "status=403"); n != 11 {
		t.Errorf("%d refused calls logged, want 11:\n%s", n, p.log)
	}
}

func TestLentEndpoints(t *testing.T) {
	text := func(s string) fasthttp.RequestHandler {
		return func(ctx *fasthttp.RequestCtx) { plain(ctx, 200, s+fmt.Sprint(ctx.UserValue("pool"))) }
	}
	var lent []edge.AdminHandler
	p := open(t, Options{Handlers: func() []edge.AdminHandler { return lent }})
	p.want("POST", "/pools/users/drain", 404, "no such endpoint")
	lent = []edge.AdminHandler{
		{Method: "POST", Path: "/pools/{pool}/drain", Handle: text("first ")},
		{Method: "POST", Path: "/pools/{pool", Handle: text("")}, // a pattern the router refuses
		{Method: "POST", Path: "/broken", Handle: func(*fasthttp.RequestCtx) { panic("it broke") }},
		{Method: "POST", Path: "/healthz", Handle: text("mine ")},
	}
	p.want("POST", "/pools/users/drain", 200, "first users\n")
	if h := p.want("GET", "/pools/users/drain", 405, ""); h.Get("Allow") != "POST" {
		t.Errorf("Allow: %q", h.Get("Allow"))
	}
	p.want("GET", "/healthz", 200, "ok") // nobody takes an endpoint of ours away
	p.want("POST", "/broken", 500, "the log says more")
	// The next generation lends others.
	lent = []edge.AdminHandler{{Method: "POST", Path: "/pools/{pool}/drain", Handle: text("second ")}}
	p.want("POST", "/pools/users/drain", 200, "second users\n")
	p.want("POST", "/broken", 404, "")
	before := p.s.lent.Load()
	p.want("POST", "/pools/orders/drain", 200, "second orders\n")
	if p.s.lent.Load() != before {
		t.Error("the table was made anew although nothing has changed")
	}
	lent = []edge.AdminHandler{{Method: "POST", Path: "/pools/{pool}/drain", Handle: text("third ")}} // as many
	p.want("POST", "/pools/users/drain", 200, "third users\n")
	for _, want := range []string{"it broke", "cannot be registered", "uri=/pools/users/drain"} {
		if !strings.Contains(p.log.String(), want) {
			t.Errorf("the log lacks %q:\n%s", want, p.log)
		}
	}
}

func TestMetrics(t *testing.T) {
	r := metric.NewRegistry()
	scope := r.Scope()
	scope.Counter("penstock_requests_total", "Requests.", "route", "users").Add(0, 5)
	p := open(t, Options{Registry: r})
	h := p.want("GET", "/metrics", 200, `penstock_requests_total{route="users"} 5`)
	if h.Get("Content-Type") != metric.ContentType {
		t.Errorf("Content-Type: %q", h.Get("Content-Type"))
	}
	_, _, body := p.call("GET", "/metrics")
	if promtool, err := exec.LookPath("promtool"); err == nil {
		cmd := exec.Command(promtool, "check", "metrics")
		cmd.Stdin = strings.NewReader(body)
		if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%v: %s", err, out)
		}
	}
	p.want("HEAD", "/metrics", 200, "")
	got := p.raw("GET /metrics HTTP/1.0\r\n\r\n")
	if !strings.Contains(got, "Content-Length: ") || !strings.Contains(got, "process_cpu_seconds_total") {
		t.Errorf("HTTP/1.0: %.300q", got)
	}
	// A feature's function that panics costs the answer, not the process.
	scope.GaugeFunc("penstock_broken", "Breaks.", func() float64 { panic("it broke") })
	p.want("GET", "/metrics", 200, "")
	if !strings.Contains(p.log.String(), "it broke") {
		t.Errorf("the log lacks the panic:\n%s", p.log)
	}
}

// raw sends bytes and returns all that comes back.
func (p *site) raw(request string) string {
	p.t.Helper()
	c, err := net.Dial("tcp", p.address)
	if err != nil {
		p.t.Fatal(err)
	}
	defer c.Close()
	if _, err = io.WriteString(c, request); err != nil {
		p.t.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
	b, err := io.ReadAll(c)
	if err != nil && len(b) == 0 {
		p.t.Fatal(err)
	}
	return string(b)
}

func TestBadInput(t *testing.T) {
	p := open(t, Options{})
	f := func(request, want string) {
		t.Helper()
		if got := p.raw(request); !strings.HasPrefix(got, want) || !strings.Contains(got, "Connection: close") {
			t.Errorf("%.80q: got %.200q, want %q", request, got, want)
		}
	}
	f("nonsense\r\n\r\n", "HTTP/1.1 400 ")
	f("GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nA: "+strings.Repeat("a", maxHeadBytes)+"\r\n\r\n", "HTTP/1.1 431 ")
	f(fmt.Sprintf("POST /drain HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n", maxBodyBytes+1), "HTTP/1.1 413 ")
	// A whole URI as target must not lead around the check of Host.
	f("GET http://evil.example/healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n", "HTTP/1.1 403 ")
}

func TestProfiles(t *testing.T) {
	p := open(t, Options{})
	p.want("GET", "/debug/pprof/", 200, "goroutine")
	p.want("GET", "/debug/pprof/goroutine?debug=1", 200, "goroutine profile")
	p.want("GET", "/debug/pprof/cmdline", 200, filepath.Base(os.Args[0]))
	p.want("POST", "/debug/pprof/symbol", 200, "num_symbols")
	p.want("GET", "/debug/pprof/nothing", 404, "Unknown profile")
	if h := p.want("GET", "/debug/pprof", 301, ""); h.Get("Location") != "/debug/pprof/" {
		t.Errorf("Location: %q", h.Get("Location"))
	}
}

// A profile that is being taken when the server closes ends at once: Close would log that it gave up waiting.
func TestCloseEndsProfiles(t *testing.T) {
	p := open(t, Options{})
	c, err := net.Dial("tcp", p.address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "GET /debug/pprof/profile?seconds=600 HTTP/1.1\r\nHost: %s\r\n\r\n", p.address)
	for !profiling() {
		runtime.Gosched()
	}
	p.s.Close()
	if p.log.String() != "" {
		t.Errorf("log: %s", p.log)
	}
	r, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || r.StatusCode != http.StatusOK {
		t.Errorf("%v, %v", r, err)
	}
}

func profiling() bool {
	stacks := make([]byte, 1<<20)
	return strings.Contains(string(stacks[:runtime.Stack(stacks, true)]), "net/http/pprof.sleep")
}

// A server that was closed before it served does not begin.
func TestCloseBeforeServe(t *testing.T) {
	s := New(Options{Registry: metric.NewRegistry(), Current: &edge.Current{}})
	s.Close()
	l, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(l); err != nil {
		t.Error(err)
	}
	if _, err := l.Accept(); err == nil {
		t.Error("the listener is open")
	}
}
