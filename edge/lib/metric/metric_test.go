package metric

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/penstock-edge/penstock/edge/lib/lanes"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func write(t interface{ Fatalf(string, ...any) }, r *Registry) string {
	var b strings.Builder
	if err := r.Write(&b); err != nil {
		t.Fatalf("Write: %v", err)
	}
	return b.String()
}

// values returns the lines that are no comments.
func values(t interface{ Fatalf(string, ...any) }, r *Registry) string {
	var lines []string
	for line := range strings.Lines(write(t, r)) {
		if !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "")
}

func TestWrite(t *testing.T) {
	r := NewRegistry()
	if got := write(t, r); got != "" {
		t.Errorf("empty registry wrote %q", got)
	}
	s := r.Scope()
	s.Counter("z_total", "Last by name.").Add(1, 3)
	h := s.Histogram("d_seconds", "Duration.", []time.Duration{time.Millisecond / 2, time.Minute}, "route", "a")
	h.Observe(0, 480*time.Microsecond)
	h.Observe(1, time.Second)
	h.Observe(2, time.Hour)
	s.Gauge("g", "A gauge\nwith \\ and \"quotes\".", "b", "2", "a", "1").Add(0, -7)
	s.Gauge("g", "", "a", "0", "b", "x\\y\"z\n\xff").Add(5, 9)
	s.GaugeFunc("f", "A function.", func() float64 { return 0.25 })
	s.CounterFunc("f_total", "Another.", func() float64 { return 1e9 }, "k", "v")
	want := `# HELP d_seconds Duration.
# TYPE d_seconds histogram
d_seconds_bucket{route="a",le="0.0005"} 1
d_seconds_bucket{route="a",le="60"} 2
d_seconds_bucket{route="a",le="+Inf"} 3
d_seconds_sum{route="a"} 3601.00048
d_seconds_count{route="a"} 3
# HELP f A function.
# TYPE f gauge
f 0.25
# HELP f_total Another.
# TYPE f_total counter
f_total{k="v"} 1000000000
# HELP g A gauge\nwith \\ and "quotes".
# TYPE g gauge
g{a="0",b="x\\y\"z\n` + "\ufffd" + `"} 9
g{a="1",b="2"} -7
# HELP z_total Last by name.
# TYPE z_total counter
z_total 3
`
	for range 2 {
		if got := write(t, r); got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	}
}

