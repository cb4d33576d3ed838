// Package e2e is the harness of the tests of the built binary from outside: real sockets, origins and clients
// that are not ours. The tests are in the packages below it, one for each room; each has a TestMain that
// calls Main.
package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Binary is the gateway under test, as it is shipped; under the race detector, one that has it.
var Binary string

// Main is the TestMain of a package of tests: it builds the gateway and runs them. As the process of an
// origin, which tests start, it serves until it is killed.
func Main(m *testing.M) {
	if addr := os.Getenv(OriginEnv); addr != "" {
		originMain(addr)
	}
	dir, err := os.MkdirTemp("", "penstock-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "cannot make a directory for the binary:", err)
		os.Exit(1)
	}
	Binary = filepath.Join(dir, "penstock")
	if err := buildGateway(Binary); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(dir) // a leftover directory in the temporary folder harms nobody
	os.Exit(code)
}

// buildGateway makes file the gateway that this tree builds. What is built stands in bin/e2e, where go build
// leaves alone what is up to date: packages that are tested at once wait for each other, and the first one
// builds for all.
func buildGateway(file string) error {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return fmt.Errorf("cannot find the module: %w", err)
	}
	root = strings.TrimSpace(string(out))
	shared := filepath.Join(root, "bin", "e2e")
	if err := os.MkdirAll(shared, 0o755); err != nil {
		return fmt.Errorf("cannot make a directory for the binary: %w", err)
	}
	lock, err := os.Create(filepath.Join(shared, "lock"))
	if err != nil {
		return fmt.Errorf("cannot lock the directory of the binary: %w", err)
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("cannot lock the directory of the binary: %w", err)
	}
	// The flags are those of make build, but for the version; the profile makes it no faster to find races.
	name, cgo, flags := "penstock", "0", []string{"-trimpath", "-buildvcs=false", "-ldflags=-s -w"}
	if RaceEnabled {
		name, cgo, flags = "penstock-race", "1", []string{"-race", "-pgo=off", "-buildvcs=false"}
	}
	built := filepath.Join(shared, name)
	build := exec.Command("go", slices.Concat([]string{"build", "-o", built}, flags,
		[]string{"github.com/penstock-edge/penstock/cmd/penstock"})...)
	build.Env = append(os.Environ(), "CGO_ENABLED="+cgo)
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("cannot build the binary: %w\n%s", err, out)
	}
	// A link stays what it is when go build replaces the file.
	if os.Link(built, file) == nil {
		return nil
	}
	b, err := os.ReadFile(built) // it is on another file system
	if err != nil {
		return fmt.Errorf("cannot copy the binary: %w", err)
	}
	return os.WriteFile(file, b, 0o755)
}

// root is the folder of the module.
var root string

// lookAtSources looks at what the gateway is made of, while tests run: go test takes a result from its cache
// until something that the tests have looked at changes.
var lookAtSources = sync.OnceValue(func() error {
	return filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "bin" || strings.HasPrefix(d.Name(), ".")):
			return fs.SkipDir
		case d.IsDir() || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		_, err = os.Stat(name)
		return err
	})
})

// Gateway is one running process.
type Gateway struct {
	T      testing.TB
	Cmd    *exec.Cmd
	File   string // its configuration
	Addr   string // of its first listener, set by the caller's configuration through {{addr}}
	Admin  string // address of the admin listener
	Log    *LockedBuffer
	Exited chan struct{}
	err    error
}

