package fetch

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/penstock-edge/penstock/cache/cachetest"
	"github.com/penstock-edge/penstock/cache/entry"
	"github.com/penstock-edge/penstock/cache/fresh"
	"github.com/penstock-edge/penstock/cache/key"
	"github.com/penstock-edge/penstock/cache/outcome"
	"github.com/penstock-edge/penstock/cache/records"
	"github.com/penstock-edge/penstock/edge"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// scene is a fetcher before a target that a test scripts, with a clock of the test's own.
type scene struct {
	t        *testing.T
	c        *Fetcher
	now      atomic.Int64 // milliseconds
	says     []func(x *edge.Exchange) *edge.Fault
	asked    []*edge.Exchange
	mu       sync.Mutex // guards released: a body is collected beside the test
	released []*edge.Fault
}

func newScene(t *testing.T, says ...func(x *edge.Exchange) *edge.Fault) *scene {
	s := &scene{t: t, says: says, c: &Fetcher{State: NewState(records.New(16<<20, records.NewDurable()), 16<<20), MaxObject: 1 << 20}}
	s.c.Maker.Rules = key.New(nil)
	s.now.Store(1_790_000_000_000)
	s.c.Tick = func() int64 { return s.now.Load() * int64(time.Millisecond) }
	s.c.WallAt = func(now int64) int64 { return now }
	return s
}

func (s *scene) Pick(*edge.Exchange) (edge.Peer, *edge.Fault) { return s, nil }

// Release implements edge.Peer.
func (s *scene) Release(_ *edge.Exchange, f *edge.Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.released = append(s.released, f)
}

// faults returns with what the peers were let go of.
func (s *scene) faults() []*edge.Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.released)
}

// RoundTrip implements edge.Peer.
func (s *scene) RoundTrip(x *edge.Exchange) *edge.Fault {
	s.asked = append(s.asked, x)
	says := s.says[0]
	s.says = s.says[1:]
	return says(x)
}

// says is an answer of the target.
func says(status int, body string, lines ...string) func(*edge.Exchange) *edge.Fault {
	return func(x *edge.Exchange) *edge.Fault {
		x.SetHead(status, nil, []byte(strings.Join(append(lines, ""), "\r\n")))
		x.Out, x.OutLen = nil, 0
		if body != "" {
			x.Out, x.OutLen = edge.NewBytesBody([]byte(body)), int64(len(body))
		}
		return nil
	}
}

// fails is a target that cannot be had.
func fails(f *edge.Fault) func(*edge.Exchange) *edge.Fault {
	return func(*edge.Exchange) *edge.Fault { return f }
}

// fetch prepares a fetch on behalf of a request.
func (s *scene) fetch(fields ...string) *Fetch {
	x := cachetest.Request("/a", fields...)
	x.Plan = &edge.Plan{Upstream: s}
	text, url := s.c.Rules.Append(nil, x, "r")
	k := s.c.Hash(text)
	f, _ := s.c.Flights.Join(k, s.c.MaxObject, &s.c.Bodies)
	return s.c.NewFetch(x, f, Question{Route: "r", Opts: &fresh.Options{}, Exact: text, URL: url, Text: text, Key: k}, -1)
}

// old makes a fetch one that asks about what is stored under its key.
func (s *scene) old(t *Fetch, usable bool) *Fetch {
	o, _, ok := s.c.Store.Get(t.Key, nil)
	if !ok {
		s.t.Fatal("nothing is stored")
	}
	t.Confirm(&o, usable)
	return t
}

// stored returns the body of what is stored under the key of a fetch, and whether it is an answer.
func (s *scene) stored(t *Fetch) (body string, is bool) {
	o, _, ok := s.c.Store.Get(t.Key, nil)
	var e entry.Entry
	if !ok || e.Parse(o.Meta) != nil {
		return "", false
	}
	return string(o.Body), e.Flags&entry.NotAnswer == 0
}

const lasting = "Cache-Control: max-age=60"

// over reports what must be so when a fetch has ended, with its body.
func (s *scene) over(name string, t *Fetch) {
	s.t.Helper()
	for s.c.Flights.Mu.Lock(); len(s.c.Flights.By) > 0; s.c.Flights.Mu.Lock() { // the body is still being read
		s.c.Flights.Mu.Unlock()
		runtime.Gosched()
	}
	s.c.Flights.Mu.Unlock()
	select {
	case <-t.Flight.Head:
	default:
		s.t.Errorf("%s: those that wait for the head are left alone", name)
	}
	if n := s.c.Fetches.Load(); n != 0 {
		s.t.Errorf("%s: %d fetches under way", name, n)
	}
	if n := len(s.faults()); n > len(s.asked) {
		s.t.Errorf("%s: %d peers, let go of %d times", name, len(s.asked), n)
	}
}