// What others register with the Set is written too, before the series.
func TestWriteOfTheSet(t *testing.T) {
	r := NewRegistry()
	r.set.NewCounter(`own_total{a="b"}`).Add(7)
	r.Scope().Counter("a_total", "A.")
	want := "own_total{a=\"b\"} 7\n# HELP a_total A.\n# TYPE a_total counter\na_total 0\n"
	if got := write(t, r); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestFloats(t *testing.T) {
	f := func(v float64, want string) {
		t.Helper()
		x := text{w: io.Discard}
		x.float(v)
		if got := string(x.b); got != want+"\n" {
			t.Errorf("%v: %q, want %q", v, got, want)
		}
	}
	f(0, "0")
	f(-3, "-3")
	f(0.1, "0.1")
	f(1<<52, "4503599627370496")
	f(1e300, "1e+300")
	f(math.Inf(1), "+Inf")
	f(math.Inf(-1), "-Inf")
	f(math.NaN(), "NaN")
}

func TestSameSeriesSameObject(t *testing.T) {
	r := NewRegistry()
	s, u := r.Scope(), r.Scope()
	a := s.Counter("a_total", "A.", "x", "1", "y", "2")
	b := s.Counter("a_total", "A.", "y", "2", "x", "1")
	if a != b || a != u.Counter("a_total", "A.", "x", "1", "y", "2") {
		t.Error("another counter")
	}
	if a == s.Counter("a_total", "A.", "x", "1", "y", "3") {
		t.Error("one counter for two series")
	}
	if s.Gauge("g", "G.") != u.Gauge("g", "G.") {
		t.Error("another gauge")
	}
	if s.Histogram("h_seconds", "H.", DefaultBounds()) != u.Histogram("h_seconds", "H.", DefaultBounds()) {
		t.Error("another histogram")
	}
}

func TestSeriesOutliveTheirGeneration(t *testing.T) {
	r := NewRegistry()
	f := func(want string) {
		t.Helper()
		if got := values(t, r); got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	}
	old := r.Scope()
	old.Counter("a_total", "A.", "route", "kept").Inc(0)
	old.Counter("a_total", "A.", "route", "kept").Inc(0)
	old.Counter("a_total", "A.", "route", "gone").Inc(0)
	old.Gauge("b", "B.").Add(0, 4)
	next := r.Scope()
	next.Counter("a_total", "A.", "route", "kept").Inc(0)
	next.Counter("a_total", "A.", "route", "new").Inc(0)
	f("a_total{route=\"gone\"} 1\na_total{route=\"kept\"} 3\na_total{route=\"new\"} 1\nb 4\n")
	old.Close()
	old.Close()
	f("a_total{route=\"kept\"} 3\na_total{route=\"new\"} 1\n")
	third := r.Scope()
	third.Counter("a_total", "A.", "route", "gone")
	next.Close()
	f("a_total{route=\"gone\"} 0\n")
	third.Close()
	if got := write(t, r); got != "" {
		t.Errorf("left over: %s", got)
	}
}

// A name that is free again may be used in another way.
func TestNameIsFreeAfterClose(t *testing.T) {
	r := NewRegistry()
	s := r.Scope()
	s.Histogram("x_seconds", "X.", DefaultBounds())
	s.Close()
	s = r.Scope()
	s.Histogram("x_seconds", "X.", []time.Duration{1})
	s.Gauge("y", "Y.")
	s.Close()
	r.Scope().GaugeFunc("y", "Y.", func() float64 { return 1 })
}

func TestLastFunctionWins(t *testing.T) {
	r := NewRegistry()
	scopes := map[string]*Scope{}
	set := func(name string, v float64) {
		if scopes[name] == nil {
			scopes[name] = r.Scope()
		}
		scopes[name].GaugeFunc("g", "G.", func() float64 { return v })
	}
	f := func(want string) {
		t.Helper()
		if got := values(t, r); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	set("old", 1)
	f("g 1\n")
	set("failed", 2)
	f("g 2\n")
	scopes["failed"].Close() // the reload came to nothing
	f("g 1\n")
	set("new", 3)
	scopes["old"].Close()
	f("g 3\n")
	set("later", 4)
	set("new", 5)
	f("g 5\n")
	scopes["new"].Close()
	f("g 4\n")
	scopes["later"].Close()
	f("")
}

// A function may itself use the registry: it is called without locks.
func TestFunctionIsCalledWithoutLocks(t *testing.T) {
	r := NewRegistry()
	s := r.Scope()
	s.GaugeFunc("g", "G.", func() float64 {
		s.Counter("c_total", "C.").Inc(0)
		return 1
	})
	if got := values(t, r); got != "g 1\n" {
		t.Errorf("got %q", got)
	}
	if got := values(t, r); got != "c_total 1\ng 1\n" {
		t.Errorf("got %q", got)
	}
}

func TestMisuse(t *testing.T) {
	f := func(what string, use func(s *Scope)) {
		t.Helper()
		defer func() {
			t.Helper()
			if text, _ := recover().(string); !strings.HasPrefix(text, "BUG: metric ") {
				t.Errorf("%s: %q", what, text)
			}
		}()
		s := NewRegistry().Scope()
		s.Gauge("g", "G.")
		s.Counter("c_total", "C.", "a", "1")
		s.GaugeFunc("f", "F.", func() float64 { return 0 })
		s.Histogram("h_seconds", "H.", []time.Duration{1, 2})
		use(s)
	}
	f("counter and gauge", func(s *Scope) { s.Gauge("c_total", "C.") })
	f("gauge and function", func(s *Scope) { s.GaugeFunc("g", "G.", func() float64 { return 0 }) })
	f("function and gauge", func(s *Scope) { s.Gauge("f", "F.") })
	f("other buckets", func(s *Scope) { s.Histogram("h_seconds", "H.", []time.Duration{1, 3}) })
	f("histogram without unit", func(s *Scope) { s.Histogram("h", "H.", nil) })
	f("counter without _total", func(s *Scope) { s.Counter("requests", "R.") })
	f("gauge with _total", func(s *Scope) { s.Gauge("x_total", "X.") })
	f("gauge with _count", func(s *Scope) { s.Gauge("x_count", "X.") })
	f("no name", func(s *Scope) { s.Gauge("", "X.") })
	f("bad name", func(s *Scope) { s.Gauge("a-b", "X.") })
	f("name with a digit first", func(s *Scope) { s.Gauge("1a", "X.") })
	f("label without value", func(s *Scope) { s.Gauge("x", "X.", "a") })
	f("label twice", func(s *Scope) { s.Gauge("x", "X.", "a", "1", "b", "2", "a", "3") })
	f("label le", func(s *Scope) { s.Gauge("x", "X.", "le", "1") })
	f("label of Prometheus", func(s *Scope) { s.Gauge("x", "X.", "__name__", "1") })
	f("bad label", func(s *Scope) { s.Gauge("x", "X.", "a:b", "1") })
	f("one by one and in rows", func(s *Scope) {
		s.CounterRows("c_total", "C.", []string{"a"}, []string{"1"}).With()
	})
	f("in rows and one by one", func(s *Scope) {
		s.CounterRows("r_total", "R.", []string{"a"}, []string{"1"}).With()
		s.Counter("r_total", "R.", "a", "1")
	})
	f("two kinds of rows", func(s *Scope) {
		s.CounterRows("r_total", "R.", []string{"a"}, []string{"1"}).With()
		s.CounterRows("r_total", "R.", []string{"a"}, []string{"1", "2"}).With()
	})
	f("rows of no label", func(s *Scope) { s.CounterRows("r_total", "R.", nil, []string{"1"}) })
	f("rows of no value", func(s *Scope) { s.CounterRows("r_total", "R.", []string{"a"}, nil) })
	f("rows out of order", func(s *Scope) { s.CounterRows("r_total", "R.", []string{"a"}, []string{"2", "1"}) })
	f("label of rows before another", func(s *Scope) {
		s.CounterRows("r_total", "R.", []string{"b", "a"}, []string{"1"})
	})
	f("prepared counter without _total", func(s *Scope) { s.Counters("requests", "R.") })
	f("prepared label twice", func(s *Scope) { s.Counters("r_total", "R.", "a", "b", "a") })
	f("prepared label le", func(s *Scope) { s.Histograms("r_seconds", "R.", nil, "le") })
	f("too few values", func(s *Scope) { s.Counters("r_total", "R.", "a", "b").With("1") })
	f("too many values", func(s *Scope) { s.Counters("r_total", "R.").With("1") })
	f("prepared with other buckets", func(s *Scope) { s.Histograms("h_seconds", "H.", nil).With() })
	f("prepared and computed", func(s *Scope) {
		s.CounterFunc("r_total", "R.", func() float64 { return 0 })
		s.Counters("r_total", "R.").With()
	})
	f("prepared by a closed scope", func(s *Scope) {
		c := s.Counters("r_total", "R.")
		s.Close()
		c.With()
	})
	f("closed scope", func(s *Scope) { s.Close(); s.Gauge("x", "X.") })
}

// Generations come and go at random; the slow twin counts in plain maps.
func TestScopesAgainstMaps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := NewRegistry()
		if rapid.Bool().Draw(t, "collide") {
			r = newRegistry(func(b []byte) uint64 { return uint64(len(b) % 2) })
		}
		scopes := map[*Scope]map[string]bool{}
		list := []*Scope{}
		sums := map[string]int{}
		t.Repeat(map[string]func(*rapid.T){
			"open": func(*rapid.T) {
				s := r.Scope()
				scopes[s] = map[string]bool{}
				list = append(list, s)
			},
			"count": func(t *rapid.T) {
				if len(list) == 0 {
					return
				}
				s := rapid.SampledFrom(list).Draw(t, "scope")
				k := rapid.SampledFrom([]string{"a", "b", "cc", "d"}).Draw(t, "label")
				scopes[s][k] = true
				sums[k]++
				lane := rapid.Uint32().Draw(t, "lane")
				if rapid.Bool().Draw(t, "prepared") {
					s.Counters("n_total", "N.", "k").With(k).Inc(lane)
				} else {
					s.Counter("n_total", "N.", "k", k).Inc(lane)
				}
				s.CounterRows("o_total", "O.", []string{"k", "l"}, []string{"1", "2"}).With(k)[1].Inc(lane)
			},
			"close": func(t *rapid.T) {
				if len(list) == 0 {
					return
				}
				i := rapid.IntRange(0, len(list)-1).Draw(t, "scope")
				list[i].Close()
				delete(scopes, list[i])
				list = slices.Delete(list, i, i+1)
			},
			"": func(t *rapid.T) {
				want, rows := "", ""
				for _, k := range slices.Sorted(maps.Keys(sums)) {
					held := false
					for _, has := range scopes {
						held = held || has[k]
					}
					if !held {
						delete(sums, k)
						continue
					}
					want += fmt.Sprintf("n_total{k=%q} %d\n", k, sums[k])
					rows += fmt.Sprintf("o_total{k=%q,l=\"1\"} 0\no_total{k=%q,l=\"2\"} %d\n", k, k, sums[k])
				}
				want += rows
				if got := values(t, r); got != want {
					t.Fatalf("got\n%s\nwant\n%s", got, want)
				}
			},
		})
	})
}

