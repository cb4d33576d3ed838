package queue

import (
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// client wants the places whose bits are set.
type client struct {
	wants uint
	gone  atomic.Bool
}

func (c *client) Wants(p uint) bool { return c.wants>>p&1 != 0 }
func (c *client) Gone() bool        { return c.gone.Load() }

// twin is the slow twin of a Queue: a list that is looked at whole for each question.
type twin struct{ list []*twinWaiter }

type twinWaiter struct {
	c      *client
	until  int64
	stays  bool
	real   *Waiter[uint]
	result *Outcome[uint] // nil: it waits
	back   int            // how often it has come back
	self   bool           // it has ended its wait itself, and is told nothing
}

func (t *twin) drop(w *twinWaiter, o Outcome[uint]) {
	w.result = &o
	t.list = slices.DeleteFunc(t.list, func(o *twinWaiter) bool { return o == w })
}

// over drops w if it has gone or is too late.
func (t *twin) over(w *twinWaiter, now int64) bool {
	switch {
	case w.c.Gone():
		t.drop(w, Outcome[uint]{Verdict: Left})
	case now >= w.until:
		t.drop(w, Outcome[uint]{Verdict: TimedOut})
	default:
		return false
	}
	return true
}

func (t *twin) offer(now int64, p uint) bool {
	for _, w := range slices.Clone(t.list) {
		if !t.over(w, now) && w.c.Wants(p) {
			t.drop(w, Outcome[uint]{Served, p})
			return true
		}
	}
	return false
}

func (t *twin) staying() (n int) {
	for _, w := range t.list {
		if w.stays {
			n++
		}
	}
	return n
}

func (t *twin) stay(w *twinWaiter, most int, now int64) bool {
	if w.result != nil || w.stays {
		return true
	}
	if t.staying() >= most {
		for _, o := range slices.Clone(t.list) {
			t.over(o, now)
		}
	}
	switch {
	case w.result != nil:
		return true
	case t.staying() >= most:
		w.self = true
		t.drop(w, Outcome[uint]{Verdict: Full})
		return false
	}
	w.stays = true
	return true
}

// TestTwin: whatever happens in whatever order, the queue decides as its twin does.
func TestTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var q Queue[uint]
		var tw twin
		var all []*twinWaiter
		order := map[*twinWaiter]int{}
		now := int64(0)
		pick := func(of func(*twinWaiter) bool) *twinWaiter {
			list := slices.DeleteFunc(slices.Clone(all), func(w *twinWaiter) bool { return !of(w) })
			if len(list) == 0 {
				t.Skip("there is none")
			}
			return rapid.SampledFrom(list).Draw(t, "waiter")
		}
		waits := func(w *twinWaiter) bool { return w.result == nil }
		t.Repeat(map[string]func(*rapid.T){
			"join": func(t *rapid.T) {
				w := &twinWaiter{c: &client{wants: rapid.UintRange(0, 7).Draw(t, "wants")}, real: new(Waiter[uint])}
				w.until = now + rapid.Int64Range(1, int64(time.Second)).Draw(t, "until")
				q.Join(w.real, w.c, w.until)
				order[w] = len(all)
				all, tw.list = append(all, w), append(tw.list, w)
			},
			"stay": func(t *rapid.T) {
				w, most := pick(waits), rapid.IntRange(0, 4).Draw(t, "most")
				now += int64(sweepEach) // it looks for those that have gone
				if got, want := q.Stay(w.real, most, now), tw.stay(w, most, now); got != want {
					t.Fatalf("stays: %v, want %v", got, want)
				}
			},
			"offer": func(t *rapid.T) {
				p := rapid.UintRange(0, 2).Draw(t, "place")
				if got, want := q.Offer(now, p), tw.offer(now, p); got != want {
					t.Fatalf("taken: %v, want %v", got, want)
				}
			},
			"leave": func(t *rapid.T) {
				w := pick(waits)
				if o := q.Leave(w.real, Left); o.Verdict != Left {
					t.Fatalf("left with %v", o)
				}
				w.self = true
				tw.drop(w, Outcome[uint]{Verdict: Left})
			},
			"go":   func(*rapid.T) { pick(waits).c.gone.Store(true) },
			"time": func(t *rapid.T) { now += rapid.Int64Range(0, int64(300*time.Millisecond)).Draw(t, "passes") },
			"back": func(*rapid.T) {
				w := pick(func(w *twinWaiter) bool { return w.result != nil && w.result.Verdict == Served && w.back < 3 })
				<-w.real.Ended()
				w.result, w.back = nil, w.back+1
				q.Back(w.real)
				tw.list = append(tw.list, w)
				slices.SortFunc(tw.list, func(a, b *twinWaiter) int { return order[a] - order[b] })
			},
			"dismiss": func(t *rapid.T) {
				if rapid.IntRange(0, 9).Draw(t, "chance") == 0 {
					q.Dismiss(Hopeless)
					for _, w := range slices.Clone(tw.list) {
						tw.drop(w, Outcome[uint]{Verdict: Hopeless})
					}
				}
			},
			"": func(t *rapid.T) { tw.compare(t, &q, all) },
		})
	})
}

