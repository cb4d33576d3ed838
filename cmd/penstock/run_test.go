package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/penstock-edge/penstock/edge/config"
)

// journal collects what a gateway logs; it may be read while it grows.
type journal struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write implements io.Writer.
func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.Write(p)
}

// String returns all of it.
func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.String()
}

// value returns a field of the first line with this message; "" when there is none.
func (j *journal) value(msg, field string) string {
	for line := range strings.Lines(j.String()) {
		var all map[string]any
		if json.Unmarshal([]byte(line), &all) == nil && all["msg"] == msg {
			return fmt.Sprint(all[field])
		}
		// The demo's are plain: 15:04:05 msg: field value, field value.
		if _, fields, ok := strings.Cut(strings.TrimSpace(line), " "+msg+": "); ok {
			for pair := range strings.SplitSeq(fields, ", ") {
				if name, value, _ := strings.Cut(pair, " "); name == field {
					return value
				}
			}
		}
	}
	return ""
}

// gateway is one that runs in this process.
type gateway struct {
	t       *testing.T
	log     journal
	signals chan os.Signal
	done    chan error
	base    string // URL of its first listener
	admin   string // address
}

// start serves s and returns when the gateway logs that it serves.
func start(t *testing.T, s source, inherited ...*os.File) *gateway {
	t.Helper()
	g := &gateway{t: t, signals: make(chan os.Signal, 4), done: make(chan error, 1)}
	go func() { g.done <- serve(&console{out: io.Discard, err: &g.log}, s, inherited, g.signals) }()
	eventually(t, "the gateway serves", func() bool {
		select {
		case err := <-g.done:
			t.Fatalf("the gateway ended: %v\n%s", err, g.log.String())
		default:
		}
		return g.log.value("serving", "admin") != ""
	})
	g.base = "http://" + g.log.value("listening", "address")
	g.admin = g.log.value("serving", "admin")
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log of the gateway:\n%s", g.log.String())
		}
	})
	return g
}

// end waits for the gateway's end and compares its exit status.
func (g *gateway) end(want int) {
	g.t.Helper()
	select {
	case err := <-g.done:
		if got := status(&console{out: io.Discard, err: &g.log}, err); got != want {
			g.t.Errorf("exit status %d, want %d: %v", got, want, err)
		}
	case <-time.After(30 * time.Second):
		g.t.Fatal("the gateway does not end")
	}
}

// stop ends the gateway as the service manager does.
func (g *gateway) stop() {
	g.t.Helper()
	g.signals <- syscall.SIGTERM
	g.end(0)
}

func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for until := time.Now().Add(20 * time.Second); !cond(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("not reached in time: %s", what)
		}
	}
}

