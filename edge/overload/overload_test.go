package overload

import (
	"errors"
	"log/slog"
	"math"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/lanes"
)

// fake is a machine that says what a test wants.
type fake struct {
	mu         sync.Mutex
	most, uses int64
	time       time.Duration
	fails      error
}

func (f *fake) set(uses int64, time time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.uses, f.time = uses, time
}

func (f *fake) limits() ([]bound, error) { return []bound{{f.most, "MemTotal"}}, f.fails }

func (f *fake) used(string) (int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.uses, f.fails
}

func (f *fake) busy() (time.Duration, float64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.time, 2, f.fails
}

// quiet is a logger that keeps its lines.
func quiet() (*slog.Logger, *strings.Builder) {
	var b strings.Builder
	return slog.New(slog.NewTextHandler(&b, nil)), &b
}

func newTestGauge(t *testing.T, conf Config, from *fake) (*gauge, *strings.Builder) {
	t.Helper()
	t.Setenv("GOMEMLIMIT", "off") // the tests' own memory is not the matter
	g := newGauge(from)
	log, lines := quiet()
	g.configure(&conf, log)
	return g, lines
}

func newTestGuard(g *gauge, class edge.Class, key string) *guard {
	d := &guard{class: class, gauge: g, key: key}
	for c := range d.shed {
		d.shed[c] = lanes.NewCounter()
	}
	return d
}

func TestMemory(t *testing.T) {
	from := &fake{most: 1000}
	g, _ := newTestGauge(t, Config{MemoryPercent: 80}, from)
	now := time.Now()
	f := func(uses int64, pressure, sheddable, ordinary, critical float64) {
		t.Helper()
		from.set(uses, 0)
		now = now.Add(every)
		g.look(now)
		got := [4]float64{g.pressure(memory)}
		for i, c := range []edge.Class{edge.ClassSheddable, edge.ClassDefault, edge.ClassCritical} {
			got[i+1] = float64(g.chance[c].Load()) / 65536
		}
		for i, want := range [4]float64{pressure, sheddable, ordinary, critical} {
			if math.Abs(got[i]-want) > 1e-4 {
				t.Errorf("%d of 1000 used: %v, want %v %v %v %v", uses, got, pressure, sheddable, ordinary, critical)
				return
			}
		}
	}
	f(0, 0, 0, 0, 0)
	f(800, 0, 0, 0, 0)
	f(850, .25, .5, 0, 0)
	f(900, .5, 1, 0, 0)
	f(950, .75, 1, .5, 0)
	f(999, .995, 1, .99, 0)
	f(1000, 1, 1, 1, 1)
	f(5000, 1, 1, 1, 1)
	f(700, 0, 0, 0, 0)
}

// What cannot be read is said once and refuses nobody; a limit of the file needs nothing read.
func TestMemoryUnknown(t *testing.T) {
	from := &fake{fails: errors.New("no such file")}
	g, lines := newTestGauge(t, Config{MemoryPercent: 90}, from)
	g.look(time.Now())
	if g.pressure(memory) != 0 || !strings.Contains(lines.String(), "set memory_limit") {
		t.Errorf("pressure %v, log %q", g.pressure(memory), lines)
	}
	from.fails = nil
	from.set(100, 0)
	g, _ = newTestGauge(t, Config{MemoryPercent: 90, MemoryLimit: 50}, from)
	g.look(time.Now())
	if g.pressure(memory) != 1 {
		t.Errorf("pressure %v", g.pressure(memory))
	}
	g, _ = newTestGauge(t, Config{MemoryPercent: 0, MemoryLimit: 50}, from)
	g.look(time.Now())
	if g.pressure(memory) != 0 {
		t.Errorf("pressure %v although memory is not looked at", g.pressure(memory))
	}
}

