package lookup

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/penstock-edge/penstock/cache/flight"
	"github.com/penstock-edge/penstock/cache/outcome"
	"github.com/penstock-edge/penstock/edge"
)

// crew is an origin whose target holds each request, and each body, until it is let go on. Its clock is that of a
// synctest bubble.
type crew struct {
	*origin
	heads chan func(x *edge.Exchange) *edge.Fault // what the target answers next
	wg    sync.WaitGroup
}

func newCrew(t *testing.T, keys string) *crew {
	w := &crew{origin: newOrigin(t, keys), heads: make(chan func(x *edge.Exchange) *edge.Fault)}
	w.c.Tick = func() int64 { return time.Now().UnixNano() }
	w.says = func(x *edge.Exchange) *edge.Fault { return (<-w.heads)(x) }
	return w
}

// request returns a request that begins now, by the clock of the bubble.
func (w *crew) request(target string, fields ...string) *edge.Exchange {
	x := w.origin.request(target, fields...)
	x.Times.Head = time.Now().UnixNano()
	return x
}

// guest is a client that may leave.
type guest struct {
	left atomic.Bool
	got
}

func (g *guest) Gone() bool { return g.left.Load() }
func (*guest) Abort()       {}

// send sends a request that goes on by itself.
func (w *crew) send(target string, fields ...string) *guest {
	g := &guest{}
	x := w.request(target, fields...)
	x.Conn = g
	w.wg.Go(func() { g.got = w.finish(w.begin(x)) })
	synctest.Wait()
	return g
}

// sendMany sends so many of the same.
func (w *crew) sendMany(n int, target string, fields ...string) (all []*guest) {
	for range n {
		all = append(all, w.send(target, fields...))
	}
	return all
}

// text is an answer with a body in memory.
func text(body string, lines ...string) func(*edge.Exchange) *edge.Fault {
	return func(x *edge.Exchange) *edge.Fault {
		answer(x, 200, body, lines...)
		return nil
	}
}

// drip is a body whose pieces come one by one through a channel; it ends with end when that is closed.
type drip struct {
	edge.Opaque
	pieces chan string
	end    error
	closed atomic.Int32
}

// Read implements edge.Body.
func (b *drip) Read(p []byte) (int, error) {
	s, ok := <-b.pieces
	if !ok {
		return 0, b.end
	}
	return copy(p, s), nil
}

// Ready implements edge.Body.
func (*drip) Ready() bool { return false }

// Close implements edge.Body.
func (b *drip) Close() error {
	b.closed.Add(1)
	return nil
}

// stream is an answer whose body drips.
func stream(b *drip, length int64, lines ...string) func(*edge.Exchange) *edge.Fault {
	return func(x *edge.Exchange) *edge.Fault {
		answer(x, 200, "", append(lines, "Cache-Control: max-age=60")...)
		x.Out, x.OutLen = b, length
		return nil
	}
}

func inBubble(t *testing.T, f func(t *testing.T)) { t.Helper(); synctest.Test(t, f) }

// TestLeaders: whoever leads a fetch may leave at any time: the others get all of the answer, and it is stored.
func TestLeaders(t *testing.T) {
	for _, when := range []string{"before the head", "within the body", "at the end"} {
		inBubble(t, func(t *testing.T) {
			w := newCrew(t, "")
			lead := &guest{}
			x := w.request("/a")
			x.Conn = lead
			goOn, left := make(chan bool), make(chan bool)
			w.wg.Go(func() {
				w.begin(x)
				if <-goOn {
					_, _ = x.Out.Read(make([]byte, 2)) // a part of what is there
				}
				_ = x.Out.Close() // the client has left
				(&done{cache: w.c, route: uncounted}).Run(x)
				close(left)
			})
			synctest.Wait()
			others := w.sendMany(3, "/a")
			if lead.left.Store(when == "before the head"); when == "before the head" {
				time.Sleep(time.Second) // of the bubble
			}
			b := &drip{pieces: make(chan string), end: io.EOF}
			w.heads <- stream(b, 6)
			synctest.Wait()
			if when == "before the head" {
				goOn <- false
			}
			b.pieces <- "one"
			synctest.Wait()
			if when == "within the body" {
				goOn <- true
			}
			b.pieces <- "two"
			close(b.pieces)
			synctest.Wait()
			if when == "at the end" {
				goOn <- false
			}
			<-left
			w.wg.Wait()
			for _, g := range append(others, w.send("/a")) {
				if w.wg.Wait(); g.status != 200 || g.body != "onetwo" || g.err != nil {
					t.Errorf("the leader left %s: %d %q %v", when, g.status, g.body, g.err)
				}
			}
			if n := w.count(); n != 1 || len(w.c.Flights.By) != 0 || w.c.Bodies.Fetching.Load()+w.c.Bodies.Finished.Load() != 0 {
				t.Errorf("the leader left %s: %d fetches, %d under way, %d bytes are held", when, n, len(w.c.Flights.By), w.c.Bodies.Fetching.Load())
			}
		})
	}
}

