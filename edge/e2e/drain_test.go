package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// slowOrigin answers with the path asked for, of /hang… when release is closed.
func slowOrigin(release <-chan struct{}) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/hang") {
			select {
			case <-release:
			case <-r.Context().Done():
				return
			}
		}
		io.WriteString(w, r.URL.Path)
	}
}

// outcome is what became of one request on a connection of its own.
type outcome struct {
	resp *http.Response
	body string
	err  error
}

// ask sends a request for path now and returns where its answer will come.
func ask(t testing.TB, addr, path string) <-chan outcome {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: h\r\n\r\n", path); err != nil {
		t.Fatal(err)
	}
	ch := make(chan outcome, 1)
	go func() {
		defer c.Close()
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			ch <- outcome{err: err}
			return
		}
		b, err := io.ReadAll(resp.Body)
		ch <- outcome{resp, string(b), err}
	}()
	return ch
}

// exit waits for the end of the process and returns its status.
func (g *gateway) exit() int {
	g.t.Helper()
	eventually(g.t, "the process ends", func() bool {
		select {
		case <-g.exited:
			return true
		default:
			return false
		}
	})
	var failed *exec.ExitError
	switch {
	case g.err == nil:
		return 0
	case errors.As(g.err, &failed):
		return failed.ExitCode()
	}
	g.t.Fatal(g.err)
	return -1
}

// readyz returns the status of /readyz; 0 when nobody answers.
func (g *gateway) readyz() int {
	resp, err := http.Get("http://" + g.admin + "/readyz")
	if err != nil {
		return 0
	}
	resp.Body.Close()
	return resp.StatusCode
}

const drainConf = "\n[server]\ndrain_timeout = \"%s\"\n"

// TestDrainUnderLoad: a gateway that is told to end answers everything it was asked, says Connection: close, and
// ends with status 0.
func TestDrainUnderLoad(t *testing.T) {
	t.Parallel()
	f := func(end func(g *gateway)) {
		t.Helper()
		release := make(chan struct{})
		g := start(t, simple(httpOrigin(t, slowOrigin(release)), fmt.Sprintf(drainConf, "10s")))
		l := load(t, g.addr, 100, func(l *loader) { l.think = 10 * time.Millisecond; l.refused = true })
		eventually(t, "the load has begun", func() bool { return l.requests.Load() > 500 })
		slow := make([]<-chan outcome, 20)
		for i := range slow {
			slow[i] = ask(t, g.addr, fmt.Sprint("/hang/", i))
		}
		eventually(t, "the slow requests have arrived", func() bool {
			return g.metric("penstock_connections{") >= 120
		})
		end(g)
		eventually(t, "/readyz says 503", func() bool { return g.readyz() == 503 })
		close(release)
		for i, ch := range slow {
			r := <-ch
			if r.err != nil || r.resp.StatusCode != 200 || r.body != fmt.Sprint("/hang/", i) || !r.resp.Close {
				t.Errorf("slow request %d during the drain: %+v", i, r)
			}
		}
		if _, err := net.Dial("tcp", g.addr); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("a new connection during the drain: %v, want it refused", err)
		}
		if code := g.exit(); code != 0 {
			t.Errorf("exit status %d, want 0", code)
		}
		l.check(t, "drain")
		if l.closes.Load() == 0 {
			t.Error("no answer said Connection: close")
		}
	}
	f(func(g *gateway) { g.signal(syscall.SIGTERM) })
	f(func(g *gateway) { g.signal(syscall.SIGINT) })
	f(func(g *gateway) {
		resp, err := http.Post("http://"+g.admin+"/drain", "", nil)
		if err != nil || resp.StatusCode != http.StatusAccepted {
			t.Errorf("POST /drain: %v %v", resp, err)
			return
		}
		resp.Body.Close()
	})
}

