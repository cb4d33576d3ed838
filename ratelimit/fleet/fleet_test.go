package fleet

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/rueidis"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/penstock-edge/penstock/ratelimit/bucket"
	"github.com/penstock-edge/penstock/ratelimit/quota"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newLink returns a link to a server of the test's own that was not started.
func newLink(t testing.TB, address string) *Link {
	l := NewLink(&Config{Address: []string{address}, Prefix: "p:", ConnectTimeout: time.Minute}, slog.New(slog.DiscardHandler))
	t.Cleanup(l.Close)
	return l
}

// connected is newLink with a client, as if it had answered.
func connected(t testing.TB, address string) *Link {
	t.Helper()
	l := newLink(t, address)
	c, err := rueidis.NewClient(l.options())
	if err != nil {
		t.Fatal(err)
	}
	l.client.Store(&c)
	l.up.Store(true)
	return l
}

// twin is what the script does for one key, slowly and with nothing to save.
type twin struct {
	r      *Rule
	events []event
}

type event struct {
	at   int64 // microseconds
	cost float64
}

// spent is what counts at a moment.
func (w *twin) spent(now int64) float64 {
	n := 0.0
	switch w.r.kind {
	case "g":
		last := int64(0)
		for _, e := range w.events {
			n = max(n-float64(e.at-last)*w.r.gain*1000, 0)
			n, last = max(n+e.cost, 0), e.at
		}
		return max(n-float64(now-last)*w.r.gain*1000, 0)
	case "w":
		per := w.r.per.Microseconds()
		current, before := 0.0, 0.0
		for _, e := range w.events {
			switch now/per - e.at/per {
			case 0:
				current = max(current+e.cost, 0)
			case 1:
				before = max(before+e.cost, 0)
			}
		}
		return before*float64(per-now%per)/float64(per) + current
	}
	from := w.r.window(time.UnixMicro(now)).start.UnixMicro()
	for _, e := range w.events {
		if e.at >= from {
			n = max(n+e.cost, 0)
		}
	}
	return n
}

// TestScript runs the script in a server whose clock is the test's, against the twin.
func TestScript(t *testing.T) {
	m := miniredis.RunT(t)
	l := connected(t, m.Addr())
	c := *l.client.Load()
	rapid.Check(t, func(t *rapid.T) {
		m.FlushAll()
		zone := time.FixedZone("z", 19800)
		rules := []*Rule{
			NewGCRA(rapid.Int64Range(1, 50).Draw(t, "count"), time.Second, rapid.Int64Range(1, 20).Draw(t, "burst")),
			NewWindow(rapid.Int64Range(1, 20).Draw(t, "limit"), time.Minute),
			NewQuota(rapid.Int64Range(1, 20).Draw(t, "quota"), quota.Hour, zone),
		}
		twins := []*twin{{r: rules[0]}, {r: rules[1]}, {r: rules[2]}}
		now := time.UnixMicro(1_790_000_000_123_456)
		m.SetTime(now)
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.SampledFrom([]int64{0, 1, 3000, 70_000, 1_000_000, 20_000_000, 61_000_000,
				3_600_000_000}).Draw(t, "passes")) * time.Microsecond)
			m.SetTime(now)
			how := rapid.SampledFrom([]string{enforce, enforce, observe, charge}).Draw(t, "how")
			var one command
			costs, all := make([]float64, len(rules)), true
			oks := make([]bool, len(rules))
			for i, r := range rules {
				costs[i] = float64(rapid.Int64Range(-1, 4).Draw(t, "cost"))
				if how != charge {
					costs[i] = max(costs[i], 0)
				}
				one.add(string(appendName(nil, "p:limit:x:", r, bucket.Key{1})), r, how, costs[i], now)
				oks[i] = how == charge || twins[i].spent(now.UnixMicro())+costs[i] <= r.limit+1e-6
				all = all && (oks[i] || how == observe)
			}
			run(context.Background(), c, []command{one}, func(_ int, got []said, err error) {
				if err != nil {
					t.Fatal(err)
				}
				for i := range rules {
					if got[i].ok != oks[i] {
						t.Fatalf("%s: ok %v, want %v (spent %v, cost %v)", rules[i].kind, got[i].ok, oks[i],
							twins[i].spent(now.UnixMicro()), costs[i])
					}
					if oks[i] && all {
						twins[i].events = append(twins[i].events, event{now.UnixMicro(), costs[i]})
					}
					spent := twins[i].spent(now.UnixMicro())
					if oks[i] && !all {
						spent += costs[i] // what it would have been
					}
					if left := rules[i].limit - spent; math.Abs(got[i].left-left) > 1e-4 {
						t.Fatalf("%s: %v left, want %v", rules[i].kind, got[i].left, left)
					}
					checkWait(t, twins[i], got[i], costs[i], now.UnixMicro())
				}
			})
		}
	})
}

