//go:build sim

package sim

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/penstock-edge/penstock/cache"
	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/answer"
	"github.com/penstock-edge/penstock/edge/bodylimit"
	"github.com/penstock-edge/penstock/edge/deadline"
	"github.com/penstock-edge/penstock/edge/forwarded"
	"github.com/penstock-edge/penstock/edge/front"
	"github.com/penstock-edge/penstock/edge/headers"
	"github.com/penstock-edge/penstock/edge/lib/chance"
	"github.com/penstock-edge/penstock/edge/lib/clock"
	"github.com/penstock-edge/penstock/edge/lib/metric"
	"github.com/penstock-edge/penstock/edge/lib/poll"
	"github.com/penstock-edge/penstock/edge/lib/sockets"
	"github.com/penstock-edge/penstock/edge/live"
	"github.com/penstock-edge/penstock/edge/mirror"
	"github.com/penstock-edge/penstock/edge/observe"
	"github.com/penstock-edge/penstock/edge/overload"
	"github.com/penstock-edge/penstock/edge/requestid"
	"github.com/penstock-edge/penstock/edge/rewrite"
	"github.com/penstock-edge/penstock/edge/split"
	"github.com/penstock-edge/penstock/pool"
	"github.com/penstock-edge/penstock/ratelimit"
)

// world is one run.
type world struct {
	t       testing.TB
	seed    uint64
	play    script // to be played; nil: chance decides
	streams map[string]*draws
	order   *draws // of the scheduler
	net     *network
	began   time.Time
	noting  sync.Mutex // guards trace
	trace   trace
	actors  []actor
	broken  []string // invariants, with what broke them
	kind    string   // the first of them, without what broke it
	steps   int
	ends    bool // the operator has stopped the gateway

	plan     plan
	given    map[string]*given // what targets have answered, by token
	came     map[string]int    // how often each request has come to a target
	spans    map[string]span   // how long each was with a target
	byToken  map[string]*request
	requests []*request // of all clients
	junk     int        // how many clients have sent something else, to the route p if to any
	changes  []change   // after which what is older may not be served

	front   *front.Front
	live    *live.Live
	metrics *metric.Registry
	conf    string
	dir     string // of its files
}

// actor is somebody in the world besides the gateway. The scheduler calls it, nobody else.
type actor interface {
	// ready reports whether the actor would do something now; act does it.
	ready() bool
	act()
	// done reports whether the actor has nothing to do any more.
	done() bool
}

const (
	// patience is longer than a request may take by any bound of the configuration.
	patience = time.Minute
	// maxSteps ends a world that does not end.
	maxSteps = 300_000
)

var gateway = netip.MustParseAddrPort("10.0.0.1:8080")

// run builds a world from a seed, or from a script, lets it happen, and returns it when everybody is done.
func run(t testing.TB, seed uint64, play script, build func(*world)) *world {
	w := &world{t: t, seed: seed, play: play, streams: make(map[string]*draws), began: time.Now(),
		given: make(map[string]*given), came: make(map[string]int),
		spans: make(map[string]span), byToken: make(map[string]*request)}
	w.order, w.dir, now = w.drawsOf("world"), t.TempDir(), w
	w.net = newNetwork(w)
	clock.Restart()
	chance.Seed(seed)
	poll.Sim, sockets.Sim = w.net, w.net
	build(w)
	if err := w.start(); err != nil {
		w.breaks("world", "the configuration is refused: %v", err)
		return w
	}
	w.happen()
	w.stop()
	return w
}

// drawn returns what all have drawn.
func (w *world) drawn() script {
	s := make(script)
	for name, d := range w.streams {
		s[name] = d.drawn
	}
	return s
}

// note adds an event to the trace. Nothing is of interest behind what breaks.
func (w *world) note(who, format string, args ...any) {
	w.noting.Lock()
	defer w.noting.Unlock()
	if w.kind != "" {
		return
	}
	w.trace = append(w.trace, event{time.Since(w.began), w.steps, who, format, args})
}

// breaks records that an invariant does not hold.
func (w *world) breaks(who, format string, args ...any) {
	w.note(who, "BROKEN: "+format, args...)
	if w.kind == "" {
		w.kind = format
	}
	w.broken = append(w.broken, who+": "+fmt.Sprintf(format, args...))
}

