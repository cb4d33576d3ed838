package limit

import (
	"cmp"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// twin is the slow twin of a Limiter: one list of those who wait, looked at whole for each question.
type twin struct {
	conf     *Config
	inFlight int
	waiting  []*twinWaiter // in the order in which they came
	shed     int
}

type twinWaiter struct {
	class  Class
	since  int64
	real   *waiter
	ended  bool
	result Verdict
}

var ranks = map[Class]int{ClassCritical: 0, ClassDefault: 1, ClassSheddable: 2}

// arrive returns nil for a request that has its answer at once, in v.
func (t *twin) arrive(now int64, class Class) (w *twinWaiter, v Verdict) {
	if len(t.waiting) == 0 && t.inFlight < t.conf.Limit {
		t.inFlight++
		return nil, Admitted
	}
	rank, room := ranks[class], t.conf.Queue
	if class == ClassSheddable {
		room /= 2
	}
	var victim *twinWaiter // the last of the least important
	for _, o := range t.waiting {
		if ranks[o.class] <= rank && now-o.since > int64(t.conf.QueueTarget) {
			t.shed++
			return nil, Shed
		}
		if ranks[o.class] > rank && (victim == nil || ranks[o.class] >= ranks[victim.class]) {
			victim = o
		}
	}
	if len(t.waiting) >= room {
		if room == 0 || victim == nil {
			t.shed++
			return nil, Shed
		}
		if len(t.waiting) >= t.conf.Queue {
			t.end(victim, Shed)
		}
	}
	w = &twinWaiter{class: class, since: now}
	t.waiting = append(t.waiting, w)
	return w, MayWait
}

func (t *twin) end(w *twinWaiter, v Verdict) {
	t.waiting = slices.DeleteFunc(t.waiting, func(o *twinWaiter) bool { return o == w })
	w.ended, w.result = true, v
	if v != Admitted {
		t.shed++
	}
}

// settle gives free places away.
func (t *twin) settle() {
	for len(t.waiting) > 0 && t.inFlight < t.conf.Limit {
		t.inFlight++
		t.end(slices.MinFunc(t.waiting, func(a, b *twinWaiter) int {
			return cmp.Compare(ranks[a.class], ranks[b.class]) // of equals the first
		}), Admitted)
	}
}

func TestTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := fixed(rapid.IntRange(0, 4).Draw(t, "limit"), rapid.IntRange(0, 6).Draw(t, "queue"))
		l, tw := New(c), &twin{conf: c}
		var all []*twinWaiter
		now := int64(1)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			now += rapid.SampledFrom([]int64{0, 1, 40, 101}).Draw(t, "passed") * ms
			switch rapid.SampledFrom([]string{"arrive", "arrive", "arrive", "release", "leave", "configure"}).
				Draw(t, "step") {
			case "arrive":
				class := Class(rapid.IntRange(0, 2).Draw(t, "class"))
				if w := bothArrive(t, l, tw, now, class); w != nil {
					all = append(all, w)
				}
			case "release":
				if tw.inFlight > 0 {
					tw.inFlight--
					l.Release()
				}
			case "leave":
				if n := len(tw.waiting); n > 0 {
					w := tw.waiting[rapid.IntRange(0, n-1).Draw(t, "who")]
					w.real.done <- l.leave(w.real, TimedOut) // where the comparison below looks for it
					tw.end(w, TimedOut)
				}
			case "configure":
				c = fixed(rapid.IntRange(0, 4).Draw(t, "limit"), rapid.IntRange(0, 6).Draw(t, "queue"))
				tw.conf = c
				l.Configure(c)
			}
			tw.settle()
			all = compare(t, l, tw, all)
		}
	})
}

func bothArrive(t *rapid.T, l *Limiter, tw *twin, now int64, class Class) *twinWaiter {
	w, want := tw.arrive(now, class)
	got := Admitted
	if !l.TryAcquire() {
		got = l.Admit(now, class)
		if got == MayWait {
			if w == nil {
				t.Fatalf("class %d may wait, want verdict %d", class, want)
			}
			w.real = l.enter(now, class, here)
			l.kick()
		}
	}
	if got != want {
		t.Fatalf("class %d: verdict %d, want %d", class, got, want)
	}
	return w
}

// compare fails on what differs, and returns those that still wait.
func compare(t *rapid.T, l *Limiter, tw *twin, all []*twinWaiter) []*twinWaiter {
	if l.InFlight() != tw.inFlight || l.Waiting() != len(tw.waiting) || int(l.Snapshot(0).Shed) != tw.shed {
		t.Fatalf("%d in flight, %d wait, %d shed; want %d, %d, %d", l.InFlight(), l.Waiting(),
			l.Snapshot(0).Shed, tw.inFlight, len(tw.waiting), tw.shed)
	}
	return slices.DeleteFunc(all, func(w *twinWaiter) bool {
		select {
		case v := <-w.real.done:
			if !w.ended || v != w.result {
				t.Fatalf("class %d since %d: verdict %d, want %d (%v)", w.class, w.since, v, w.result, w.ended)
			}
			return true
		default:
			if w.ended {
				t.Fatalf("class %d since %d: waits on, want verdict %d", w.class, w.since, w.result)
			}
			return false
		}
	})
}
