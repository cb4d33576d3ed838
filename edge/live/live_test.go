package live

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/config"
	"github.com/penstock-edge/penstock/edge/lib/metric"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// diary is what features of the tests did, in order.
type diary struct {
	mu    sync.Mutex
	lines []string
}

func (d *diary) note(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, fmt.Sprintf(format, args...))
}

func (d *diary) drain() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	lines := d.lines
	d.lines = nil
	return lines
}

// feature writes down what is asked of it.
func (d *diary) feature(name string) edge.Feature {
	return edge.Feature{Name: name, New: func(h *edge.Host) *edge.Instance {
		d.note("new %s", name)
		_, _ = edge.Keep(h.State, name, func() (string, error) { // create cannot fail
			d.note("keep %s", name)
			return name, nil
		}, func(string) { d.note("drop %s", name) })
		return &edge.Instance{
			Start:  func() { d.note("start %s", name) },
			Reopen: func() { d.note("reopen %s", name) },
			Status: func() any { return "fine" },
			Close:  func() { d.note("close %s", name) },
		}
	}}
}

// answerer makes `respond = true` and `pool = "x"` answer a route, and knows [pool.NAME] and any listener key.
func answerer() edge.Feature {
	return edge.Feature{Name: "answerer", Answers: []string{"pool", "respond"}, New: func(h *edge.Host) *edge.Instance {
		var names []string
		for _, t := range h.Config.File.Root.Children("pool") {
			var c struct {
				Targets []string `toml:"targets" required:"true"`
			}
			t.Decode(&c)
			names = append(names, t.Name())
		}
		return &edge.Instance{Route: func(r *edge.RouteSetup) {
			if name, ok := r.Table.Value("pool"); ok {
				r.Answers("pool")
				if s, _ := name.String(); !slices.Contains(names, s) {
					r.Table.Unknown("pool", "pool", s, names)
				}
			}
			var c struct {
				Respond bool `toml:"respond"`
			}
			r.Table.Decode(&c)
			if c.Respond {
				r.Answers("respond")
				r.Note("respond", "yes")
			}
		}}
	}}
}

const goodFile = `
[[listener]]
address = "127.0.0.1:0"

[[route]]
prefix = "/"
respond = true
`

// text is a configuration that the test can change.
type text struct {
	mu sync.Mutex
	s  string
}

func (x *text) set(s string) {
	x.mu.Lock()
	x.s = s
	x.mu.Unlock()
}

func (x *text) get() (string, []byte, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return "test.toml", []byte(x.s), nil
}

func newLive(t testing.TB, x *text, features ...edge.Feature) (*Live, *edge.Current) {
	current := &edge.Current{}
	l := New(Options{
		Text: x.get, Features: append(features, answerer()), Registry: metric.NewRegistry(), Current: current,
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	t.Cleanup(func() {
		if err := l.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return l, current
}

func mustLoad(t testing.TB, l *Live) []string {
	t.Helper()
	changes, err := l.Load()
	if err != nil {
		t.Fatal(err)
	}
	return changes
}

func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for until := time.Now().Add(20 * time.Second); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("not reached in time: %s", what)
		}
	}
}

func TestLifeOfGenerations(t *testing.T) {
	d := &diary{}
	x := &text{s: goodFile}
	l, current := newLive(t, x, d.feature("a"), d.feature("b"))
	f := func(what string, want ...string) {
		t.Helper()
		if got := d.drain(); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", what, got, want)
		}
	}
	mustLoad(t, l)
	f("first load", "new a", "keep a", "new b", "keep b", "start a", "start b")
	first := current.Pin(7)
	mustLoad(t, l)
	f("a reload with a request under way", "new a", "new b", "start a", "start b")
	if n := len(l.generations()); n != 2 {
		t.Errorf("%d generations alive, want 2", n)
	}
	first.Unpin(7)
	eventually(t, "the first generation is gone", func() bool { return len(l.generations()) == 1 })
	f("its last request ended", "close b", "close a")
	x.set("[[listener]]\nnonsense")
	if _, err := l.Load(); err == nil {
		t.Error("a broken file was taken")
	}
	f("a broken file")
	l.Reopen()
	f("reopen", "reopen a", "reopen b")
	if err := l.Close(context.Background()); err != nil {
		t.Error(err)
	}
	f("close", "close b", "close a", "drop b", "drop a")
	if _, err := l.Load(); !errors.Is(err, ErrFrozen) {
		t.Errorf("load after close: %v", err)
	}
}

