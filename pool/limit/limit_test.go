package limit

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func fixed(limit, queue int) *Config {
	return &Config{Limit: limit, Queue: queue, QueueTimeout: time.Second, QueueTarget: 100 * time.Millisecond}
}

func here() bool { return false }

const ms = int64(time.Millisecond)

// play takes one letter a step and returns what became of each request: + admitted at once, w waits, - shed.
// d, c and s are a request of a class that comes; r gives a place back; a number lets as many milliseconds
// pass. What becomes of those who wait is told in order: of request 2, counted from 0, "2+" or "2-".
func play(l *Limiter, script string) string {
	var out []string
	now, n := int64(0), 0
	waiting := map[int]*waiter{}
	for _, step := range strings.Fields(script) {
		var t int64
		switch class, isClass := map[string]Class{"d": 0, "c": 1, "s": 2}[step]; {
		case isClass:
			out = append(out, arrive(l, now, class, n, waiting))
			n++
		case step == "r":
			l.Release()
		default:
			_, _ = fmt.Sscan(step, &t) // a script that is wrong lets no time pass
			now += t * ms
		}
		for i := range n {
			if w := waiting[i]; w != nil && len(w.done) > 0 {
				out = append(out, fmt.Sprint(i)+map[Verdict]string{Admitted: "+", Shed: "-"}[<-w.done])
				delete(waiting, i)
			}
		}
	}
	return strings.Join(out, " ")
}

func arrive(l *Limiter, now int64, class Class, i int, waiting map[int]*waiter) string {
	if l.TryAcquire() {
		return "+"
	}
	want := l.Admit(now, class)
	w := l.enter(now, class, here)
	if (w == nil) != (want == Shed) {
		return fmt.Sprint("Admit said ", want)
	}
	if w == nil {
		return "-"
	}
	l.kick()
	waiting[i] = w
	return "w"
}

func TestQueue(t *testing.T) {
	f := func(limit, queue int, script, want string) {
		t.Helper()
		if got := play(New(fixed(limit, queue)), script); got != want {
			t.Errorf("%d places, %d may wait, %q:\ngot  %s\nwant %s", limit, queue, script, got, want)
		}
	}
	f(2, 0, "d d d r d", "+ + - +")
	f(1, 2, "d d d d", "+ w w -")
	f(1, 3, "d d d d r r r", "+ w w w 1+ 2+ 3+") // the first come are the first served
	f(1, 9, "d d 100 d r r", "+ w w 1+ 2+")      // not yet too old
	f(1, 9, "d d 101 d r d", "+ w - 1+ w")       // old: the newest are refused
	f(1, 9, "d d 101 c", "+ w w")                // a less important one that is old keeps nobody out
	f(1, 9, "d c 101 d", "+ w -")                // a more important one does
	f(1, 9, "d c 101 c s", "+ w - -")            //
	f(1, 9, "d s 101 d s", "+ w w -")            //
	f(1, 9, "d s d c r r r", "+ w w w 3+ 2+ 1+") // important ones first
	f(1, 9, "d c d c r r r", "+ w w w 1+ 3+ 2+") //
	f(1, 4, "d s s s", "+ w w -")                // sheddable ones have half of the queue
	f(1, 4, "d d d s", "+ w w -")                // whoever has it
	f(1, 1, "d s", "+ -")                        //
	f(1, 3, "d s d d d", "+ w w w w 1-")         // the least important goes first
	f(1, 4, "d s s d d d", "+ w w w w w 2-")     // of these the newest
	f(1, 4, "d s s d d d d d", "+ w w w w w 2- w 1- -")
	f(1, 3, "d d d s c c c c", "+ w w - w w 2- w 1- -")
	f(1, 3, "d s d d c c c", "+ w w w w 1- w 3- w 2-")
	f(1, 0, "d c", "+ -")
	f(1, 2, "d d d d r r r d", "+ w w - 1+ 2+ +")
}

func TestValidVerdictsOfLeave(t *testing.T) {
	l := New(fixed(1, 5))
	l.TryAcquire()
	first, second := l.enter(0, ClassDefault, here), l.enter(0, ClassDefault, here)
	l.Release() // gives the place to the first
	if v := l.leave(first, Gone); v != Admitted {
		t.Fatalf("who has a place already leaves as %d", v)
	}
	if v := l.leave(second, TimedOut); v != TimedOut || l.Waiting() != 0 {
		t.Fatalf("got %d, %d wait", v, l.Waiting())
	}
	if s := l.Snapshot(0); s.Shed != 1 || s.InFlight != 1 || s.Limit != 1 {
		t.Fatalf("%+v", s)
	}
}