// The level of CPU finds what must be refused: here a third of the requests, which all are of one class.
func TestCPUFindsItsLevel(t *testing.T) {
	f := func(class edge.Class, asked, want float64) {
		t.Helper()
		from := &fake{}
		g, lines := newTestGauge(t, Config{CPUPercent: 90}, from)
		now, spent := time.Now(), time.Duration(0)
		for i := range 400 { // 100 s
			g.look(now)
			passed := 1 - float64(g.chance[class].Load())/65536
			now = now.Add(every)
			spent += time.Duration(2 * float64(every) * min(asked*passed, 1))
			from.set(0, spent)
			if i > 200 && math.Abs(passed*asked-want) > 0.1 {
				t.Fatalf("%v, %v times the CPU asked for: %v used after %d looks", class, asked, passed*asked, i)
			}
		}
		if want < asked && !strings.Contains(lines.String(), "overloaded") {
			t.Error("the log says nothing")
		}
	}
	f(edge.ClassSheddable, 0.5, 0.5)
	f(edge.ClassSheddable, 1.35, 0.9)
	f(edge.ClassDefault, 1.35, 0.9)
	f(edge.ClassDefault, 3, 0.9)
	f(edge.ClassCritical, 3, 3)
	f(edge.ClassDefault, 20, 2) // a tenth of the ordinary ones always passes
}

// One line when refusing begins, one when it has not been needed for 5 s.
func TestLogsChanges(t *testing.T) {
	from := &fake{most: 1000}
	g, lines := newTestGauge(t, Config{MemoryPercent: 80}, from)
	now := time.Now()
	f := func(what string, looks, begun, ended int, uses ...int64) {
		t.Helper()
		for i := range looks {
			from.set(uses[i%len(uses)], 0)
			now = now.Add(every)
			g.look(now)
		}
		if n := strings.Count(lines.String(), "refuses requests"); n != begun {
			t.Errorf("%s: %d lines say that it begins, want %d\n%s", what, n, begun, lines)
		}
		if n := strings.Count(lines.String(), "enough of all again"); n != ended {
			t.Errorf("%s: %d lines say that it ends, want %d\n%s", what, n, ended, lines)
		}
	}
	f("all is well", 100, 0, 0, 700)
	f("begins", 1, 1, 0, 900)
	f("around the threshold", 100, 1, 0, 799, 801)
	f("not calm for long enough", calmLooks-1, 1, 0, 100)
	f("once more", 1, 1, 0, 900)
	f("calm", calmLooks, 1, 1, 100)
	f("stays calm", 100, 1, 1, 100)
	f("begins again", 3, 2, 1, 990)
}

// What cannot be read any more is said once, refuses nobody, and counts again when it can.
func TestMemoryGoesBlind(t *testing.T) {
	from := &fake{most: 1000}
	g, lines := newTestGauge(t, Config{MemoryPercent: 80}, from)
	f := func(fails error, pressure float64, said int) {
		t.Helper()
		from.set(1000, 0)
		from.fails = fails
		g.look(time.Now())
		g.look(time.Now())
		if n := strings.Count(lines.String(), "cannot read any more"); n != said || g.pressure(memory) != pressure {
			t.Errorf("pressure %v, want %v; %d lines, want %d", g.pressure(memory), pressure, n, said)
		}
	}
	f(nil, 1, 0)
	f(errors.New("gone"), 0, 1)
	f(nil, 1, 1)
	f(errors.New("gone"), 0, 2)
}

// Of several limits the one nearest to being reached counts.
func TestSeveralLimits(t *testing.T) {
	from := &several{}
	t.Setenv("GOMEMLIMIT", "off")
	g := newGauge(from)
	log, _ := quiet()
	g.configure(&Config{MemoryPercent: 80}, log)
	f := func(group, process int64, pressure float64, where string) {
		t.Helper()
		from.group, from.process = group, process
		g.look(time.Now())
		s := g.status()
		if math.Abs(s.MemoryPressure-pressure) > 1e-9 || s.LimitFrom != where {
			t.Errorf("%d and %d used: %+v, want %v of %s", group, process, s, pressure, where)
		}
	}
	f(100, 10, 0, "group")
	f(900, 10, .5, "group")
	f(900, 475, .75, goLimit)
	f(0, 450, .5, goLimit)
}