// checkWait checks that a client that waits as long as it was told is not refused again.
func checkWait(t *rapid.T, w *twin, got said, cost float64, now int64) {
	switch {
	case got.ok:
	case cost > w.r.limit && got.wait >= 0:
		t.Fatalf("%s: %v will never be there", w.r.kind, cost)
	case cost <= w.r.limit:
		if at := now + got.wait.Microseconds(); w.spent(at)+cost > w.r.limit+1e-4 {
			t.Fatalf("%s: after %v still %v spent, which leaves no %v of %v", w.r.kind, got.wait, w.spent(at), cost, w.r.limit)
		}
	}
}

// TestScriptForgets: no key stays on the server for ever.
func TestScriptForgets(t *testing.T) {
	m := miniredis.RunT(t)
	l := connected(t, m.Addr())
	now := time.Now()
	m.SetTime(now)
	for _, r := range []*Rule{NewGCRA(10, time.Second, 5), NewWindow(5, time.Minute), NewQuota(5, quota.Day, time.UTC)} {
		var one command
		one.add("k"+r.kind, r, enforce, 1, now)
		run(context.Background(), *l.client.Load(), []command{one}, func(_ int, _ []said, err error) {
			if err != nil {
				t.Fatal(err)
			}
		})
	}
	m.FastForward(2 * time.Second)
	if m.Exists("kg") || !m.Exists("kw") {
		t.Error("a bucket that is full again is kept, or a window is not")
	}
	m.FastForward(26 * time.Hour)
	if keys := m.Keys(); len(keys) != 0 {
		t.Errorf("%v are kept", keys)
	}
}

// TestScriptReload: a server that has lost its scripts is given them again.
func TestScriptReload(t *testing.T) {
	m := miniredis.RunT(t)
	l := connected(t, m.Addr())
	r := NewGCRA(1, time.Hour, 3)
	for i := range 3 {
		c := *l.client.Load()
		if err := c.Do(context.Background(), c.B().ScriptFlush().Build()).Error(); err != nil {
			t.Fatal(err)
		}
		var one command
		one.add("k", r, enforce, 1, time.Now())
		run(context.Background(), c, []command{one, one}, func(j int, got []said, err error) {
			if want := 2*i+j < 3; err != nil || got[0].ok != want {
				t.Errorf("%d.%d: %v %v, want %v", i, j, got, err, want)
			}
		})
	}
}

// server is a server of the model: a bucket of one key.
type server struct {
	r     *Rule
	spent float64
	at    int64
}

func (s *server) charge(used float64, now int64) said {
	s.spent = max(max(s.spent-float64(now-s.at)*s.r.gain, 0)+used, 0)
	s.at = now
	return said{ok: true, left: s.r.limit - s.spent, gain: s.r.gain, full: time.Duration(s.spent / s.r.gain)}
}

// TestLeasesBound runs gateways against a server of the model, with answers that come late and in any order of the
// gateways: what was admitted is never more than the limit and a lease for each of them.
func TestLeasesBound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 4).Draw(t, "gateways")
		burst := rapid.Int64Range(1, 30).Draw(t, "burst")
		lease := rapid.Int64Range(1, 10).Draw(t, "lease")
		r := NewGCRA(rapid.Int64Range(1, 2000).Draw(t, "rate"), time.Second, burst)
		link := NewLink(&Config{}, slog.New(slog.DiscardHandler))
		link.up.Store(true)
		ledgers, flying := make([]*Ledger, n), make([][]report, n)
		answers := make([]*said, n)
		for i := range ledgers {
			ledgers[i] = NewLedger(link, "x", r, 1000, lease, time.Second)
		}
		srv, truth := &server{r: r}, &server{r: r}
		now, key := int64(1), bucket.Key{7, 7}
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			i := rapid.IntRange(0, n-1).Draw(t, "gateway")
			w := ledgers[i]
			switch rapid.SampledFrom([]string{"ask", "ask", "ask", "ask", "tell", "arrive", "hear", "wait"}).Draw(t, "step") {
			case "ask":
				for range rapid.IntRange(1, 12).Draw(t, "asks") {
					if w.TryCharge(key, now, 1).OK {
						truth.charge(1, now)
					}
				}
			case "tell":
				if flying[i] == nil {
					flying[i] = w.collect(now)
				}
			case "arrive":
				if len(flying[i]) > 0 && answers[i] == nil {
					a := srv.charge(flying[i][0].used, now)
					answers[i] = &a
				}
			case "hear":
				if answers[i] != nil {
					w.heard(flying[i][0], answers[i], now)
					answers[i], flying[i] = nil, nil
				}
			case "wait":
				now += rapid.Int64Range(1, 5_000_000).Draw(t, "nanoseconds")
			}
			if over := truth.spent - r.limit; over > float64(int64(n)*lease)+1e-3 {
				t.Fatalf("%v more than the limit were admitted; %d gateways have leases of %d", over, n, lease)
			}
		}
	})
}