func TestReloadWhileScraped(t *testing.T) {
	r := NewRegistry()
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				_ = write(t, r)
			}
		}
	})
	var c *lanes.Counter
	old := r.Scope()
	for turn := range 50 {
		next := r.Scope()
		for i := range 20 {
			next.Counter("a_total", "A.", "i", strconv.Itoa(i+turn)).Inc(0)
			next.GaugeFunc("f", "F.", func() float64 { return float64(turn) }, "i", strconv.Itoa(i))
		}
		c = next.Counter("kept_total", "K.")
		c.Inc(uint32(turn))
		old.Close()
		old = next
	}
	close(stop)
	wg.Wait()
	if c.Sum() != 50 || strings.Count(values(t, r), "\n") != 41 {
		t.Errorf("kept %d:\n%s", c.Sum(), values(t, r))
	}
}

// A scope that asks again and again holds a series once.
func TestHeldOnce(t *testing.T) {
	r := NewRegistry()
	s := r.Scope()
	for range 100 {
		s.Counter("c_total", "C.").Inc(0)
		s.GaugeFunc("g", "G.", func() float64 { return 1 })
	}
	if len(s.held) != 2 || len(s.held[0].holders) != 1 || len(s.held[1].holders) != 1 {
		t.Errorf("%d series held", len(s.held))
	}
	s.Close()
	if got := write(t, r); got != "" {
		t.Errorf("left over: %s", got)
	}
}