// several is a machine with two limits: 1000 of the group, 500 of the process.
type several struct {
	fake
	group, process int64
}

func (s *several) limits() ([]bound, error) { return []bound{{1000, "group"}, {500, goLimit}}, nil }

func (s *several) used(where string) (int64, error) {
	if where == goLimit {
		return s.process, nil
	}
	return s.group, nil
}

// A reading that fails says nothing about the time until the next.
func TestCPUUnknown(t *testing.T) {
	from := &fake{}
	g, _ := newTestGauge(t, Config{CPUPercent: 90}, from)
	now := time.Now()
	f := func(spent time.Duration, fails error, want float64) {
		t.Helper()
		from.set(0, spent)
		from.fails = fails
		now = now.Add(every)
		g.look(now)
		if math.Abs(g.busyNow-want) > 1e-9 || g.pressure(cpu) != 0 {
			t.Errorf("%v: share %v, want %v; pressure %v", spent, g.busyNow, want, g.pressure(cpu))
		}
	}
	f(time.Hour, nil, 0)
	f(time.Hour+every, nil, .5*cpuSmooth) // half of two processors
	f(0, errors.New("no"), 0)
	f(time.Hour+2*every, nil, 0)
	f(time.Hour+3*every, nil, .5*cpuSmooth)
}

// Without cpu_percent what is used is shown, and a level from before a reload is forgotten.
func TestCPUNotLookedAt(t *testing.T) {
	from := &fake{}
	g, _ := newTestGauge(t, Config{CPUPercent: 50}, from)
	log, _ := quiet()
	now, spent := time.Now(), time.Hour
	f := func(conf Config, busy bool) {
		t.Helper()
		g.configure(&conf, log)
		for range 20 {
			from.set(0, spent)
			g.look(now)
			now = now.Add(every)
			spent += 2 * every
		}
		if s := g.status(); s.CPUPercent < 99 || (s.CPUPressure > 0) != busy || (s.RefusePercent["sheddable"] > 0) != busy {
			t.Errorf("%+v: %+v", conf, s)
		}
	}
	f(Config{CPUPercent: 50}, true)
	f(Config{}, false)
}

// The collector's limit is set only while memory is watched, and not against GOMEMLIMIT.
func TestCollectorsLimit(t *testing.T) {
	before := debug.SetMemoryLimit(math.MaxInt64)
	defer debug.SetMemoryLimit(before)
	t.Setenv("GOMEMLIMIT", "")
	giant := int64(1 << 50)
	from := &fake{most: giant}
	g := newGauge(from)
	log, _ := quiet()
	f := func(what string, want int64) {
		t.Helper()
		if got := debug.SetMemoryLimit(-1); got != want {
			t.Errorf("%s: %d, want %d", what, got, want)
		}
	}
	g.configure(&Config{MemoryPercent: 50}, log)
	f("half", int64(float64(giant)*softPart*50/100))
	g.configure(&Config{MemoryPercent: 0}, log)
	f("not watched any more", math.MaxInt64)
	g.configure(&Config{MemoryPercent: 50}, log)
	from.fails = errors.New("gone")
	g.configure(&Config{MemoryPercent: 50}, log)
	f("not known any more", math.MaxInt64)
	from.fails = nil
	t.Setenv("GOMEMLIMIT", "off")
	g.configure(&Config{MemoryPercent: 50}, log)
	f("somebody else's", math.MaxInt64)
	t.Setenv("GOMEMLIMIT", "")
	g.configure(&Config{MemoryPercent: 50}, log)
	g.stop()
	f("stopped", math.MaxInt64)
}