// TestCut: a body that breaks off is a whole one for nobody: neither for the one who led the fetch, nor for those that
// followed at once or while it came; nothing of it is stored, and the next request asks again.
func TestCut(t *testing.T) {
	for _, end := range []error{errBroken, edge.UpstreamTruncated, io.ErrUnexpectedEOF} {
		for _, length := range []int64{-1, 9} {
			for pieces := range 3 {
				inBubble(t, func(t *testing.T) {
					w := newCrew(t, "")
					all := w.sendMany(4, "/a")
					part := w.send("/a", "Range: bytes=1-8")
					b := &drip{pieces: make(chan string), end: end}
					w.heads <- stream(b, length)
					want := ""
					for i := range pieces {
						synctest.Wait()
						all = append(all, w.send("/a"))
						b.pieces <- fmt.Sprint("no ", i)
						want += fmt.Sprint("no ", i)
					}
					close(b.pieces)
					w.wg.Wait()
					for i, g := range all {
						if g.err == nil || g.body != want {
							t.Errorf("%v after %d pieces, length %d: client %d has %q, %v", end, pieces, length, i, g.body, g.err)
						}
					}
					if part.err == nil {
						t.Errorf("%v after %d pieces, length %d: a part is whole: %q", end, pieces, length, part.body)
					}
					again := w.send("/a")
					w.heads <- text("all of it", "Cache-Control: max-age=60")
					w.wg.Wait()
					if again.body != "all of it" || again.err != nil || w.count() != 2 || b.closed.Load() == 0 {
						t.Errorf("%v: then %q %v, %d fetches, the body was closed %d times", end, again.body, again.err, w.count(), b.closed.Load())
					}
					if n := w.c.Bodies.Fetching.Load(); n != 0 {
						t.Errorf("%d bytes are held", n)
					}
				})
			}
		}
	}
}

// TestFollowersLeave: those that wait and leave are let go, without a request of their own, and are nobody's loss.
func TestFollowersLeave(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newCrew(t, "")
		all := w.sendMany(10, "/a")
		for i, g := range all {
			g.left.Store(i%2 == 1)
		}
		time.Sleep(time.Second) // of the bubble: those that wait look whether their client is there
		synctest.Wait()
		for i, g := range all {
			if left := i%2 == 1; left != (g.x != nil) || left && g.x.Fault != edge.ClientGone {
				t.Errorf("client %d: %+v", i, g.got)
			}
		}
		w.heads <- text("for those that stay", "Cache-Control: max-age=60")
		w.wg.Wait()
		for i, g := range all {
			if i%2 == 0 && g.body != "for those that stay" {
				t.Errorf("client %d: %d %q", i, g.status, g.body)
			}
		}
		if w.count() != 1 {
			t.Errorf("%d fetches", w.count())
		}
	})
}

// TestLateHead: whoever has waited for wait_timeout asks alone; the head that comes after that is for those that came
// later, and what is stored is what was asked for last.
func TestLateHead(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newCrew(t, `wait_timeout = "2s"`)
		lead, early := w.send("/a"), w.send("/a")
		time.Sleep(1500 * time.Millisecond) // of the bubble
		late := w.send("/a")
		time.Sleep(time.Second)
		synctest.Wait()
		if n := w.count(); n != 2 {
			t.Fatalf("%d requests at the target", n)
		}
		for range 2 { // the target lets go of either first
			w.heads <- func(x *edge.Exchange) *edge.Fault {
				answer(x, 200, "late", "Cache-Control: max-age=60")
				return nil
			}
		}
		w.wg.Wait()
		for i, g := range []*guest{lead, early, late} {
			if g.body != "late" || strings.Contains(g.as, "waited") != (i == 1) {
				t.Errorf("client %d: %q %s", i, g.body, g.as)
			}
		}
		if g := w.send("/a"); !g.hits() {
			t.Error(g.as)
		}
	})
}