// TestDrainCutsAtTimeout: what has not ended after drain_timeout is cut, and the process still ends well.
func TestDrainCutsAtTimeout(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	defer close(release)
	target := httpOrigin(t, slowOrigin(release))
	g := start(t, simple(target, fmt.Sprintf(drainConf, "500ms")))
	hanging := ask(t, g.addr, "/hang")
	eventually(t, "the request has arrived", func() bool { return g.inFlight() == 1 })
	talking := talkTo(t, httpOrigin(t, pathOrigin), g)
	g.signal(syscall.SIGTERM)
	if code := g.exit(); code != 0 {
		t.Errorf("exit status %d, want 0", code)
	}
	if r := <-hanging; r.err == nil {
		t.Errorf("a request that outlives the drain was answered: %+v", r)
	}
	if err := talking.end(); err == nil {
		t.Error("a WebSocket outlives the process")
	}
	if !strings.Contains(g.log.String(), "drain_timeout") {
		t.Errorf("the log does not tell that connections were cut:\n%s", g.log)
	}
}

// talkTo has g serve target too, and opens a WebSocket to it.
func talkTo(t testing.TB, target string, g *gateway) *stream {
	t.Helper()
	g.write(simple(target, fmt.Sprintf(drainConf, "500ms")))
	if status, body := g.reload(); status != 200 {
		t.Fatalf("reload: %d %s", status, body)
	}
	s := talk(t, g.addr)
	s.flows(t, "the WebSocket")
	return s
}

// TestDrainIdle: a gateway without requests ends soon, and idle connections see an orderly end.
func TestDrainIdle(t *testing.T) {
	t.Parallel()
	g := start(t, simple(httpOrigin(t, pathOrigin), fmt.Sprintf(drainConf, "1s")))
	c, err := net.Dial("tcp", g.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "GET /x HTTP/1.1\r\nHost: h\r\n\r\n")
	if got := readSome(t, c); !strings.HasPrefix(got, "HTTP/1.1 200 ") {
		t.Fatalf("got %q", got)
	}
	g.signal(syscall.SIGTERM)
	if b, err := io.ReadAll(c); err != nil || len(b) > 0 {
		t.Errorf("an idle connection ends with %q, %v; want a plain end", b, err)
	}
	if code := g.exit(); code != 0 {
		t.Errorf("exit status %d, want 0", code)
	}
}

// readSome returns what one read gives.
func readSome(t testing.TB, c net.Conn) string {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(20 * time.Second)) // fails only on a closed connection
	b := make([]byte, 4096)
	n, err := c.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Time{}) // as above
	return string(b[:n])
}

// TestDrainSecondSignal: a second signal ends the process at once, whatever still runs.
func TestDrainSecondSignal(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	defer close(release)
	g := start(t, simple(httpOrigin(t, slowOrigin(release)), fmt.Sprintf(drainConf, "10m")))
	hanging := ask(t, g.addr, "/hang")
	eventually(t, "the request has arrived", func() bool { return g.inFlight() == 1 })
	g.signal(syscall.SIGTERM)
	eventually(t, "/readyz says 503", func() bool { return g.readyz() == 503 })
	g.signal(syscall.SIGHUP) // means nothing any more
	g.signal(syscall.SIGTERM)
	if code := g.exit(); code != 1 {
		t.Errorf("exit status %d, want 1", code)
	}
	if r := <-hanging; r.err == nil {
		t.Errorf("the request was answered: %+v", r)
	}
}

// TestPortTaken: a port that somebody else uses ends the start with a line that says so.
func TestPortTaken(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	f := func(addr, admin, want string) {
		t.Helper()
		g := &gateway{t: t, addr: addr, admin: admin, log: &lockedBuffer{}, file: t.TempDir() + "/penstock.toml"}
		g.write(simple("127.0.0.1:1"))
		g.launch()
		if code := g.exit(); code != 1 {
			t.Errorf("exit status %d, want 1", code)
		}
		log := g.log.String()
		if !strings.HasPrefix(log, g.file+want) || strings.Count(log, "\n") != 1 ||
			!strings.Contains(log, taken.Addr().String()) || !strings.Contains(log, "another process") {
			t.Errorf("the output is not one line that begins with %q and tells of another process:\n%s", want, log)
		}
	}
	f(taken.Addr().String(), freeAddr(t), ":4:1: listener[1].address: ")
	f(freeAddr(t), taken.Addr().String(), ":15:1: admin.address: ")
}