func TestClassOfARequest(t *testing.T) {
	f := func(route edge.Class, field string, trusted bool, want edge.Class) {
		t.Helper()
		x := &edge.Exchange{}
		x.Trusted = trusted
		if field != "" {
			x.Req.Set("X-Priority", field)
		}
		g := &guard{class: route, key: "X-Priority"}
		if v := g.Run(x); v != edge.Next || x.Class != want {
			t.Errorf("route %v, field %q, trusted %v: %v", route, field, trusted, x.Class)
		}
	}
	d, c, s := edge.ClassDefault, edge.ClassCritical, edge.ClassSheddable
	f(d, "", false, d)
	f(c, "", false, c)
	f(d, "critical", true, c)
	f(d, "critical", false, d)
	f(s, "default", false, s)
	f(s, "critical", false, s)
	f(c, "sheddable", false, s)
	f(c, "default", false, d)
	f(d, "sheddable", false, s)
	f(d, "Critical", true, d)
	f(d, "nonsense", true, d)
	f(d, "criticality", true, d)
	f(c, strings.Repeat("sheddable", 1000), true, c)
}

// The share of refused requests is that of the gauge, and the counters say the same.
func TestGuardRefuses(t *testing.T) {
	from := &fake{most: 1000}
	g, _ := newTestGauge(t, Config{MemoryPercent: 80}, from)
	from.set(950, 0) // half of the ordinary ones, all of the sheddable ones
	g.look(time.Now())
	f := func(class edge.Class, low, high int) {
		t.Helper()
		d, refused := newTestGuard(g, class, ""), 0
		for range 10_000 {
			x := &edge.Exchange{}
			if d.Run(x) == edge.Answered {
				refused++
				if x.Fault != overloaded {
					t.Fatalf("fault %v", x.Fault)
				}
			}
		}
		if refused < low || refused > high || d.shed[class].Sum() != uint64(refused) {
			t.Errorf("%v: %d of 10000 refused, %d counted", class, refused, d.shed[class].Sum())
		}
	}
	f(edge.ClassDefault, 4700, 5300)
	f(edge.ClassSheddable, 10_000, 10_000)
	f(edge.ClassCritical, 0, 0)
}

// Looks, reloads and requests at once.
func TestConcurrent(t *testing.T) {
	t.Setenv("GOMEMLIMIT", "off")
	from := &fake{most: 1000}
	g := newGauge(from)
	log, _ := quiet()
	conf := &Config{MemoryPercent: 80, CPUPercent: 50}
	g.start(conf, log)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			d := newTestGuard(g, edge.Class(i%classes), "")
			for n := range 2000 {
				d.Run(&edge.Exchange{})
				if n%100 == 0 {
					from.set(int64(n), time.Duration(n))
					g.start(conf, log)
					g.look(time.Now())
					g.status()
				}
			}
		})
	}
	wg.Wait()
	g.stop()
}

func BenchmarkGuard(b *testing.B) {
	g := newGauge(&fake{})
	d := newTestGuard(g, edge.ClassDefault, "")
	x := &edge.Exchange{}
	for b.Loop() {
		d.Run(x)
	}
}

func BenchmarkGuardWithHeader(b *testing.B) {
	g := newGauge(&fake{})
	d := newTestGuard(g, edge.ClassDefault, "X-Priority")
	x := &edge.Exchange{}
	x.Req.Set("X-Priority", "sheddable")
	for b.Loop() {
		d.Run(x)
	}
}

// TestClassOfLines: of several lines the least important class holds, and an empty one hides nothing.
func TestClassOfLines(t *testing.T) {
	f := func(trusted bool, want edge.Class, lines ...string) {
		t.Helper()
		x := &edge.Exchange{}
		x.Trusted = trusted
		for _, v := range lines {
			x.Req.Add("X-Priority", v)
		}
		(&guard{class: edge.ClassDefault, key: "X-Priority"}).Run(x)
		if x.Class != want {
			t.Errorf("%q, trusted %v: %v", lines, trusted, x.Class)
		}
	}
	d, c, s := edge.ClassDefault, edge.ClassCritical, edge.ClassSheddable
	f(false, s, "", "sheddable")
	f(true, c, "", "critical")
	f(true, s, "critical", "sheddable")
	f(true, s, "sheddable", "critical")
	f(false, s, "critical", "sheddable")
	f(true, d, "critical", "default")
	f(true, d, "", "")
}