// TestDeadlineOfFollower: whoever follows waits no longer than his own time allows. A bubble has no such time.
func TestDeadlineOfFollower(t *testing.T) {
	o := newOrigin(t, `wait_timeout = "10m"`)
	held := make(chan struct{})
	o.says = func(x *edge.Exchange) *edge.Fault {
		<-held
		answer(x, 200, "a", "Cache-Control: max-age=60")
		return nil
	}
	var wg sync.WaitGroup
	var all [2]got
	for i, deadline := range []int64{0, 1} { // none, and one long past
		x := o.request("/a")
		x.Deadline = deadline
		wg.Go(func() { all[i] = o.finish(o.begin(x)) })
		for o.count() <= i {
			runtime.Gosched()
		}
	}
	close(held)
	wg.Wait()
	if all[0].body != "a" || all[1].body != "a" || !strings.Contains(all[1].as, "waited") {
		t.Error(all)
	}
}

// TestFailedFetch: when the target fails all that wait are told so, and each of them gets what is stored where that may
// be used then.
func TestFailedFetch(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newCrew(t, "")
		all := w.sendMany(5, "/a")
		w.heads <- func(*edge.Exchange) *edge.Fault { return edge.UpstreamReset }
		w.wg.Wait()
		for _, g := range all {
			if g.status != 502 || g.body != "" {
				t.Errorf("%d %q", g.status, g.body)
			}
		}
		first := w.send("/a")
		w.heads <- text("old", "Cache-Control: max-age=1, stale-if-error=60")
		w.wg.Wait()
		if first.body != "old" {
			t.Fatal(first.got)
		}
		time.Sleep(2 * time.Second) // of the bubble
		all = w.sendMany(5, "/a")
		strict := w.send("/a", "Cache-Control: no-cache")
		for range 2 {
			w.heads <- func(*edge.Exchange) *edge.Fault { return edge.UpstreamTimeout }
			synctest.Wait()
		}
		w.wg.Wait()
		for i, g := range append(all, strict) {
			if g.status != 200 || g.body != "old" || !strings.Contains(g.as, "stale-if-error") {
				t.Errorf("client %d: %d %q %s", i, g.status, g.body, g.as)
			}
		}
	})
}

// TestPanicInFetch: a target that panics is a fault for all that wait, and the next one asks again.
func TestPanicInFetch(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newCrew(t, "")
		var faults atomic.Int32
		serve := func() {
			x := w.request("/a")
			var f *edge.Fault
			func() {
				defer edge.Contain(&f)
				w.finish(w.begin(x))
			}()
			if f != nil || x.Fault != nil {
				faults.Add(1)
			}
		}
		for range 3 {
			w.wg.Go(serve)
			synctest.Wait()
		}
		w.heads <- func(*edge.Exchange) *edge.Fault { panic("a test") }
		w.wg.Wait()
		if faults.Load() != 3 || len(w.c.Flights.By) != 0 {
			t.Errorf("%d of 3 have failed, %d fetches under way", faults.Load(), len(w.c.Flights.By))
		}
		again := w.send("/a")
		w.heads <- text("well", "Cache-Control: max-age=60")
		if w.wg.Wait(); again.body != "well" {
			t.Error(again.got)
		}
	})
}

// TestTooLargeForMany: a body that is more than is stored comes whole to all that were there in time, is stored for
// nobody, and nobody waits for the next one.
func TestTooLargeForMany(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newCrew(t, `max_object = "1KiB"`)
		all := w.sendMany(3, "/a")
		b := &drip{pieces: make(chan string), end: io.EOF}
		w.heads <- stream(b, -1)
		synctest.Wait()
		want := ""
		for i := range 10 {
			piece := strings.Repeat(fmt.Sprint(i), 400)
			want += piece
			b.pieces <- piece
		}
		close(b.pieces)
		w.wg.Wait()
		for i, g := range all {
			if g.body != want || g.err != nil {
				t.Errorf("client %d: %d bytes of %d, %v", i, len(g.body), len(want), g.err)
			}
		}
		two := w.sendMany(2, "/a")
		if n := w.count(); n != 3 {
			t.Errorf("%d requests at the target, want those of both", n)
		}
		for range two {
			w.heads <- text("small", "Cache-Control: max-age=60")
		}
		if w.wg.Wait(); !strings.Contains(two[1].as, "detail=known") {
			t.Error(two[1].as)
		}
	})
}