// TestRun: what becomes of what the target says.
func TestRun(t *testing.T) {
	f := func(name string, say func(*edge.Exchange) *edge.Fault, want Ending, why outcome.Reason, kept bool) {
		t.Helper()
		s := newScene(t, say)
		one := s.fetch()
		if got := one.Run(); got != want || one.Flight.Why != why {
			t.Errorf("%s: %v, %q, want %v, %q", name, got, one.Flight.Why.Word(), want, why.Word())
		}
		s.over(name, one)
		if _, is := s.stored(one); is != kept {
			t.Errorf("%s: stored %v", name, is)
		}
		if want == Unfit {
			one.Exchange.Finish(nil)
		}
	}
	no := func(r fresh.Reason) outcome.Reason { return outcome.NotStorable + outcome.Reason(r) }
	f("a good one", says(200, "a", lasting), Fetched, outcome.None, true)
	f("an empty one", says(204, "", lasting), Fetched, outcome.None, true)
	f("one that has gone", says(410, "a", lasting), Fetched, outcome.None, true)
	f("an error that lasts", says(503, "a", lasting), Fetched, outcome.None, true)
	f("private", says(200, "a", "Cache-Control: private, max-age=60"), Unfit, no(fresh.Private), false)
	f("no-store", says(200, "a", "Cache-Control: no-store"), Unfit, no(fresh.NoStore), false)
	f("a cookie", says(200, "a", lasting, "Set-Cookie: a=b"), Unfit, no(fresh.SetCookie), false)
	f("any fields", says(200, "a", lasting, "Vary: *"), Unfit, no(fresh.VaryAny), false)
	f("a part", says(206, "a", lasting, "Content-Range: bytes 0-0/2"), Unfit, no(fresh.NotPartial), false)
	f("a part that is none", says(200, "a", lasting, "Content-Range: bytes 0-0/2"), Unfit, no(fresh.NotPartial), false)
	f("nothing new, unasked", says(304, "", lasting), Unfit, no(fresh.NotStatus), false)
	f("credentials", says(401, "a", lasting), Unfit, no(fresh.NotStatus), false)
	f("nothing of freshness", says(200, "a"), Unfit, no(fresh.NoFreshness), false)
	f("too large", func(x *edge.Exchange) *edge.Fault {
		_ = says(200, "a", lasting)(x) // never fails
		x.OutLen = 1<<20 + 1
		return nil
	}, Unfit, outcome.TooLarge, false)
	f("too many tags", says(200, "a", lasting, "Cache-Tag: "+strings.Repeat("a,", 513)), Unfit, outcome.TooManyTags, false)
	f("of the gateway itself", func(x *edge.Exchange) *edge.Fault {
		_ = says(200, "a", lasting)(x) // never fails
		x.Local = true
		return nil
	}, Unfit, outcome.Local, false)
	f("none", fails(edge.UpstreamConnect), Failed, outcome.None, false)
}

// TestPassIsRemembered: that an answer is not to be stored is remembered where it says something of the resource, and
// never in the place of what is of use.
func TestPassIsRemembered(t *testing.T) {
	f := func(name string, want bool, say func(*edge.Exchange) *edge.Fault, fields ...string) {
		t.Helper()
		s := newScene(t, say)
		one := s.fetch(fields...)
		if got := one.Run(); got != Unfit {
			t.Errorf("%s: %v", name, got)
		}
		one.Exchange.Finish(nil)
		o, _, ok := s.c.Store.Get(one.Key, nil)
		var e entry.Entry
		if got := ok && e.Parse(o.Meta) == nil && e.Flags&entry.IsPass != 0; got != want {
			t.Errorf("%s: remembered %v", name, got)
		}
		// The same after something that is fresh.
		s = newScene(t, says(200, "fresh", lasting), say)
		s.fetch().Run()
		one = s.old(s.fetch(fields...), true)
		if got := one.Run(); got != Unfit {
			t.Errorf("%s: %v", name, got)
		}
		one.Exchange.Finish(nil)
		if body, is := s.stored(one); body != "fresh" || !is {
			t.Errorf("%s: %q is stored, what was fresh has gone", name, body)
		}
	}
	const private = "Cache-Control: private"
	f("private", true, says(200, "a", private))
	f("moved, privately", true, says(302, "", private))
	f("not there", true, says(404, "a", private))
	f("gone", true, says(410, "a", private))
	f("what this client may not", false, says(403, "a", private))
	f("what this client has asked badly", false, says(400, "a", private))
	f("a target in trouble", false, says(500, "a", private))
	f("a request with Authorization", false, says(200, "a", private), "Authorization: Bearer x")
}