func TestBadFileLeavesTheRunningGeneration(t *testing.T) {
	x := &text{s: goodFile}
	l, current := newLive(t, x)
	mustLoad(t, l)
	g := current.Load()
	f := func(s string) {
		t.Helper()
		x.set(s)
		_, err := l.Load()
		var errs config.Errors
		if !errors.As(err, &errs) || len(errs) == 0 {
			t.Errorf("%q: error %v, want config.Errors", s, err)
		}
		if current.Load() != g {
			t.Fatalf("%q became the running generation", s)
		}
	}
	f("")
	f("[[listener]")
	f(goodFile + "unknown = 1")
	f(strings.ReplaceAll(goodFile, "respond = true", ""))
	f(strings.ReplaceAll(goodFile, "respond = true", `pool = "nobody"`))
	f(strings.ReplaceAll(goodFile, `"/"`, `"/a%zz"`))
	x.set(goodFile)
	mustLoad(t, l)
	if id := current.Load().ID; id != 2 {
		t.Errorf("generation %d, want 2: refused files take no number", id)
	}
	f2 := func(name string, want string) {
		t.Helper()
		var b strings.Builder
		if err := l.o.Registry.Write(&b); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(b.String(), "\n"+name+" "+want+"\n") {
			t.Errorf("no %s %s in\n%s", name, want, b.String())
		}
	}
	f2(`penstock_reloads_total{result="error"}`, "6")
	f2(`penstock_reloads_total{result="ok"}`, "1")
	f2("penstock_generation", "2")
	f2("penstock_config_last_reload_success", "1")
	eventually(t, "one generation is alive", func() bool { return len(l.generations()) == 1 })
}

func TestFileThatCannotBeRead(t *testing.T) {
	file := filepath.Join(t.TempDir(), "penstock.toml")
	l := New(Options{File: file, Features: []edge.Feature{answerer()}, Registry: metric.NewRegistry(),
		Current: &edge.Current{}, Log: slog.New(slog.DiscardHandler)})
	_, err := l.Load()
	want := file + ":1:1: cannot read the configuration: no such file or directory"
	if err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	if err := os.WriteFile(file, []byte(goodFile), 0o600); err != nil {
		t.Fatal(err)
	}
	mustLoad(t, l)
	if err := l.Close(context.Background()); err != nil {
		t.Error(err)
	}
}

// Eight mistakes give eight errors, each at its place.
func TestCheckFindsAllMistakes(t *testing.T) {
	const file = `[server]
drain_timeout = "soon"

[[listener]]
adddress = "127.0.0.1:0"

[pool.app]
targets = []

[[route]]
prefix = "/a/"
pool = "ap"

[[route]]
path = "/x/{id"
respond = true

[[route]]
prefix = "/b/"

[[route]]
prefix = "/c/"
methods = ["get"]
timeout = 5
respond = true
`
	b, err := Check("bad.toml", []byte(file), []edge.Feature{answerer()})
	if b != nil {
		t.Error("a bad file was built")
	}
	got := strings.Split(err.Error(), "\n")
	want := []string{
		`bad.toml:2:17: server.drain_timeout: `,
		`bad.toml:5:1: listener[1].adddress: unknown key (did you mean "address"?)`,
		`bad.toml:8:`,
		`bad.toml:12:8: route[1].pool: no pool named "ap" (did you mean "app"?)`,
		`bad.toml:15:1: route[2].path: `,
		`bad.toml:18:1: route[3].pool: nobody answers this route: give pool or respond`,
		`bad.toml:23:12: route[4].methods[1]: `,
		`bad.toml:24:11: route[4].timeout: `,
	}
	if len(got) != len(want) {
		t.Fatalf("%d errors, want %d:\n%s", len(got), len(want), err)
	}
	for i := range want {
		if !strings.HasPrefix(got[i], want[i]) {
			t.Errorf("%s\nwant prefix %s", got[i], want[i])
		}
	}
}