// TestAloneLedgerIsExact: one gateway whose server answers at once admits what the limit says, no less.
func TestAloneLedgerIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		burst := rapid.Int64Range(1, 30).Draw(t, "burst")
		r := NewGCRA(rapid.Int64Range(1, 2000).Draw(t, "rate"), time.Second, burst)
		link := NewLink(&Config{}, slog.New(slog.DiscardHandler))
		link.up.Store(true)
		w, srv, truth := NewLedger(link, "x", r, 1000, burst, time.Second), &server{r: r}, &server{r: r}
		now, key := int64(1), bucket.Key{7, 7}
		for range rapid.IntRange(1, 100).Draw(t, "steps") {
			now += rapid.Int64Range(0, 3_000_000).Draw(t, "nanoseconds")
			truth.charge(0, now)
			want := truth.spent+1 <= r.limit+1e-6
			peek, got := w.Peek(key, now, 1), w.TryCharge(key, now, 1)
			if got.OK != want || peek.OK != want {
				t.Fatalf("peek %v, take %v, want %v: %v spent of %v", peek, got, want, truth.spent, r.limit)
			}
			if want {
				truth.charge(1, now)
			} else if later := now + int64(got.Retry); truth.spent-float64(later-now)*r.gain+1 > r.limit+1e-3 {
				t.Fatalf("after %v there is no room", got.Retry)
			}
			for _, b := range w.collect(now) {
				a := srv.charge(b.used, now)
				w.heard(b, &a, now)
			}
		}
	})
}

// TestParts: without a server each gateway has a part; what was spent is told afterwards, less what came back.
func TestParts(t *testing.T) {
	link := NewLink(&Config{}, slog.New(slog.DiscardHandler))
	link.nodes.Store(3)
	r := NewGCRA(30, time.Second, 30)
	w := NewLedger(link, "x", r, 1000, 5, time.Second)
	key, now := bucket.Key{1, 2}, int64(1)
	admit := func(n int) (ok int) {
		for range n {
			if w.TryCharge(key, now, 1).OK {
				ok++
			}
		}
		return ok
	}
	if n := admit(50); n != 10 {
		t.Errorf("%d at once, want a third of 30", n)
	}
	now += int64(300 * time.Millisecond)
	if n := admit(50); n != 3 {
		t.Errorf("%d after 0.3 s, want 3", n)
	}
	now += int64(500 * time.Millisecond)
	link.up.Store(true)
	w.returned()
	w.recall()
	b := w.collect(now)
	if len(b) != 1 || math.Abs(b[0].used-5) > 1e-3 {
		t.Errorf("told %v, want the 10 that were spent less 5 that came back", b)
	}
	srv := &server{r: r}
	a := srv.charge(b[0].used, now)
	w.heard(b[0], &a, now)
	if res := w.Peek(key, now, 1); res.Remaining != 25 {
		t.Errorf("%d left, want 25", res.Remaining)
	}
}

// TestAllow: a request let through without a server is charged for no more than there is.
func TestAllow(t *testing.T) {
	link := NewLink(&Config{}, slog.New(slog.DiscardHandler))
	w := NewLedger(link, "x", NewGCRA(1, time.Hour, 10), 1000, 5, time.Second)
	for range 100 {
		w.Allow(bucket.Key{1, 1}, 5, 3)
	}
	if res := w.Peek(bucket.Key{1, 1}, 5, 1); res.Remaining != 0 || res.OK {
		t.Errorf("%+v", res)
	}
}