// TestRefreshThatPasses: what is stale and no longer for all goes when the cache itself has asked.
func TestRefreshThatPasses(t *testing.T) {
	s := newScene(t, says(200, "a", "Cache-Control: max-age=10, stale-while-revalidate=60"), says(200, "b", "Cache-Control: private"),
		says(403, "c", "Cache-Control: private"))
	s.fetch().Run()
	s.now.Add(20_000)
	one := s.old(s.fetch(), true)
	one.RunAlone()
	if _, is := s.stored(one); is || len(s.c.Flights.By) != 0 {
		t.Error("what is no longer for all is stored still")
	}
	s = newScene(t, says(200, "a", "Cache-Control: max-age=10, stale-while-revalidate=60"), says(403, "c", "Cache-Control: private"))
	s.fetch().Run()
	s.now.Add(20_000)
	one = s.old(s.fetch(), true)
	one.RunAlone()
	if body, is := s.stored(one); !is || body != "a" {
		t.Error("a refusal has taken away what is stored")
	}
}

// TestRunAlonePanics: a target that panics ends the fetch, and nothing else.
func TestRunAlonePanics(t *testing.T) {
	s := newScene(t, func(*edge.Exchange) *edge.Fault { panic("a test") })
	one := s.fetch()
	one.RunAlone()
	if s.over("a panic", one); one.Flight.Fault == nil {
		t.Error("those that wait are not told")
	}
}

// TestCollectPanics: a body that panics is cut for all that read it, and stored for nobody.
func TestCollectPanics(t *testing.T) {
	s := newScene(t, func(x *edge.Exchange) *edge.Fault {
		_ = says(200, "", lasting)(x) // never fails
		x.Out, x.OutLen = panics{}, -1
		return nil
	})
	one := s.fetch()
	r := one.Flight.Read()
	if got := one.Run(); got != Fetched {
		t.Fatal(got)
	}
	if b, err := io.ReadAll(r); err == nil {
		t.Errorf("%q is whole", b)
	}
	s.over("a panic", one)
	if _, is := s.stored(one); is {
		t.Error("it is stored")
	}
	if err := r.Close(); err != nil || s.c.Bodies.Fetching.Load() != 0 {
		t.Error(err, s.c.Bodies.Fetching.Load())
	}
}

// panics is a body that cannot be read.
type panics struct{ edge.Opaque }

func (panics) Read([]byte) (int, error) { panic("a test") }
func (panics) Ready() bool              { return false }

// TestFaultsOfBody: with which fault the peer is let go of, when its body has broken off.
func TestFaultsOfBody(t *testing.T) {
	for _, step := range []struct {
		err  error
		want *edge.Fault
	}{{io.ErrUnexpectedEOF, edge.UpstreamTruncated}, {edge.UpstreamTimeout, edge.UpstreamTimeout},
		{fmt.Errorf("within: %w", edge.UpstreamProtocol), edge.UpstreamProtocol}, {errors.New("any"), edge.UpstreamTruncated}, {io.EOF, nil}} {
		s := newScene(t, func(x *edge.Exchange) *edge.Fault {
			_ = says(200, "", lasting)(x) // never fails
			x.Out, x.OutLen = &breaks{left: 3, end: step.err}, -1
			return nil
		})
		one := s.fetch()
		one.Run()
		s.over(step.err.Error(), one)
		for len(s.faults()) == 0 { // which is the last that the fetch does
			runtime.Gosched()
		}
		if f := s.faults(); len(f) != 1 || f[0] != step.want {
			t.Errorf("%v: %v", step.err, f)
		}
		if _, is := s.stored(one); is != (step.want == nil) {
			t.Errorf("%v: stored %v", step.err, is)
		}
	}
}

// breaks is a body that ends after some bytes.
type breaks struct {
	edge.Opaque
	left int
	end  error
}

// Read implements edge.Body.
func (b *breaks) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, b.end
	}
	b.left--
	return copy(p, "x"), nil
}

// Ready implements edge.Body.
func (*breaks) Ready() bool { return true }

// TestAskedAgain: when the target confirms another answer than the one that is stored, it is asked once more, without a
// condition, and that answer counts, whatever it is.
func TestAskedAgain(t *testing.T) {
	old := says(200, "old", "Cache-Control: max-age=10", `ETag: "a"`)
	other := says(304, "", lasting, `ETag: "b"`)
	f := func(name string, then func(*edge.Exchange) *edge.Fault, want Ending, body string, is bool) {
		t.Helper()
		s := newScene(t, old, other, then)
		s.fetch().Run()
		s.now.Add(20_000)
		one := s.old(s.fetch(), false)
		got := one.Run()
		if s.over(name, one); got != want || len(s.asked) != 3 {
			t.Errorf("%s: %v, asked %d times", name, got, len(s.asked))
		}
		if got == Unfit {
			one.Exchange.Finish(nil)
		}
		if b, stored := s.stored(one); b != body || stored != is {
			t.Errorf("%s: %q, %v is stored, want %q", name, b, stored, body)
		}
	}
	f("a new one", says(200, "new", lasting), Fetched, "new", true)
	f("nothing new again", says(304, "", lasting), Unfit, "", false)
	f("for one alone", says(200, "mine", "Cache-Control: private"), Unfit, "", false)
	f("an error", says(500, "bad"), Unfit, "", false)
	f("none", fails(edge.UpstreamConnect), Failed, "", false)
}