// compare looks at what can be seen of the queue.
func (t *twin) compare(f *rapid.T, q *Queue[uint], all []*twinWaiter) {
	if q.Len() != len(t.list) || q.staying != t.staying() {
		f.Fatalf("%d wait and %d stay, want %d and %d", q.Len(), q.staying, len(t.list), t.staying())
	}
	w := q.first
	for _, want := range t.list {
		if w != want.real {
			f.Fatal("they stand in another order")
		}
		w = w.next
	}
	if w != nil || (q.first == nil) != (q.last == nil) || q.last != nil && q.last.next != nil {
		f.Fatal("the list is broken")
	}
	for p := range uint(3) {
		n := 0
		for _, w := range t.list {
			if w.c.Wants(p) {
				n++
			}
		}
		if got := q.Count(p); got != n {
			f.Fatalf("%d want %d, counted %d", n, p, got)
		}
	}
	for _, w := range all {
		told := w.result != nil && !w.self
		if n := len(w.real.ended); told != (n == 1) {
			f.Fatalf("%v has been told %d times", w.result, n)
		}
		if told {
			o := <-w.real.ended
			w.real.ended <- o
			if o != *w.result {
				f.Fatalf("it ended with %v, want %v", o, *w.result)
			}
		}
	}
}

// TestEndedMeanwhile: a client served at the moment it leaves or is to be sent away has the place.
func TestEndedMeanwhile(t *testing.T) {
	var q Queue[uint]
	var w Waiter[uint]
	q.Join(&w, &client{wants: 1}, 10)
	if !q.Offer(0, 0) || !q.Stay(&w, 0, 0) {
		t.Fatal("it was to be served")
	}
	if o := q.Leave(&w, TimedOut); o.Verdict != Served {
		t.Fatalf("it left with %v", o.Verdict)
	}
	q.Join(&w, &client{wants: 1}, 10) // again
	if q.Stay(&w, 0, 0) || q.Len() != 0 || q.Offer(0, 0) {
		t.Fatal("nobody may wait")
	}
}

// TestStorm: places that come and go are taken by many goroutines, some of which leave. Nobody is left waiting
// while a place he wants is free: his wake-up was not lost.
func TestStorm(t *testing.T) {
	const places, clients = 3, 30
	var q Queue[uint]
	var free [places]atomic.Bool // a place that lies about
	var holders [places]atomic.Int32
	look := func() {
		for p := range uint(places) {
			for q.Len() > 0 {
				joins := q.Joins()
				if !free[p].CompareAndSwap(true, false) {
					break
				}
				if q.Offer(0, p) {
					continue
				}
				free[p].Store(true)
				if q.Joins() == joins {
					break
				}
			}
		}
	}
	for p := range free {
		free[p].Store(true)
	}
	var served, left atomic.Int64
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			var w Waiter[uint]
			for range 300 {
				c := &client{wants: 1 + rand.UintN(7)}
				if rand.IntN(4) == 0 {
					c.gone.Store(true)
				}
				q.Join(&w, c, 1)
				look()
				if !q.Stay(&w, clients, 0) {
					t.Error("there is room for all")
					return
				}
				var o Outcome[uint]
				if c.Gone() {
					o = q.Leave(&w, Left)
				} else {
					o = <-w.Ended()
				}
				if o.Verdict == Left {
					left.Add(1)
					continue
				}
				p := o.Place
				if o.Verdict != Served || !c.Wants(p) || holders[p].Add(1) != 1 {
					t.Errorf("%v: %d is wanted of %b and has %d holders", o.Verdict, p, c.wants, holders[p].Load())
				}
				runtime.Gosched()
				served.Add(1)
				holders[p].Add(-1)
				if !q.Offer(0, p) {
					free[p].Store(true)
					look()
				}
			}
		})
	}
	wg.Wait()
	if q.Len() != 0 || served.Load()+left.Load() != clients*300 || left.Load() == 0 {
		t.Errorf("%d wait still, %d were served, %d left", q.Len(), served.Load(), left.Load())
	}
}