func TestWait(t *testing.T) {
	f := func(limit int, until time.Duration, gone func(asked int) bool, freed time.Duration, want Verdict,
		after time.Duration) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			l, began := New(fixed(limit, 5)), time.Now()
			var asked atomic.Int64 // a goroutine that frees a place looks too whether the waiter is there
			l.TryAcquire()
			if freed > 0 {
				time.AfterFunc(freed, l.Release)
			}
			got := l.Wait(7, ClassDefault, 7+int64(until), func() bool { return gone(int(asked.Add(1))) })
			if took := time.Since(began); got != want || took != after {
				t.Errorf("verdict %d after %v, want %d after %v", got, took, want, after)
			}
			if l.Waiting() != 0 {
				t.Errorf("%d wait", l.Waiting())
			}
			synctest.Wait()
		})
	}
	stays := func(int) bool { return false }
	f(2, time.Second, stays, 0, Admitted, 0) // a place had become free meanwhile
	f(1, time.Second, stays, 0, TimedOut, time.Second)
	f(1, 50*time.Millisecond, stays, 0, TimedOut, 50*time.Millisecond)
	f(1, 250*time.Millisecond, stays, 0, TimedOut, 250*time.Millisecond)
	f(1, 0, stays, 0, TimedOut, 0)
	f(1, -time.Second, stays, 0, TimedOut, 0)
	f(1, time.Second, stays, 730*time.Millisecond, Admitted, 730*time.Millisecond)
	f(1, time.Second, func(n int) bool { return n == 3 }, 0, Gone, 300*time.Millisecond)
	f(1, time.Second, func(n int) bool { return n == 4 }, 290*time.Millisecond, Admitted, 290*time.Millisecond)
	f(1, time.Second, func(n int) bool { return n == 3 }, 290*time.Millisecond, Gone, 290*time.Millisecond)
	f(0, time.Second, stays, 0, TimedOut, time.Second)
	if v := New(fixed(0, 0)).Wait(0, ClassCritical, ms, here); v != Shed {
		t.Errorf("no queue: %d", v)
	}
}

// TestGoneMakeRoom: a client that has gone gets no place, and none is refused on its account.
func TestGoneMakeRoom(t *testing.T) {
	gone := false
	left := func() bool { return gone }
	l := New(fixed(1, 2))
	l.TryAcquire()
	first, second := l.enter(0, ClassDefault, left), l.enter(0, ClassDefault, left)
	if l.Admit(10*ms, ClassDefault) != Shed {
		t.Fatal("the queue is full")
	}
	gone = true
	third := l.enter(20*ms, ClassDefault, here)
	if third == nil || <-first.done != Gone || <-second.done != Gone {
		t.Fatal("those who have gone keep their room")
	}
	fourth := l.enter(20*ms, ClassCritical, left)
	l.Release()
	if <-fourth.done != Gone || <-third.done != Admitted {
		t.Fatal("who has gone gets a place")
	}
	if s := l.Snapshot(20 * ms); s.Left != 3 || s.Shed != 4 || s.InFlight != 1 || s.Waiting != 0 {
		t.Errorf("%+v", s)
	}
}

func TestWaitInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(fixed(1, 100))
		l.TryAcquire()
		var order []int
		var mu sync.Mutex // guards order
		for i := range 20 {
			go func() {
				if l.Wait(int64(i), ClassDefault, int64(time.Minute), here) == Admitted {
					mu.Lock()
					order = append(order, i)
					mu.Unlock()
					l.Release()
				}
			}()
			synctest.Wait()
		}
		l.Release()
		synctest.Wait()
		if !slices.IsSorted(order) || len(order) != 20 || l.InFlight() != 0 {
			t.Fatalf("order %v, %d in flight", order, l.InFlight())
		}
	})
}

// Whatever happens at once, no more than limit are in flight, no more than queue wait, and nobody is
// forgotten: each of those who wait for long gets a place. Where some give up soon, all places come back.
func TestNoLostWakeups(t *testing.T) {
	f := func(workers, rounds int, reconfigure, leave bool) {
		t.Helper()
		const most, queue = 4, 64
		c := fixed(most, queue)
		c.QueueTarget = time.Hour
		l := New(c)
		var running, admitted, shed atomic.Int64
		stop := make(chan struct{})
		var wg, aside sync.WaitGroup
		aside.Go(func() { watch(t, l, c, stop, reconfigure, queue) })
		for g := range workers {
			wg.Go(func() {
				rng := rand.New(rand.NewPCG(uint64(g), 1))
				for range rounds {
					until := int64(30 * time.Second)
					if leave {
						until = rng.Int64N(int64(100 * time.Microsecond))
					}
					switch v := place(l, rng, until); {
					case v == Admitted:
						admitted.Add(1)
						if n := running.Add(1); n > most {
							t.Errorf("%d at once", n)
						}
						for range rng.IntN(3) {
							runtime.Gosched()
						}
						running.Add(-1)
						l.Release()
					case v == Shed || leave:
						shed.Add(1)
					default:
						t.Errorf("verdict %d: somebody was forgotten", v)
						return
					}
				}
			})
		}
		wg.Wait()
		close(stop)
		aside.Wait()
		if l.InFlight() != 0 || l.Waiting() != 0 || admitted.Load()+shed.Load() != int64(workers*rounds) {
			t.Fatalf("%d in flight, %d wait, %d admitted, %d shed", l.InFlight(), l.Waiting(), admitted.Load(),
				shed.Load())
		}
		if workers <= queue/2 && !leave && shed.Load() > 0 {
			t.Fatalf("%d shed though all may wait", shed.Load())
		}
	}
	f(16, 3000, false, false)
	f(16, 3000, true, false)
	f(200, 200, true, false)
	f(16, 1000, false, true)
	f(200, 100, true, true)
}