// TestCondition: what a fetch asks under is what is stored, not what the client has.
func TestCondition(t *testing.T) {
	f := func(tag, modified string, lines ...string) {
		t.Helper()
		s := newScene(t, says(200, "a", append(lines, lasting)...), says(200, "b", lasting))
		s.fetch().Run()
		one := s.old(s.fetch(`If-None-Match: "client"`, "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT", "Range: bytes=0-0", `If-Range: "x"`,
			`If-Match: "x"`, "If-Unmodified-Since: Sun, 06 Nov 1994 08:49:37 GMT"), false)
		y := one.Exchange
		if got := string(y.Req.Get("If-None-Match")); got != tag {
			t.Errorf("%q: If-None-Match %q", lines, got)
		}
		if got := string(y.Req.Get("If-Modified-Since")); got != modified {
			t.Errorf("%q: If-Modified-Since %q", lines, got)
		}
		for _, name := range []string{"Range", "If-Range", "If-Match", "If-Unmodified-Since"} {
			if y.Req.Has(name) {
				t.Errorf("%q: %s is sent on", lines, name)
			}
		}
		one.Run()
	}
	f("", "")
	f(`"a"`, "", `ETag: "a"`)
	f(`W/"a"`, "", `ETag: W/"a"`)
	f("", "Mon, 07 Nov 1994 08:49:37 GMT", "Last-Modified: Mon, 07 Nov 1994 08:49:37 GMT")
	f(`"a"`, "Mon, 07 Nov 1994 08:49:37 GMT", `ETag: "a"`, "Last-Modified: Monday, 07-Nov-94 08:49:37 GMT")
	f("", "", "Last-Modified: yesterday")
}

// TestSlowFetch: what was asked for earlier does not take the place of what was asked for later, whichever comes first.
func TestSlowFetch(t *testing.T) {
	s := newScene(t)
	var slow *Fetch
	s.says = []func(*edge.Exchange) *edge.Fault{func(x *edge.Exchange) *edge.Fault {
		s.now.Add(1000)
		s.c.Flights.Scatter() // as a purge does
		s.says = append([]func(*edge.Exchange) *edge.Fault{says(200, "later", lasting)}, s.says...)
		if got := s.fetch().Run(); got != Fetched {
			t.Error(got)
		}
		return says(200, "earlier", lasting)(x)
	}}
	slow = s.fetch()
	r := slow.Flight.Read()
	if got := slow.Run(); got != Fetched || slow.Stored {
		t.Error(got, slow.Stored)
	}
	if b, err := io.ReadAll(r); string(b) != "earlier" || err != nil {
		t.Errorf("%q %v", b, err)
	}
	_ = r.Close() // never fails
	if b, _ := s.stored(slow); b != "later" {
		t.Errorf("%q is stored", b)
	}
}

// TestRescues: for how long an answer is used when the target fails.
func TestRescues(t *testing.T) {
	s := newScene(t)
	f := func(e entry.Entry, age, seconds int64, want bool) {
		t.Helper()
		e.At, e.Lifetime = s.c.Now()-age*1000, 10_000
		if got := s.c.Rescues(&e, seconds); got != want {
			t.Errorf("%+v, %d s old, %d s allowed by the request: %v", e, age, seconds, got)
		}
	}
	f(entry.Entry{}, 11, -1, false)
	f(entry.Entry{Rescue: 5000}, 15, -1, true)
	f(entry.Entry{Rescue: 5000}, 16, -1, false)
	f(entry.Entry{Rescue: 5000}, 16, 6, true)
	f(entry.Entry{Rescue: 5000}, 15, 0, true)
	f(entry.Entry{}, 15, 5, true)
	f(entry.Entry{}, 16, 5, false)
	f(entry.Entry{Flags: entry.MustRevalidate}, 11, 60, false)
	f(entry.Entry{Flags: entry.AlwaysAsk, Rescue: 5000}, 11, 60, false)
	f(entry.Entry{Status: 503}, 11, 60, false) // an error does not come in the place of an error
	f(entry.Entry{Status: 503, Rescue: 5000}, 11, 60, true)
}