// limited fails after a number of bytes.
type limited int

func (l *limited) Write(b []byte) (int, error) {
	if *l -= limited(len(b)); *l < 0 {
		return 0, io.ErrClosedPipe
	}
	return len(b), nil
}

// failOnce counts writes, of which the first fails.
type failOnce int

func (w *failOnce) Write(b []byte) (int, error) {
	if *w++; *w == 1 {
		return 0, io.ErrClosedPipe
	}
	return len(b), nil
}

func TestWriteErrors(t *testing.T) {
	r := NewRegistry()
	s := r.Scope()
	for i := range 5000 {
		s.Counter("a_total", "A.", "i", strconv.Itoa(i))
	}
	f := func(room int, fails bool) {
		t.Helper()
		l := limited(room)
		if err := r.Write(&l); errors.Is(err, io.ErrClosedPipe) != fails {
			t.Errorf("%d bytes: %v", room, err)
		}
	}
	f(0, true)
	f(50_000, true)
	f(1_000_000, false)
	once := new(failOnce)
	if err := r.Write(once); !errors.Is(err, io.ErrClosedPipe) || *once != 1 {
		t.Errorf("%d writes: %v", *once, err)
	}
	l := limited(0)
	if err := WriteProcess(&l); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("WriteProcess: %v", err)
	}
}