// TestLedgerRoom: more keys than there is room for do not take more memory.
func TestLedgerRoom(t *testing.T) {
	link := NewLink(&Config{}, slog.New(slog.DiscardHandler))
	w := NewLedger(link, "x", NewGCRA(1, time.Hour, 10), 1000, 5, time.Second)
	for i := range uint64(100_000) {
		w.TryCharge(bucket.Key{i, i * 0x9e3779b97f4a7c15}, 5, 1)
	}
	if n := w.Keys(6); n > 2000 || n < 1000 || w.Evictions() != uint64(100_000-n) {
		t.Errorf("%d keys, %d evictions", n, w.Evictions())
	}
	link.up.Store(true)
	told := 0
	for b := w.collect(6); len(b) > 0; b = w.collect(6) {
		for _, r := range b {
			w.heard(r, &said{ok: true, left: 10}, 6)
		}
		told += len(b)
	}
	if told > 2000 || told < 1000 {
		t.Errorf("%d keys told", told)
	}
	w.tidy(math.MaxInt64)
	if n := w.Keys(6); n != 0 {
		t.Errorf("%d keys after all of them were full again", n)
	}
}

// TestLateAnswer: what was charged for a client that has gone is given back, and the Ask may be used again.
func TestLateAnswer(t *testing.T) {
	link := NewLink(&Config{}, slog.New(slog.DiscardHandler))
	link.up.Store(true)
	w := NewLedger(link, "x", NewGCRA(1, time.Hour, 10), 1000, 5, time.Second)
	a := AcquireAsk()
	a.Questions = append(a.Questions, Question{Ledger: w, Key: bucket.Key{1, 1}, Cost: 2})
	if err := link.Do(a, time.Microsecond, stays{}); !errors.Is(err, ErrLate) {
		t.Fatalf("%v, want %v", err, ErrLate)
	}
	got := <-link.asks
	got.compose(time.Now(), false)
	got.conclude([][]said{{{ok: true, left: 8}}}, false)
	if got.settle(nil) {
		t.Error("somebody has the answer")
	}
	if b := w.collect(1); len(b) != 1 || b[0].used != -2 {
		t.Errorf("told %v, want 2 given back", b)
	}
	for range mostFails {
		link.failed(ErrLate)
	}
	if err := link.Do(AcquireAsk(), time.Second, stays{}); !errors.Is(err, ErrDown) {
		t.Errorf("%v, want %v", err, ErrDown)
	}
}

// stays is a client that waits, leaves is one that does not.
type (
	stays  struct{}
	leaves struct{}
)

func (stays) Gone() bool  { return false }
func (leaves) Gone() bool { return true }

// TestClientLeaves: nobody waits for the server on behalf of a client that has gone, the server is not blamed for
// it, and what was charged is given back.
func TestClientLeaves(t *testing.T) {
	link := NewLink(&Config{}, slog.New(slog.DiscardHandler))
	link.up.Store(true)
	w := NewLedger(link, "x", NewGCRA(1, time.Hour, 10), 1000, 5, time.Second)
	a := AcquireAsk()
	a.Questions = append(a.Questions, Question{Ledger: w, Key: bucket.Key{1, 1}, Cost: 2})
	if err := link.Do(a, time.Hour, leaves{}); !errors.Is(err, ErrLeft) {
		t.Errorf("%v, want %v", err, ErrLeft)
	}
	if n := link.fails.Load(); n != 0 {
		t.Errorf("%d failures of the server", n)
	}
	got := <-link.asks
	got.compose(time.Now(), false)
	got.conclude([][]said{{{ok: true, left: 8}}}, false)
	if got.settle(nil) {
		t.Error("somebody has the answer")
	}
	if b := w.collect(1); len(b) != 1 || b[0].used != -2 {
		t.Errorf("told %v, want 2 given back", b)
	}
}

// TestBusy: more questions than may wait are not asked.
func TestBusy(t *testing.T) {
	link := NewLink(&Config{}, slog.New(slog.DiscardHandler))
	link.up.Store(true)
	for range mostAsks {
		link.asks <- AcquireAsk()
	}
	if err := link.Do(AcquireAsk(), time.Second, stays{}); !errors.Is(err, ErrBusy) {
		t.Errorf("%v, want %v", err, ErrBusy)
	}
	link.refuseRest()
}

// TestPrefixOfNames: limits, algorithms and keys have names of their own.
func TestPrefixOfNames(t *testing.T) {
	seen := map[string]bool{}
	for _, stem := range []string{"p:limit:a:", "p:limit:b:"} {
		for _, r := range []*Rule{NewGCRA(1, 1, 1), NewWindow(1, 1), NewQuota(1, quota.Day, time.UTC)} {
			for _, k := range []bucket.Key{HashKey([]byte("a")), HashKey([]byte("b"))} {
				name := string(appendName(nil, stem, r, k))
				if seen[name] || !strings.HasPrefix(name, stem) {
					t.Errorf("%q", name)
				}
				seen[name] = true
			}
		}
	}
}
