//go:build sim

package sim

import (
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/penstock-edge/penstock/edge/lib/splice"
)

var (
	seeds   = flag.Int("seeds", 100, "how many worlds to run")
	first   = flag.Uint64("seed", 1, "the first seed; 0: of the clock")
	most    = flag.Duration("for", 0, "run worlds for so long, instead of so many")
	repeats = flag.Int("repeats", 10, "how often TestRepeats runs each of four seeds")
	file    = flag.String("script", "", "play this script")
	out     = flag.String("out", "", "folder for the script, the trace and the picture of what breaks; the system's for temporary files")
	shorten = flag.Duration("shrink", 30*time.Second, "how long to look for a shorter script of what breaks")
)

// only is the one pipe that there may be: what is spliced does not pass the network of the simulation.
var only *splice.Pipe

func TestMain(m *testing.M) {
	runtime.GOMAXPROCS(1)
	debug.SetGCPercent(-1) // between worlds alone: within one, a collection would change the order of things
	splice.Bound(1)
	only, _ = splice.Acquire()
	slog.SetDefault(slog.New(tracer{}))
	store = miniredis.NewMiniRedis()
	if err := store.Start(); err != nil {
		panic(err)
	}
	m.Run()
}

// inBubble runs a world and returns it.
func inBubble(t *testing.T, seed uint64, play script, build func(*world)) (w *world) {
	t.Helper()
	stuck := time.AfterFunc(time.Minute, func() {
		debug.SetTraceback("all")
		panic(fmt.Sprintf("the world of seed %d does not end", seed))
	})
	defer stuck.Stop()
	synctest.Test(t, func(t *testing.T) { w = run(t, seed, play, build) })
	runtime.GC() // twice: what lies in a sync.Pool, channels among it, may not come into another bubble
	runtime.GC()
	return w
}

// failing are seeds that broke something once.
var failing = []uint64{}

// TestSeeds runs worlds: those that have ever broken something, then fresh ones.
func TestSeeds(t *testing.T) {
	for _, seed := range failing {
		judged(t, inBubble(t, seed, nil, common))
	}
	seed := *first
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	requests, steps, worlds := 0, 0, 0
	began := time.Now()
	told := began
	for ; worlds < *seeds && *most == 0 || time.Since(began) < *most; worlds++ {
		w := inBubble(t, seed, nil, common)
		requests += len(w.requests)
		steps += w.steps
		judged(t, w)
		seed++
		if time.Since(told) > 10*time.Second {
			told = time.Now()
			fmt.Fprintf(os.Stderr, "%v: %d worlds, %d requests\n", time.Since(began).Round(time.Second), worlds+1, requests)
		}
	}
	took := time.Since(began)
	t.Logf("%d worlds up to seed %d, %d requests, %d steps, %v: %.0f requests a second", worlds, seed-1, requests, steps,
		took.Round(time.Millisecond), float64(requests)/took.Seconds())
}

// TestFleet runs worlds with limits of a fleet.
func TestFleet(t *testing.T) {
	seed := *first
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	requests, began := 0, time.Now()
	for i := range uint64(max(*seeds/10, 1)) {
		w := inBubble(t, seed+i, nil, fleet)
		requests += len(w.requests)
		if len(w.broken) > 0 {
			t.Fatalf("seed %d: %s", seed+i, w.report())
		}
	}
	t.Logf("%d requests, %v", requests, time.Since(began).Round(time.Millisecond))
}

// TestScript plays a script that was kept.
func TestScript(t *testing.T) {
	if *file == "" {
		t.Skip("no script is given: make simulate SCRIPT=FILE")
	}
	b, err := os.ReadFile(*file)
	if err != nil {
		t.Fatal(err)
	}
	var k kept
	if err := json.Unmarshal(b, &k); err != nil {
		t.Fatal(err)
	}
	w := inBubble(t, k.Seed, k.Script, common)
	t.Log(w.report())
	if len(w.broken) > 0 {
		t.Error("it breaks")
	}
}

// kept is the file of a script.
type kept struct {
	Seed   uint64 `json:"seed"`
	Script script `json:"script"`
}

// judged fails the test when a world has broken something: with the seed, a script that is as short as can be found,
// its trace and its picture.
func judged(t *testing.T, w *world) {
	t.Helper()
	if len(w.broken) == 0 {
		return
	}
	seed, kind := w.seed, w.kind
	t.Logf("seed %d: %s", seed, w.broken[0])
	best, tries := shrink(w.drawn(), len(w.trace), time.Now().Add(*shorten), func(s script) (script, int) {
		if v := inBubble(t, seed, s, common); v.kind == kind {
			return v.drawn(), len(v.trace)
		}
		return nil, 0
	})
	small := inBubble(t, seed, best, common)
	if small.kind != kind { // its trace is not worth reading
		small, best = w, w.drawn()
	}
	dir := *out
	if dir == "" {
		dir = os.TempDir()
	}
	name := filepath.Join(dir, fmt.Sprintf("penstock-seed-%d", seed))
	b, err := json.Marshal(kept{seed, best})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []struct{ suffix, text string }{
		{".json", string(b)}, {".txt", small.report()}, {".svg", small.trace.svg()},
	} {
		if err := os.WriteFile(name+f.suffix, []byte(f.text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Fatalf("seed %d breaks an invariant; shortened from %d events to %d in %d tries:\n%s\nreplay: make simulate SEED=%d SEEDS=1, "+
		"or SCRIPT=%s.json; picture: %s.svg", seed, len(w.trace), len(small.trace), tries, small.report(), seed, name, name)
}

// TestRepeats: a seed gives the same trace each time, and so does its script.
func TestRepeats(t *testing.T) {
	for seed := *first; seed < *first+4; seed++ {
		w := inBubble(t, seed, nil, common)
		want, play := w.trace.text(), w.drawn()
		for i := range *repeats {
			if i == *repeats-1 {
				w = inBubble(t, seed, play, common)
			} else {
				w = inBubble(t, seed, nil, common)
			}
			if got := w.trace.text(); got != want {
				t.Fatalf("seed %d, run %d differs:\n%s\n\nwant\n%s", seed, i, got, want)
			}
		}
	}
}

// TestIdleHour: an hour in which nobody asks anything is over within a second.
func TestIdleHour(t *testing.T) {
	began := time.Now()
	inBubble(t, *first, nil, func(w *world) {
		common(w)
		w.actors = append(w.actors[:0], &sleeper{until: w.began.Add(time.Hour)})
	})
	took := time.Since(began)
	t.Logf("an hour took %v", took)
}

// sleeper has nothing to do for a while.
type sleeper struct{ until time.Time }

func (s *sleeper) ready() bool { return false }
func (s *sleeper) act()        {}
func (s *sleeper) done() bool  { return !time.Now().Before(s.until) }