func TestWriteProcess(t *testing.T) {
	var b strings.Builder
	if err := WriteProcess(&b); err != nil {
		t.Fatal(err)
	}
	f := func(name string, low, high float64) {
		t.Helper()
		line := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + ` (\S+)$`).FindStringSubmatch(b.String())
		if line == nil {
			t.Errorf("%s is missing", name)
			return
		}
		if v, err := strconv.ParseFloat(line[1], 64); err != nil || v < low || v > high {
			t.Errorf("%s is %s, want %v to %v", name, line[1], low, high)
		}
	}
	now := float64(time.Now().Unix())
	f("go_goroutines", 1, float64(runtime.NumGoroutine()+2)) // not those of the runtime
	f("go_threads", 1, 1000)
	f("go_gc_cycles_total", 0, 1e6)
	f("go_cpu_classes_gc_total_cpu_seconds_total", 0, 1e5)
	f(`go_gc_duration_seconds{quantile="0.75"}`, 0, 10)
	f("go_gc_duration_seconds_count", 0, 1e6)
	f("go_memstats_alloc_bytes", 1e4, 1e10)
	f("go_memstats_sys_bytes", 1e6, 1e11)
	f("process_cpu_seconds_total", 0, 1e5)
	f("process_resident_memory_bytes", 1e6, 1e11)
	f("process_virtual_memory_bytes", 1e6, 1e15)
	f("process_open_fds", 3, 1000)
	f("process_max_fds", 10, 1e19)
	f("process_start_time_seconds", now-3600, now+2)
	if !strings.Contains(b.String(), `go_info{version="go1.`) {
		t.Error("go_info is missing")
	}
}

func TestOpenFiles(t *testing.T) {
	before, _ := openFiles()
	file, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if after, ok := openFiles(); !ok || after != before+1 {
		t.Errorf("%d open files, one more than %d is expected (%v)", after, before, ok)
	}
}

// promtool is what its users check metrics with.
func TestPromtool(t *testing.T) {
	path, err := exec.LookPath("promtool")
	if err != nil {
		const missing = "promtool is missing: apt-get install prometheus brings it"
		if os.Getenv("CI") == "" {
			t.Skip(missing)
		}
		t.Fatal(missing)
	}
	r := NewRegistry()
	s := r.Scope()
	for _, route := range []string{"user", "q\"uote", "back\\slash", "new\nline", "grüße", "bad \xff", ""} {
		s.Counter("penstock_requests_total", "Requests.", "route", route, "status_class", "2xx").Inc(1)
		s.Histogram("penstock_request_duration_seconds", "Duration \\ of\nrequests.", DefaultBounds(),
			"route", route).Observe(1, time.Millisecond)
	}
	s.Gauge("penstock_connections", "Connections.", "listener", "public").Add(0, -1)
	s.GaugeFunc("penstock_generation", "Generation.", func() float64 { return math.Inf(1) })
	s.CounterFunc("penstock_reloads_total", "Reloads.", func() float64 { return 1.5 }, "result", "ok")
	f := func(what string, text []byte, clean bool) {
		t.Helper()
		cmd := exec.Command(path, "check", "metrics")
		cmd.Stdin = bytes.NewReader(text)
		out, err := cmd.CombinedOutput()
		if (err == nil && len(out) == 0) != clean {
			t.Errorf("%s: promtool: %v\n%s", what, err, out)
		}
	}
	var page bytes.Buffer
	if err := errors.Join(r.Write(&page), WriteProcess(&page)); err != nil {
		t.Fatal(err)
	}
	f("the page", page.Bytes(), true)
	f("the page and a counter of no good name", append(page.Bytes(), "# TYPE x counter\nx 1\n"...), false)
}