// LockedBuffer collects what the process writes.
type LockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write implements io.Writer.
func (l *LockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *LockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// ports are those that this process gives out: a block of a thousand that it holds the lock of as long as it
// runs, since packages are tested at once.
var ports struct {
	mu    sync.Mutex
	lock  *os.File
	first int
	given int
}

const (
	firstPort  = 10_000
	portBlocks = 20
	blockPorts = 1000
)

// FreeAddr returns a loopback address that nobody listens on at the moment, and a new one each time. Its port
// is below those that Linux gives to clients (net.ipv4.ip_local_port_range, from 32768 on): one of these
// could take it before the gateway does.
func FreeAddr(t testing.TB) string {
	t.Helper()
	ports.mu.Lock()
	defer ports.mu.Unlock()
	if ports.lock == nil {
		lockPorts(t)
	}
	for range blockPorts {
		ports.given++
		addr := fmt.Sprintf("127.0.0.1:%d", ports.first+ports.given%blockPorts)
		if l, err := net.Listen("tcp", addr); err == nil {
			l.Close()
			return addr
		}
	}
	t.Fatal("no free port")
	return ""
}

// lockPorts finds a block that no other process has. ports.mu is held.
func lockPorts(t testing.TB) {
	t.Helper()
	for i := range portBlocks {
		name := filepath.Join(os.TempDir(), fmt.Sprintf("penstock-ports-%d-%d", os.Getuid(), i))
		f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			ports.lock, ports.first = f, firstPort+i*blockPorts
			return
		}
		f.Close()
	}
	t.Fatal("other tests have all ports")
}

// Start runs the gateway with conf, in which {{addr}} stands for the address of its listener; an [admin]
// section and a quiet access log are added. It returns when /readyz answers 200.
func Start(t testing.TB, conf string) *Gateway {
	t.Helper()
	g := &Gateway{T: t, Addr: FreeAddr(t), Admin: FreeAddr(t), Log: &LockedBuffer{}}
	g.File = filepath.Join(t.TempDir(), "penstock.toml")
	g.Write(conf)
	g.Launch()
	t.Cleanup(g.Stop)
	g.WaitReady()
	return g
}

// Write replaces the configuration file; the running gateway learns of it by reload.
func (g *Gateway) Write(conf string) {
	g.T.Helper()
	conf = strings.ReplaceAll(conf, "{{addr}}", g.Addr)
	if !strings.Contains(conf, "[admin]") {
		conf += "\n[admin]\naddress = \"" + g.Admin + "\"\n"
	}
	if !strings.Contains(conf, "[log") {
		conf += "\n[log.access]\noutput = \"off\"\n"
	}
	if err := os.WriteFile(g.File, []byte(conf), 0o600); err != nil {
		g.T.Fatal(err)
	}
}

// Launch starts the process; env is added to its environment.
func (g *Gateway) Launch(env ...string) {
	g.T.Helper()
	g.Cmd = exec.Command(Binary, "run", "--config", g.File)
	g.Cmd.Env = append(os.Environ(), env...)
	g.Run()
}

// Run starts the process that g.cmd describes.
func (g *Gateway) Run() {
	g.T.Helper()
	if err := lookAtSources(); err != nil {
		g.T.Fatal(err)
	}
	g.Cmd.Stdout, g.Cmd.Stderr = g.Log, g.Log
	if err := g.Cmd.Start(); err != nil {
		g.T.Fatal(err)
	}
	g.Exited = make(chan struct{})
	go func(cmd *exec.Cmd, exited chan struct{}) {
		g.err = cmd.Wait()
		close(exited)
	}(g.Cmd, g.Exited)
}

// WaitReady waits until /readyz answers 200.
func (g *Gateway) WaitReady() {
	g.T.Helper()
	Eventually(g.T, "the gateway is ready", func() bool {
		select {
		case <-g.Exited:
			g.T.Fatalf("the gateway ended: %v\n%s", g.err, g.Log)
		default:
		}
		resp, err := http.Get("http://" + g.Admin + "/readyz")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == 200
	})
}

// Stop ends the process at once and fails the test if its log shows a panic or a race.
func (g *Gateway) Stop() {
	deadline := time.Now().Add(10 * time.Second)
	for ended := false; !ended; {
		_ = g.Cmd.Process.Signal(syscall.SIGTERM) // a second one ends it at once; it may have ended by itself
		if time.Now().After(deadline) {
			_ = g.Cmd.Process.Kill() // as above
		}
		select {
		case <-g.Exited:
			ended = true
		case <-time.After(20 * time.Millisecond): // two signals at once may arrive as one
		}
	}
	for _, bad := range []string{"panic", "DATA RACE", "BUG:"} {
		if strings.Contains(g.Log.String(), bad) {
			g.T.Errorf("the gateway's log shows %q:\n%s", bad, g.Log)
		}
	}
	if g.T.Failed() {
		g.T.Logf("log of the gateway:\n%s", g.Log)
	}
}