// browser keeps no connection, so that none is left when a gateway drains, and follows no redirect.
var browser = http.Client{
	Transport:     &http.Transport{DisableKeepAlives: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// get returns the status and the body of an answer; 0 when there is none.
func get(url string) (int, string) {
	resp, err := browser.Get(url)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(b)
}

// call runs a command line against the gateway.
func call(g *gateway, args ...string) (code int, out string) {
	var b bytes.Buffer
	code = command(append(args, "--admin", g.admin), &console{out: &b, err: &b})
	return code, b.String()
}

func TestDemo(t *testing.T) {
	d, err := startDemo("127.0.0.1:0", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	d.conf = strings.Replace(d.conf, "[log.access]\n", "[log.access]\noutput = \"off\"\n", 1)
	g := start(t, source{demo: d})
	f := func(path string, code int, want string) {
		t.Helper()
		got, body := get(g.base + path)
		if got != code || !strings.Contains(body, want) {
			t.Errorf("%s: %d %q, want %d with %q", path, got, body, code, want)
		}
	}
	f("/", 200, "Hello from the origin")
	f("/items/7", 200, "GET /show/7 HTTP/1.1")
	f("/canary/x", 200, "GET /x HTTP/1.1")
	f("/ping", 200, "pong\n")
	f("/old/7", 308, "")
	f("/a%00", 400, "bad_request")
	if first, _, _ := strings.Cut(g.log.String(), "\n"); !strings.Contains(first, "this is the demo") {
		t.Errorf("the log begins with %s", first)
	}
	if s := g.log.String(); !strings.Contains(s, "  curl -i http://127.0.0.1:") || strings.Contains(s, "{") {
		t.Errorf("the log is no plain lines, or says nothing to try:\n%s", s)
	}
	if code, out := call(g, "status", "--json"); code != 0 || !json.Valid([]byte(out)) || !strings.Contains(out, `"pools"`) {
		t.Errorf("status: %d %s", code, out)
	}
	if code, out := call(g, "reload"); code != 0 || out != "generation 2 serves\nnothing has changed in the file\n" {
		t.Errorf("reload: %d %s", code, out)
	}
	if code, out := call(g, "drain"); code != 0 {
		t.Errorf("drain: %d %s", code, out)
	}
	g.end(0)
	if code, out := call(g, "status"); code != 1 || !strings.Contains(out, "does the gateway run?") {
		t.Errorf("status of one that has ended: %d %s", code, out)
	}
}

// file writes a configuration with an admin interface on a free port.
func file(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "penstock.toml")
	write(t, name, text)
	return name
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if !strings.Contains(text, "[admin]") {
		text += "\n[admin]\naddress = \"127.0.0.1:0\"\n"
	}
	if err := os.WriteFile(name, []byte(text+"\n[log.access]\noutput = \"off\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

const pong = `
[[listener]]
name = "main"
address = "127.0.0.1:0"

[[route]]
path = "/"
respond = { body = "one" }
`

func TestReload(t *testing.T) {
	name := file(t, pong)
	g := start(t, source{file: name})
	f := func(what string) func() bool {
		return func() bool {
			_, body := get(g.base + "/")
			return body == what
		}
	}
	write(t, name, strings.Replace(pong, "one", "two", 1))
	g.signals <- syscall.SIGHUP
	eventually(t, "SIGHUP brings the new answer", f("two"))

	write(t, name, strings.Replace(pong, "body", "bdy", 1))
	code, out := call(g, "reload")
	if want := name + `:8:13: route[1].respond.bdy: unknown key (did you mean "body"?)`; code != 1 || !strings.Contains(out, want) {
		t.Errorf("reload of a bad file: %d %s, want %s", code, out, want)
	}
	if !f("two")() {
		t.Error("a bad file has changed the answer")
	}

	socket := filepath.Join(t.TempDir(), "admin.sock")
	write(t, name, "[admin]\naddress = \"unix:"+socket+"\"") // and no listener
	if code, _ = call(g, "reload"); code != 1 {
		t.Error("a file without a listener was taken")
	}
	if _, err := os.Lstat(socket); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the admin socket of a refused file stays: %v", err)
	}
	write(t, name, strings.Replace(pong, "one", "three", 1)+"[admin]\naddress = \"unix:"+socket+"\"")
	if code, out = call(g, "reload"); code != 0 || out != "generation 3 serves\nroute route-1 changed\n[admin] changed\n" {
		t.Errorf("reload with another admin address: %d %q", code, out)
	}
	eventually(t, "the old admin address is left", func() bool { c, _ := call(g, "status"); return c == 1 })
	g.admin = "unix:" + socket
	if code, out = call(g, "status", "--json"); code != 0 || !strings.Contains(out, `"generation": 3`) {
		t.Errorf("status at the new address: %d %s", code, out)
	}
	if code = command([]string{"status", "--config", name}, &console{out: io.Discard, err: &g.log}); code != 0 {
		t.Errorf("status with the address of the file: exit status %d", code)
	}

	write(t, name, pong+"[log]\nlevel = \"error\"\n[admin]\naddress = \"unix:"+socket+"\"")
	g.signals <- syscall.SIGHUP
	eventually(t, "the first answer is back", f("one"))
	g.stop()
	if g.log.value("ended", "level") != "" {
		t.Error("[log] level was not taken over by a reload")
	}
}

func TestStartFails(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	f := func(text string, want ...string) {
		t.Helper()
		var log journal
		name := file(t, text)
		err := serve(&console{out: io.Discard, err: &log}, source{file: name}, nil, nil)
		if code := status(&console{out: io.Discard, err: &log}, err); code != 1 {
			t.Errorf("exit status %d, want 1", code)
		}
		got := strings.Split(strings.TrimSpace(log.String()), "\n")
		if len(got) != len(want) {
			t.Fatalf("%d lines, want %d:\n%s", len(got), len(want), log.String())
		}
		for i := range want {
			if !strings.HasPrefix(got[i], name+":"+want[i]) {
				t.Errorf("%s\nwant %s", got[i], want[i])
			}
		}
	}
	at := taken.Addr().String()
	f(strings.Replace(pong, "127.0.0.1:0", at, 1), "4:1: listener[1].address: cannot listen on ")
	f(pong+"[admin]\naddress = \""+at+"\"", "10:1: admin.address: "+at+" is in use by another process")
	f(strings.Replace(pong, `respond = { body = "one" }`, "pool = 5", 1), "8:8: route[1].pool: must be a string")
	bad, err := os.ReadFile("testdata/bad.toml")
	if err != nil {
		t.Fatal(err)
	}
	f(string(bad), "2:", "6:", "9:", "10:", "14:", "17:", "20:", "25:")
}

// hanging starts an origin that takes requests and never answers.
func hanging(t *testing.T) (address string, taken <-chan struct{}) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan struct{}, 1)
	var conns []net.Conn
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns = append(conns, c)
			if _, err := bufio.NewReader(c).ReadString('\n'); err == nil {
				got <- struct{}{}
			}
		}
	})
	t.Cleanup(func() {
		_ = l.Close() // ends the loop above
		wg.Wait()
		for _, c := range conns {
			_ = c.Close() // nobody reads from it
		}
	})
	return l.Addr().String(), got
}

