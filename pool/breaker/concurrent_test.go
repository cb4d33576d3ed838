package breaker

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Of many callers that come at once when the time is over, exactly as many as there may be probes are let in,
// whatever the round before left behind: some succeed, some are called off, and some never come back.
func TestProbesAtOnce(t *testing.T) {
	c := plain()
	c.ErrorPercent, c.ConsecutiveErrors, c.Recovery, c.Probes = 0, 1, 0, 3
	c.MaxOpenFor = c.OpenFor
	b := New(c, nil)
	now := second
	atOnce := func() (in []Permit) {
		var mu sync.Mutex
		var wg sync.WaitGroup
		start := make(chan struct{})
		for range 16 {
			wg.Go(func() {
				<-start
				if p := b.Admit(now); p != Refused {
					mu.Lock()
					in = append(in, p)
					mu.Unlock()
				}
			})
		}
		close(start)
		wg.Wait()
		return in
	}
	var old []Permit
	for round := range 200 {
		b.Done(now, b.Admit(now), true, 0)
		if b.State() != Open {
			t.Fatalf("round %d: %v", round, b.State())
		}
		now += int64(c.OpenFor)
		in := atOnce()
		if len(in) != c.Probes {
			t.Fatalf("round %d: %d probes", round, len(in))
		}
		b.Cancel(in[0])
		if in[0] = b.Admit(now); in[0] == Refused || b.Admit(now) != Refused {
			t.Fatalf("round %d: a probe that was called off has one place", round)
		}
		now += int64(c.OpenFor) // they are lost
		for _, p := range old {
			b.Cancel(p)
		}
		old = in
		if in = atOnce(); len(in) != c.Probes {
			t.Fatalf("round %d: %d probes after others were lost", round, len(in))
		}
		b.Cancel(old[0]) // it comes back after all: its place is taken
		if b.Admit(now) != Refused {
			t.Fatalf("round %d: a lost probe made room", round)
		}
		for _, p := range in {
			b.Done(now, p, false, 0)
		}
		if b.State() != Closed {
			t.Fatalf("round %d: %v", round, b.State())
		}
	}
}

// path reports whether changes, each "FROM TO", can follow each other from closed on.
func path(changes []string) error {
	may := map[string]string{"closed": "open", "open": "half_open", "half_open": "open recovering closed",
		"recovering": "open closed"}
	state := "closed"
	for i, c := range changes {
		from, to, _ := strings.Cut(c, " ")
		if from != state || !strings.Contains(" "+may[from]+" ", " "+to+" ") {
			return fmt.Errorf("change %d is %q in the state %s", i, c, state)
		}
		state = to
	}
	return nil
}

// Many callers at once: never more probes than allowed are under way, and the changes make a path.
func TestConcurrent(t *testing.T) {
	c := plain()
	c.Probes, c.OpenFor, c.MaxOpenFor = 3, time.Hour, time.Hour // none is given up
	var changes []string
	b := New(c, func(from, to State, _ string) { changes = append(changes, fmt.Sprint(from, " ", to)) })
	var clock, underWay, most atomic.Int64
	clock.Store(second)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := range 20_000 {
				now := clock.Add(int64(20 * time.Millisecond))
				if n%400 == 399 {
					b.Trial(now)
				}
				p := b.Admit(now)
				if p == Refused {
					continue
				}
				if p&permitProbe != 0 {
					k := underWay.Add(1)
					for was := most.Load(); k > was && !most.CompareAndSwap(was, k); was = most.Load() {
					}
					underWay.Add(-1) // before it is given back: that may let the next one in
				}
				if n%7 == 0 {
					b.Cancel(p)
				} else {
					b.Done(now, p, (n+i)/1000%2 == 0, 0)
				}
			}
		})
	}
	wg.Wait()
	if most.Load() > int64(c.Probes) {
		t.Errorf("%d probes at once", most.Load())
	}
	if err := path(changes); err != nil {
		t.Error(err)
	}
	for _, change := range []string{"half_open open", "half_open recovering", "recovering closed"} {
		if !slices.Contains(changes, change) {
			t.Fatalf("none of %d changes is %q", len(changes), change)
		}
	}
	if _, to, _ := strings.Cut(changes[len(changes)-1], " "); to != b.State().String() {
		t.Errorf("the last change was to %v, the state is %v", to, b.State())
	}
}
