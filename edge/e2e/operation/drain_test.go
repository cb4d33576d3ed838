package operation

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/penstock-edge/penstock/edge/e2e"
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

const drainConf = "\n[server]\ndrain_timeout = \"%s\"\n"

// TestDrainUnderLoad: a gateway that is told to end answers everything it was asked, says Connection: close, and
// ends with status 0.
func TestDrainUnderLoad(t *testing.T) {
	t.Parallel()
	f := func(end func(g *e2e.Gateway)) {
		t.Helper()
		release := make(chan struct{})
		g := e2e.Start(t, e2e.Simple(e2e.HTTPOrigin(t, slowOrigin(release)), fmt.Sprintf(drainConf, "10s")))
		l := e2e.Load(t, g.Addr, 100, func(l *e2e.Loader) { l.Think = 10 * time.Millisecond; l.Refused = true })
		e2e.Eventually(t, "the load has begun", func() bool { return l.Requests.Load() > 500 })
		slow := make([]<-chan outcome, 20)
		for i := range slow {
			slow[i] = ask(t, g.Addr, fmt.Sprint("/hang/", i))
		}
		e2e.Eventually(t, "the slow requests have arrived", func() bool {
			return g.Metric("penstock_connections{") >= 120
		})
		end(g)
		e2e.Eventually(t, "/readyz says 503", func() bool { return g.Readyz() == 503 })
		close(release)
		for i, ch := range slow {
			r := <-ch
			if r.err != nil || r.resp.StatusCode != 200 || r.body != fmt.Sprint("/hang/", i) || !r.resp.Close {
				t.Errorf("slow request %d during the drain: %+v", i, r)
			}
		}
		if _, err := net.Dial("tcp", g.Addr); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("a new connection during the drain: %v, want it refused", err)
		}
		if code := g.Exit(); code != 0 {
			t.Errorf("exit status %d, want 0", code)
		}
		l.Check(t, "drain")
		if l.Closes.Load() == 0 {
			t.Error("no answer said Connection: close")
		}
	}
	f(func(g *e2e.Gateway) { g.Signal(syscall.SIGTERM) })
	f(func(g *e2e.Gateway) { g.Signal(syscall.SIGINT) })
	f(func(g *e2e.Gateway) {
		resp, err := http.Post("http://"+g.Admin+"/drain", "", nil)
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
	target := e2e.HTTPOrigin(t, slowOrigin(release))
	g := e2e.Start(t, e2e.Simple(target, fmt.Sprintf(drainConf, "500ms")))
	hanging := ask(t, g.Addr, "/hang")
	e2e.Eventually(t, "the request has arrived", func() bool { return g.InFlight() == 1 })
	talking := talkTo(t, e2e.HTTPOrigin(t, e2e.PathOrigin), g)
	g.Signal(syscall.SIGTERM)
	if code := g.Exit(); code != 0 {
		t.Errorf("exit status %d, want 0", code)
	}
	if r := <-hanging; r.err == nil {
		t.Errorf("a request that outlives the drain was answered: %+v", r)
	}
	if err := talking.End(); err == nil {
		t.Error("a WebSocket outlives the process")
	}
	if !strings.Contains(g.Log.String(), "drain_timeout") {
		t.Errorf("the log does not tell that connections were cut:\n%s", g.Log)
	}
}

// talkTo has g serve target too, and opens a WebSocket to it.
func talkTo(t testing.TB, target string, g *e2e.Gateway) *e2e.Stream {
	t.Helper()
	g.Write(e2e.Simple(target, fmt.Sprintf(drainConf, "500ms")))
	if status, body := g.Reload(); status != 200 {
		t.Fatalf("reload: %d %s", status, body)
	}
	s := e2e.Talk(t, g.Addr)
	s.Flows(t, "the WebSocket")
	return s
}

// TestDrainIdle: a gateway without requests ends soon, and idle connections see an orderly end.
func TestDrainIdle(t *testing.T) {
	t.Parallel()
	g := e2e.Start(t, e2e.Simple(e2e.HTTPOrigin(t, e2e.PathOrigin), fmt.Sprintf(drainConf, "1s")))
	c, err := net.Dial("tcp", g.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "GET /x HTTP/1.1\r\nHost: h\r\n\r\n")
	if got := readSome(t, c); !strings.HasPrefix(got, "HTTP/1.1 200 ") {
		t.Fatalf("got %q", got)
	}
	g.Signal(syscall.SIGTERM)
	if b, err := io.ReadAll(c); err != nil || len(b) > 0 {
		t.Errorf("an idle connection ends with %q, %v; want a plain end", b, err)
	}
	if code := g.Exit(); code != 0 {
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
	g := e2e.Start(t, e2e.Simple(e2e.HTTPOrigin(t, slowOrigin(release)), fmt.Sprintf(drainConf, "10m")))
	hanging := ask(t, g.Addr, "/hang")
	e2e.Eventually(t, "the request has arrived", func() bool { return g.InFlight() == 1 })
	g.Signal(syscall.SIGTERM)
	e2e.Eventually(t, "/readyz says 503", func() bool { return g.Readyz() == 503 })
	g.Signal(syscall.SIGHUP) // means nothing any more
	g.Signal(syscall.SIGTERM)
	if code := g.Exit(); code != 1 {
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
		g := &e2e.Gateway{T: t, Addr: addr, Admin: admin, Log: &e2e.LockedBuffer{}, File: t.TempDir() + "/penstock.toml"}
		g.Write(e2e.Simple("127.0.0.1:1"))
		g.Launch()
		if code := g.Exit(); code != 1 {
			t.Errorf("exit status %d, want 1", code)
		}
		log := g.Log.String()
		if !strings.HasPrefix(log, g.File+want) || strings.Count(log, "\n") != 1 ||
			!strings.Contains(log, taken.Addr().String()) || !strings.Contains(log, "another process") {
			t.Errorf("the output is not one line that begins with %q and tells of another process:\n%s", want, log)
		}
	}
	f(taken.Addr().String(), e2e.FreeAddr(t), ":4:1: listener[1].address: ")
	f(e2e.FreeAddr(t), taken.Addr().String(), ":15:1: admin.address: ")
}