// Reload asks the admin listener to reload and returns the status and body of its answer.
func (g *Gateway) Reload() (int, string) {
	g.T.Helper()
	resp, err := http.Post("http://"+g.Admin+"/reload", "", nil)
	if err != nil {
		g.T.Fatal(err)
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body) // a cut answer shows in the comparison
	return resp.StatusCode, string(b)
}

// Status returns /status decoded.
func (g *Gateway) Status() map[string]any {
	g.T.Helper()
	resp, err := http.Get("http://" + g.Admin + "/status")
	if err != nil {
		g.T.Fatal(err)
	}
	defer resp.Body.Close()
	var m map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&m); err != nil {
		g.T.Fatal(err)
	}
	return m
}

// Metric returns the value of the first series whose line begins with prefix; 0 when there is none.
func (g *Gateway) Metric(prefix string) float64 {
	g.T.Helper()
	resp, err := http.Get("http://" + g.Admin + "/metrics")
	if err != nil {
		g.T.Fatal(err)
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body) // as above
	for line := range strings.Lines(string(b)) {
		if strings.HasPrefix(line, prefix) {
			var v float64
			if _, err := fmt.Sscan(line[strings.LastIndexByte(line, ' ')+1:], &v); err == nil {
				return v
			}
		}
	}
	return 0
}

// Counted waits until a metric is what it has to be: some is counted when the answer has left already.
func (g *Gateway) Counted(series string, want float64) {
	g.T.Helper()
	Eventually(g.T, fmt.Sprintf("%s is %v", series, want), func() bool { return g.Metric(series) == want })
}

// Eventually polls cond until it holds; it fails the test when it does not within a minute.
func Eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !cond() {
		if time.Now().After(deadline) {
			t.Fatalf("not reached in time: %s", what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// Raw sends bytes on a new connection to addr and returns all that comes back until the gateway closes or is
// silent for a while.
func Raw(t testing.TB, addr, send string) string {
	t.Helper()
	c, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, send); err != nil {
		t.Fatal(err)
	}
	return ReadAll(t, c)
}

// ReadAll reads until the end, or until nothing has come for a second.
func ReadAll(t testing.TB, c net.Conn) string {
	t.Helper()
	var b bytes.Buffer
	buf := make([]byte, 64<<10)
	for {
		_ = c.SetReadDeadline(time.Now().Add(time.Second)) // fails only on a closed connection
		n, err := c.Read(buf)
		b.Write(buf[:n])
		if err != nil {
			return b.String()
		}
	}
}

// Origin is a raw TCP origin: serve is called for each connection in a goroutine of its own.
func Origin(t testing.TB, serve func(c net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	open := map[net.Conn]bool{}
	wg.Add(1)
	go func() {
		defer wg.Done()
		for {
			c, err := l.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				continue
			}
			mu.Lock()
			open[c] = true
			mu.Unlock()
			wg.Add(1)
			go func() {
				defer wg.Done()
				defer c.Close()
				serve(c)
			}()
		}
	}()
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for c := range open {
			c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return l.Addr().String()
}

// HTTPOrigin is an origin on Go's net/http; it returns its address.
func HTTPOrigin(t testing.TB, h http.HandlerFunc) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: h}
	go srv.Serve(l)
	t.Cleanup(func() { srv.Shutdown(canceled()); srv.Close() })
	return l.Addr().String()
}

func canceled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// Simple is a configuration with one listener and one pool for everything.
func Simple(target string, more ...string) string {
	return `
[[listener]]
name = "main"
address = "{{addr}}"

[pool.app]
targets = ["` + target + `"]

[[route]]
name = "all"
prefix = "/"
pool = "app"
` + strings.Join(more, "\n")
}