func place(l *Limiter, rng *rand.Rand, until int64) Verdict {
	if l.TryAcquire() {
		return Admitted
	}
	return l.Wait(0, Class(rng.IntN(int(classes))), until, here)
}

// watch looks on, and changes the limit where told to.
func watch(t *testing.T, l *Limiter, c *Config, stop <-chan struct{}, reconfigure bool, queue int) {
	for n := 0; ; n++ {
		select {
		case <-stop:
			return
		default:
		}
		if w := l.Waiting(); w > queue {
			t.Errorf("%d wait", w)
		}
		if reconfigure {
			other := *c
			other.Limit = n % (c.Limit + 1)
			l.Configure(&other)
			l.Configure(c)
		}
		runtime.Gosched()
	}
}

func TestConfigure(t *testing.T) {
	wide := &Config{Adaptive: true, Min: 2, Max: 100}
	f := func(from, to *Config, at int, want int) {
		t.Helper()
		l := New(from)
		if at > 0 {
			l.limit.Store(int64(at))
		}
		l.Configure(to)
		if got := l.Limit(); got != want {
			t.Errorf("%+v to %+v: limit %d, want %d", from, to, got, want)
		}
	}
	f(fixed(0, 0), fixed(5, 0), 0, 5)
	f(fixed(5, 0), fixed(3, 0), 0, 3)
	f(fixed(5, 0), wide, 0, 32)
	f(fixed(5, 0), &Config{Adaptive: true, Min: 50, Max: 100}, 0, 50)
	f(fixed(5, 0), &Config{Adaptive: true, Min: 1, Max: 10}, 0, 10)
	f(fixed(5, 0), &Config{Adaptive: true, Limit: 20, Min: 1, Max: 100}, 0, 20)
	f(wide, wide, 77, 77)
	f(wide, &Config{Adaptive: true, Min: 2, Max: 50}, 77, 50)
	f(wide, &Config{Adaptive: true, Min: 90, Max: 100}, 77, 90)
	f(wide, fixed(5, 0), 77, 5)
}

// More places go at once to those who wait.
func TestConfigureWakes(t *testing.T) {
	l := New(fixed(1, 5))
	l.TryAcquire()
	first, second := l.enter(0, ClassDefault, here), l.enter(0, ClassDefault, here)
	l.Configure(fixed(2, 0))
	if len(first.done) != 1 || len(second.done) != 0 || l.InFlight() != 2 || l.Waiting() != 1 {
		t.Fatalf("%d in flight, %d wait", l.InFlight(), l.Waiting())
	}
	if l.Admit(0, ClassCritical) != Shed {
		t.Fatal("there is no queue any more")
	}
	l.Release()
	l.Release()
	if len(second.done) != 1 || l.InFlight() != 1 {
		t.Fatalf("who waited before was forgotten: %d in flight", l.InFlight())
	}
}

// A limit that falls below what is in flight gives no place until enough have come back.
func TestLimitFalls(t *testing.T) {
	l := New(fixed(3, 5))
	for range 3 {
		l.TryAcquire()
	}
	w := l.enter(0, ClassDefault, here)
	l.Configure(fixed(1, 5))
	l.Release()
	l.Release()
	if len(w.done) != 0 || l.InFlight() != 1 {
		t.Fatal("a place beyond the limit")
	}
	l.Release()
	if len(w.done) != 1 || l.InFlight() != 1 {
		t.Fatal("who waits was forgotten")
	}
}

// Nobody overtakes those who wait, not even between a place's coming back and its being given to them.
func TestNobodyOvertakes(t *testing.T) {
	l := New(fixed(1, 5))
	l.TryAcquire()
	l.enter(0, ClassDefault, here)
	l.inFlight.Add(-1) // the first half of Release
	if l.TryAcquire() {
		t.Fatal("a newcomer got the place")
	}
}

func TestSnapshot(t *testing.T) {
	l := New(fixed(1, 5))
	l.TryAcquire()
	l.enter(3*ms, ClassDefault, here)
	l.enter(5*ms, ClassCritical, here)
	got := l.Snapshot(10 * ms)
	want := Snapshot{Limit: 1, InFlight: 1, Waiting: 2, OldestWait: 0.007}
	if got != want {
		t.Fatalf("got %+v, want %+v", got, want)
	}
}