func (w *world) start() error {
	w.metrics = metric.NewRegistry()
	current := &edge.Current{}
	w.front = front.New(current, w.metrics.Scope(), nil, 2)
	w.live = live.New(live.Options{
		Text:     func() (string, []byte, error) { return "sim.toml", []byte(w.conf), nil },
		Registry: w.metrics, Current: current, Log: slog.New(tracer{}),
		Features: []edge.Feature{forwarded.Feature, requestid.Feature, observe.Feature, w.front.Feature(), pool.Feature,
			overload.Feature, ratelimit.Feature, deadline.Feature, bodylimit.Feature, rewrite.Feature, headers.Feature,
			cache.Feature, answer.Feature, split.Feature, mirror.Feature},
	})
	_, err := w.live.Load()
	return err
}

// happen lets things happen until the actors are done and nothing is on its way.
func (w *world) happen() {
	for !w.ends && len(w.broken) == 0 {
		synctest.Wait()
		if w.steps++; w.steps > maxSteps {
			w.breaks("world", "it does not end")
			return
		}
		if !w.step() {
			return
		}
	}
}

// step draws one thing of those that may happen; false: nothing will happen any more.
func (w *world) step() bool {
	w.net.mu.Lock()
	wires, dials := len(w.net.wires), len(w.net.dials)
	w.net.mu.Unlock()
	var some [16]actor
	ready, left := some[:0], false
	for _, a := range w.actors {
		if a.ready() {
			ready = append(ready, a)
		}
		left = left || !a.done()
	}
	n := wires + dials + len(ready)
	if n == 0 {
		if left {
			time.Sleep(time.Millisecond + w.order.wait(time.Second))
		}
		return left
	}
	// Nothing happens at the same moment: timers that end together end in an order that nobody can repeat.
	time.Sleep(time.Nanosecond)
	if w.order.one(4 * (n + 1)) { // time passes when there is nothing else, and sometimes though there is
		time.Sleep(1 + w.order.wait(300*time.Millisecond))
		return true
	}
	i := w.order.n(n)
	switch {
	case i < wires:
		w.net.mu.Lock()
		w.net.deliver(i, w.order.size(w.net.window))
		w.net.mu.Unlock()
	case i < wires+dials:
		w.net.mu.Lock()
		w.net.decide(i - wires)
		w.net.mu.Unlock()
	default:
		ready[i-wires-dials].act()
	}
	return true
}

// stop drains the gateway, and looks whether it leaves anything behind.
func (w *world) stop() {
	grace := patience
	if w.ends {
		grace = w.order.wait(patience)
	}
	w.note("world", "the gateway is stopped, %v", grace)
	done := make(chan int64, 1)
	go func() { done <- w.front.Drain(grace) }()
	for {
		synctest.Wait()
		select {
		case cut := <-done:
			w.note("world", "drained, %d connections cut", cut)
			if cut > 0 && !w.ends && len(w.broken) == 0 {
				w.breaks("world", "%d connections were cut at the end", cut)
			}
			w.close()
			return
		default:
		}
		w.steps++
		if !w.step() {
			time.Sleep(10 * time.Millisecond)
		}
	}
}

func (w *world) close() {
	// What goes on without a client, such as a fetch for the cache, or a copy, ends within the pool's bounds.
	for end := time.Now().Add(patience / 2); time.Now().Before(end); {
		synctest.Wait()
		if !w.step() {
			time.Sleep(time.Second)
		}
	}
	synctest.Wait()
	w.plan.calm = false
	if len(w.broken) == 0 {
		w.rest()
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	closed := make(chan error, 1)
	go func() { closed <- w.live.Close(ctx) }()
	for left := true; left; {
		synctest.Wait()
		select {
		case err := <-closed:
			if err != nil {
				w.breaks("world", "close: %v", err)
			}
			left = false
		default:
			if !w.step() {
				time.Sleep(100 * time.Millisecond)
			}
		}
	}
	w.front.Close()
	for end := time.Now().Add(patience); w.net.open() > 0 && time.Now().Before(end); {
		synctest.Wait()
		if !w.step() {
			time.Sleep(time.Second)
		}
	}
	synctest.Wait()
	if n := w.net.open(); n > 0 {
		w.breaks("world", "%d descriptors are open at the end", n)
	}
}

// report is what is said of a world whose invariants do not hold.
func (w *world) report() string {
	return fmt.Sprintf("%s\n\n%s\n%s", strings.Join(w.broken, "\n"), w.conf, w.trace.text())
}