func TestChanges(t *testing.T) {
	x := &text{}
	l, _ := newLive(t, x)
	f := func(s string, want ...string) {
		t.Helper()
		x.set("[[listener]]\nname = 'main'\naddress = '127.0.0.1:0'\n" + s)
		if got := mustLoad(t, l); !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
	const a, b = "[[route]]\nname = 'a'\npath = '/a'\nrespond = true\n", "[[route]]\nname = 'b'\npath = '/b'\nrespond = true\n"
	f(a, "first generation: 1 routes, 2 parts in all")
	f(a)
	f(a+"# a comment and   spaces\n", []string(nil)...)
	f(a+b, "route b added")
	f(b+a, "routes reordered")
	f(b+strings.Replace(a, "'/a'", "'/aa'", 1), "route a changed")
	f(b, "route a removed")
	f(b+"[pool.p]\ntargets = ['x:1']\n[pool.q]\ntargets = ['x:1']", "pool p added", "pool q added")
	f(b+"[pool.p]\ntargets = ['x:1', 'y:1']", "pool p changed", "pool q removed")
	f(b+"[log]\nlevel = 'warn'", "[log] added", "pool p removed")
	f(b+"[log]\nlevel = 'info'", "[log] changed")
	x.set("[[listener]]\nname = 'main'\naddress = '127.0.0.1:0'\nmax_connections = 5\n" + b)
	if got, want := mustLoad(t, l), []string{"listener main changed", "[log] removed"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestStatus(t *testing.T) {
	x := &text{s: goodFile}
	d := &diary{}
	l, _ := newLive(t, x, d.feature("a"))
	if s := l.Status().(map[string]any); s["generation"] != uint64(0) || l.Handlers() != nil {
		t.Errorf("before the first load: %v", s)
	}
	mustLoad(t, l)
	s := l.Status().(map[string]any)
	routes := []RouteStatus{{Name: "route-1", Prefix: "/", Applies: map[string]string{"respond": "yes"}}}
	if s["generation"] != uint64(1) || s["a"] != "fine" || !reflect.DeepEqual(s["routes"], routes) {
		t.Errorf("status %+v", s)
	}
	list := s["generations"].([]GenerationStatus)
	if len(list) != 1 || list[0].ID != 1 || !list[0].Running || list[0].Exchanges != 0 {
		t.Errorf("generations %+v, want one that nobody holds", list)
	}
}

// Callers that come while a load waits for its turn share it; one that has begun is not shared, since the file
// may have changed after it was read.
func TestLoadsAreCoalesced(t *testing.T) {
	inside, goOn := make(chan struct{}, 3), make(chan struct{})
	slow := edge.Feature{Name: "slow", New: func(*edge.Host) *edge.Instance {
		inside <- struct{}{}
		<-goOn
		return nil
	}}
	x := &text{s: goodFile}
	l, current := newLive(t, x, slow)
	var wg sync.WaitGroup
	load := func() { wg.Go(func() { mustLoad(t, l) }) }
	waiting := func() *turn {
		l.joining.Lock()
		defer l.joining.Unlock()
		return l.next
	}
	load()
	<-inside
	if waiting() != nil {
		t.Error("a load that has begun can be joined")
	}
	load()
	eventually(t, "the second load waits", func() bool { return waiting() != nil })
	second := waiting()
	if got, mine := l.join(); got != second || mine {
		t.Error("a load that waits cannot be joined")
	}
	load() // joins it
	close(goOn)
	wg.Wait()
	<-second.done
	if id := current.Load().ID; id != 2 && id != 3 { // 3: the last caller came when the second had begun
		t.Errorf("generation %d", id)
	}
}

// Reloads, good and bad ones, under requests that pin: every pin finds a generation that is not closed.
func TestReloadStorm(t *testing.T) {
	type slotKey struct{ closed *bool }
	var mu sync.Mutex
	state := map[*edge.Plan]slotKey{}
	guard := edge.Feature{Name: "guard", New: func(*edge.Host) *edge.Instance {
		closed := new(bool)
		return &edge.Instance{
			Route: func(r *edge.RouteSetup) {
				mu.Lock()
				state[r.Plan] = slotKey{closed}
				mu.Unlock()
			},
			Close: func() {
				mu.Lock()
				*closed = true
				mu.Unlock()
			},
		}
	}}
	x := &text{s: goodFile}
	l, current := newLive(t, x, guard)
	mustLoad(t, l)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for lane := range uint32(4) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for {
				select {
				case <-stop:
					return
				default:
				}
				g := current.Pin(lane)
				mu.Lock()
				if *state[g.Plans[0]].closed {
					t.Error("a pinned generation is closed")
				}
				mu.Unlock()
				g.Unpin(lane)
			}
		}()
	}
	for i := range 200 {
		x.set(goodFile)
		if i%3 == 2 {
			x.set(goodFile + "broken")
		}
		if _, err := l.Load(); (err != nil) != (i%3 == 2) {
			t.Errorf("load %d: %v", i, err)
		}
	}
	close(stop)
	wg.Wait()
	eventually(t, "only the last generation is alive", func() bool { return len(l.generations()) == 1 })
	if id := current.Load().ID; id != 1+134 {
		t.Errorf("generation %d, want 135", id)
	}
}

func TestCloseWaitsForRequests(t *testing.T) {
	x := &text{s: goodFile}
	l, current := newLive(t, x)
	mustLoad(t, l)
	g := current.Pin(1)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := l.Close(ctx); err == nil {
		t.Error("closed under a request")
	}
	g.Unpin(1)
}

// A listener that is new begins to accept in Start: its requests must find the generation.
func TestStartComesAfterTheSwap(t *testing.T) {
	var current *edge.Current
	found := uint64(0)
	late := edge.Feature{Name: "late", New: func(*edge.Host) *edge.Instance {
		return &edge.Instance{Start: func() {
			if g := current.Load(); g != nil {
				found = g.ID
			}
		}}
	}}
	l, c := newLive(t, &text{s: goodFile}, late)
	current = c
	for id := range uint64(2) {
		if mustLoad(t, l); found != id+1 {
			t.Errorf("Start finds generation %d, want %d", found, id+1)
		}
	}
}

// What both config and route can see is said once, and hides nothing else.
func TestEachMistakeIsSaidOnce(t *testing.T) {
	f := func(keys string, want ...string) {
		t.Helper()
		_, err := Check("x", []byte("[[listener]]\naddress = ':1'\n[[route]]\nrespond = true\n"+keys),
			[]edge.Feature{answerer()})
		got := strings.Split(fmt.Sprint(err), "\n")
		if len(got) != len(want) {
			t.Fatalf("%d mistakes, want %d: %s", len(got), len(want), err)
		}
		for i := range want {
			if !strings.Contains(got[i], want[i]) {
				t.Errorf("%s, want %s", got[i], want[i])
			}
		}
	}
	f("prefix = 'x'", "must begin with /")
	f("prefix = ''", "must begin with /")
	f("path = '/x'\nprefix = '/x'", "either a path or a prefix")
	f("priority = 1", "needs a path or a prefix")
	f("path = '/x'\nmethods = ['get']", "is not a method")
	f("path = '/x'\nmethods = ['GET', 'GET']", "is given twice")
	f("path = '/{id'\nmethods = ['get']", "opening brace", "is not a method")
	f("path = '/{id'\nhosts = ['a_b', '*']\nheaders = { 'X' = '~(' }", "opening brace", "hosts", "headers")
}

func TestPredicatesHaveOneOrder(t *testing.T) {
	got := predicates(map[string]string{"B": "2", "A": "1", "C": "*"})
	for i, want := range []string{"A", "B", "C"} {
		if got[i].Name != want {
			t.Errorf("predicate %d is %q, want %q", i, got[i].Name, want)
		}
	}
}