func TestSecondSignalEndsAtOnce(t *testing.T) {
	address, taken := hanging(t)
	g := start(t, source{file: file(t, `
[[listener]]
name = "main"
address = "127.0.0.1:0"

[pool.slow]
targets = ["`+address+`"]

[[route]]
prefix = "/"
pool = "slow"
`)})
	var wg sync.WaitGroup
	wg.Go(func() { get(g.base + "/") })
	<-taken
	g.signals <- syscall.SIGTERM
	eventually(t, "readyz says that it drains", func() bool {
		code, _ := get("http://" + g.admin + "/readyz")
		return code == 503
	})
	if code, out := call(g, "reload"); code != 1 || !strings.Contains(out, "takes no new configuration") {
		t.Errorf("reload while draining: %d %s", code, out)
	}
	g.signals <- syscall.SIGHUP // means nothing now
	g.signals <- syscall.SIGINT
	g.end(1)
}

// A request under way is finished by a drain.
func TestDrainWaitsForRequests(t *testing.T) {
	entered, answer := make(chan struct{}), make(chan struct{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(entered)
		<-answer
		_, _ = io.WriteString(w, "late") // shows in the answer
	})}
	go func() { _ = s.Serve(l) }() // until Close
	defer s.Close()
	g := start(t, source{file: file(t, `
[[listener]]
name = "main"
address = "127.0.0.1:0"

[pool.slow]
targets = ["`+l.Addr().String()+`"]

[[route]]
prefix = "/"
pool = "slow"
`)})
	var wg sync.WaitGroup
	wg.Go(func() {
		if code, body := get(g.base + "/"); code != 200 || body != "late" {
			t.Errorf("%d %q", code, body)
		}
	})
	<-entered
	g.signals <- syscall.SIGTERM
	eventually(t, "nobody can connect any more", func() bool {
		code, _ := get(g.base + "/x")
		return code == 0
	})
	close(answer)
	wg.Wait()
	g.end(0)
}

func TestFilesNeeded(t *testing.T) {
	f := func(want uint64, listeners ...int) {
		t.Helper()
		conf := &config.Config{}
		for _, n := range listeners {
			conf.Listeners = append(conf.Listeners, config.Listener{MaxConnections: n})
		}
		if got := need(conf); got != want {
			t.Errorf("%v: %d, want %d", listeners, got, want)
		}
	}
	f(spare)
	f(spare+20, 10)
	f(spare+2020, 10, 1000)
}

func TestStatusOfErrors(t *testing.T) {
	f := func(err error, code int, text string) {
		t.Helper()
		var out bytes.Buffer
		if got := status(&console{err: &out}, err); got != code || out.String() != text {
			t.Errorf("%v: %d %q, want %d %q", err, got, out.String(), code, text)
		}
	}
	f(nil, 0, "")
	f(exit(2), 2, "")
	f(errors.New("no"), 1, "penstock: no\n")
}

func TestFeatureNames(t *testing.T) {
	var names []string
	for _, f := range dryFeatures() {
		if names = append(names, f.Name); slices.Index(names, f.Name) != len(names)-1 {
			t.Errorf("two features are called %s", f.Name)
		}
	}
}