// TestSearchAgainTogether: those that have joined a fetch which brings nothing, since an answer was stored meanwhile,
// look again. Where that is for other values of the fields in Vary, one of them fetches for all.
func TestSearchAgainTogether(t *testing.T) {
	for _, fits := range []bool{false, true} {
		inBubble(t, func(t *testing.T) {
			w := newCrew(t, "")
			vary := []string{"Cache-Control: max-age=60", "Vary: X-Lang"}
			var xs []*edge.Exchange
			for range 6 {
				x := w.request("/a", "X-Lang: b")
				if x.MayWait = false; w.l.Run(x) != edge.Wait {
					t.Fatal("no miss")
				}
				x.MayWait = true
				xs = append(xs, x)
			}
			lang := "X-Lang: a"
			if fits {
				lang = "X-Lang: b"
			}
			first := w.send("/a", lang)
			w.heads <- text("first", vary...)
			w.wg.Wait()
			lead := xs[0].Slot[0].(*record)
			f, is := w.c.Flights.Join(lead.Key, 1<<20, &w.c.Bodies)
			if !is || first.body != "first" {
				t.Fatal("there is a fetch already")
			}
			bodies := make([]got, len(xs))
			for i, x := range xs[1:] {
				w.wg.Go(func() {
					w.c.fetchFor(x, x.Slot[0].(*record))
					bodies[i+1] = w.finish(x)
				})
			}
			synctest.Wait()
			w.wg.Go(func() {
				w.c.findAgain(xs[0], lead, f)
				bodies[0] = w.finish(xs[0])
			})
			synctest.Wait()
			want, fetches := "first", 1
			if !fits {
				want, fetches = "second", 2
			}
			if n := w.count(); n != fetches {
				t.Errorf("%d requests at the target, want %d", n, fetches)
			}
			for range w.count() - 1 {
				w.heads <- text("second", vary...)
			}
			w.wg.Wait()
			for i, g := range bodies {
				if g.body != want || g.err != nil {
					t.Errorf("client %d: %q %v, want %q", i, g.body, g.err, want)
				}
			}
			if len(w.c.Flights.By) != 0 {
				t.Errorf("%d fetches under way", len(w.c.Flights.By))
			}
		})
	}
}

// TestVariantsTogether: of many that wait for the first answer of a URL those with other values of the fields in Vary
// have one fetch for each value.
func TestVariantsTogether(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newCrew(t, "")
		var all []*guest
		for i := range 12 {
			all = append(all, w.send("/a", fmt.Sprint("X-Lang: ", i%3)))
		}
		said := func(x *edge.Exchange) *edge.Fault {
			answer(x, 200, "lang "+string(x.Req.Get("X-Lang")), "Cache-Control: max-age=60", "Vary: X-Lang")
			return nil
		}
		for range 3 {
			w.heads <- said
			synctest.Wait()
		}
		w.wg.Wait()
		for i, g := range all {
			if want := fmt.Sprint("lang ", i%3); g.body != want {
				t.Errorf("client %d: %q, want %q", i, g.body, want)
			}
		}
		if n := w.count(); n != 3 {
			t.Errorf("%d fetches for 3 values", n)
		}
	})
}

// TestBudget: while a quarter of the memory is being fetched, what is not stored is passed on, and what is stored is
// served, but not fetched anew beside that.
func TestBudget(t *testing.T) {
	o := newOrigin(t, "")
	o.reply(200, "a", "Cache-Control: max-age=10, stale-while-revalidate=60")
	o.ask("/a")
	o.c.Bodies.Fetching.Add(o.c.Bodies.Most + 1)
	if g := o.ask("/b"); g.body != "a" || !strings.Contains(g.as, "detail="+outcome.TooManyFetches.Word()) {
		t.Error(g.body, g.as)
	}
	o.pass(11 * time.Second)
	if g := o.ask("/a"); !g.hits() || o.count() != 2 {
		t.Error(g.as, o.count())
	}
	o.c.Bodies.Fetching.Add(-o.c.Bodies.Most - 1)
	if g := o.ask("/b"); strings.Contains(g.as, "detail") || o.ask("/b").as != "hit; ttl=10" {
		t.Error(g.as)
	}
}

// TestFollowerOfNothing: a flight that says nothing but that it is over has each ask by himself.
func TestFollowerOfNothing(t *testing.T) {
	o := newOrigin(t, "")
	o.reply(200, "a", "Cache-Control: max-age=60")
	x := o.request("/a")
	if x.MayWait = false; o.l.Run(x) != edge.Wait {
		t.Fatal("no miss")
	}
	f := flight.New(1<<20, &o.c.Bodies)
	close(f.Head)
	if v := o.c.follow(x, x.Slot[0].(*record), f); v != edge.Next || x.Slot[0].(*record).why != outcome.NotForAll {
		t.Error(v)
	}
	f = flight.New(1<<20, &o.c.Bodies)
	f.Fault, f.Cause = edge.UpstreamProtocol, errors.New("why")
	close(f.Head)
	if v := o.c.follow(x, x.Slot[0].(*record), f); v != edge.Answered || x.Fault != edge.UpstreamProtocol || !errors.Is(x.Cause, f.Cause) {
		t.Error(v, x.Fault)
	}
	o.finish(x)
}
