package fleet

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/penstock-edge/penstock/edge/config"
	"github.com/penstock-edge/penstock/edge/lib/clock"
	"github.com/penstock-edge/penstock/ratelimit/bucket"
	"github.com/penstock-edge/penstock/ratelimit/quota"
)

// patient is newLink for a server that may take its time.
func patient(t testing.TB, address string) *Link {
	l := newLink(t, address)
	l.SetPatience(time.Minute)
	return l
}

// TestNodesComeAndGo: gateways are counted from their first heartbeat until they say goodbye, or are silent for a while.
func TestNodesComeAndGo(t *testing.T) {
	m := miniredis.RunT(t)
	now := time.Now()
	m.SetTime(now)
	links := []*Link{patient(t, m.Addr()), patient(t, m.Addr()), patient(t, m.Addr())}
	beats := func(want int64, who ...int) {
		t.Helper()
		for _, i := range who {
			err := links[i].heartbeat()
			links[i].turn(err)
			if n := links[i].Nodes(); err != nil || i == who[len(who)-1] && n != want {
				t.Errorf("gateway %d: %v, and %d are there, want %d", i, err, n, want)
			}
		}
	}
	pass := func(d time.Duration) {
		now = now.Add(d)
		m.SetTime(now)
	}
	beats(1, 0)
	beats(3, 1, 2)
	beats(3, 0)
	links[1].Close()
	beats(2, 0)
	pass(nodeLife - time.Second)
	beats(2, 0)
	pass(2 * time.Second) // the third one has been silent for longer than a gateway that lives
	beats(1, 0)
	beats(2, 2) // and was only slow
	pass(time.Hour)
	m.FastForward(time.Hour)
	beats(1, 0)
	if links[1].Up() || !links[0].Up() {
		t.Error("one that was closed is up, or one that was not is down")
	}
}

// TestSlowHeartbeat: a server that takes longer than requests wait is not asked; one that is asked already is not given
// up for one slow heartbeat.
func TestSlowHeartbeat(t *testing.T) {
	m := miniredis.RunT(t)
	l := patient(t, m.Addr())
	l.SetPatience(1)
	err := l.heartbeat()
	l.turn(err)
	if err == nil || !strings.Contains(err.Error(), "requests wait for 1ns") || l.Up() || l.Broken() != 1 {
		t.Errorf("%v, up %v", err, l.Up())
	}
	l.turn(l.heartbeat())
	if l.Up() || l.Broken() != 1 {
		t.Errorf("a second time: up %v, lost %d times", l.Up(), l.Broken())
	}
	l.SetPatience(time.Minute)
	l.turn(l.heartbeat())
	l.SetPatience(1)
	l.turn(l.heartbeat())
	if !l.Up() {
		t.Error("given up")
	}
	l.failed(ErrLate)
	l.failed(ErrLate)
	l.turn(l.heartbeat()) // which ends the row
	l.failed(ErrLate)
	if !l.Up() || l.fails.Load() != 1 {
		t.Errorf("up %v after %d failures in a row", l.Up(), l.fails.Load())
	}
}

// TestClose: a link may be closed before it was started, twice, and while requests ask: each of them is answered.
func TestClose(t *testing.T) {
	m := miniredis.RunT(t)
	patient(t, m.Addr()).Close()
	for range 5 {
		l := patient(t, m.Addr())
		w := NewLedger(l, "x", NewGCRA(1, time.Hour, 1_000_000), 100, 5, time.Minute)
		l.Start()
		l.Start()
		w.Start()
		w.Start()
		spin(l.Up)
		var wg sync.WaitGroup
		var asked atomic.Int64
		var closed atomic.Bool
		for i := range 8 {
			wg.Go(func() {
				for end := false; !end; {
					end = closed.Load()
					a := AcquireAsk()
					a.Questions = append(a.Questions, Question{Ledger: w, Key: bucket.Key{uint64(i), 1}, Cost: 1})
					if l.Do(a, 100*time.Millisecond, stays{}) == nil { // otherwise the Ask is gone
						asked.Add(1)
						ReleaseAsk(a)
					}
				}
			})
		}
		spin(func() bool { return asked.Load() > 20 })
		w.Close()
		w.Close()
		l.Close()
		closed.Store(true)
		wg.Wait()
		l.Close()
		if err := l.Do(AcquireAsk(), time.Minute, stays{}); !errors.Is(err, ErrDown) {
			t.Errorf("asked after the end: %v", err)
		}
		if _, err := l.forget("x"); err == nil {
			t.Error("a link that is closed forgets")
		}
	}
}

// TestCloseTells: what a gateway has not told yet is told when it ends, and other gateways learn of it.
func TestCloseTells(t *testing.T) {
	m := miniredis.RunT(t)
	for name, r := range map[string]*Rule{"g": NewGCRA(1, 24*time.Hour, 10), "w": NewWindow(10, 24*time.Hour), "q": NewQuota(10, quota.Month, time.UTC)} {
		k, now := bucket.Key{3, 4}, clock.Now()
		one := connected(t, m.Addr())
		w := NewLedger(one, name, r, 100, 100, time.Minute)
		for range 6 {
			w.TryCharge(k, now, 1)
		}
		w.Start()
		w.Close()
		two := NewLedger(connected(t, m.Addr()), name, r, 100, 100, time.Minute)
		two.TryCharge(k, now, 1)
		if err := two.sync(two.collect(now)); err != nil {
			t.Fatal(err)
		}
		if got := two.Peek(k, now, 4); got.OK || got.Remaining != 3 {
			t.Errorf("%s: %+v, want 3 left", name, got)
		}
	}
}

// TestServerReturns: what was spent while the server was gone is told when it is back, by what runs beside requests.
func TestServerReturns(t *testing.T) {
	m := miniredis.RunT(t)
	l := patient(t, m.Addr())
	w := NewLedger(l, "x", NewGCRA(1, 24*time.Hour, 10), 100, 100, time.Minute)
	w.Start()
	t.Cleanup(w.Close)
	k := bucket.Key{5, 6}
	l.Start()
	spin(l.Up)
	m.SetError("LOADING for a while")
	l.lost(ErrLate)
	spin(func() bool { return !l.Up() })
	for i := range 12 {
		if got := w.TryCharge(k, clock.Now(), 1); got.OK != (i < 10) {
			t.Errorf("%d: %+v", i, got)
		}
	}
	m.SetError("")
	spin(l.Up)
	other := NewLedger(connected(t, m.Addr()), "x", NewGCRA(1, 24*time.Hour, 10), 100, 100, time.Minute)
	spin(func() bool {
		a, err := put(other.link, Question{Ledger: other, Key: k, Cost: 1, Peek: true})
		return err == nil && !a.Questions[0].Result.OK
	})
	if l.Broken() == 0 {
		t.Error("the server was not lost")
	}
}

// TestLeasesTogether: gateways that are fast take of one key at once, each told by its own goroutine. No more passes than
// the limit and a lease for each, and when all has been told the server knows of each event.
func TestLeasesTogether(t *testing.T) {
	const gateways, lease, limit = 3, 4, 50
	m := miniredis.RunT(t)
	r := NewGCRA(1, 24*time.Hour, limit)
	k := bucket.Key{7, 8}
	var passed atomic.Int64
	var wg sync.WaitGroup
	ledgers := make([]*Ledger, gateways)
	for i := range ledgers {
		w := NewLedger(connected(t, m.Addr()), "x", r, 100, lease, time.Minute)
		ledgers[i] = w
		w.Start()
		for range 2 {
			wg.Go(func() {
				for refused := 0; refused < 3; {
					switch got := w.TryCharge(k, clock.Now(), 1); {
					case got.OK:
						passed.Add(1)
					case got.Retry > leaseRetry:
						refused++
					default:
						runtime.Gosched() // the server is being told
					}
				}
			})
		}
	}
	wg.Wait()
	for _, w := range ledgers {
		w.Close()
	}
	n := passed.Load()
	if n < limit || n > limit+gateways*lease {
		t.Errorf("%d have passed, of %d and %d leases of %d", n, limit, gateways, lease)
	}
	var one command
	one.add(ledgers[0].name(k), r, view, 0, time.Now())
	run(context.Background(), *ledgers[0].link.client.Load(), []command{one}, func(_ int, got []said, err error) {
		if err != nil || int64(math.Round(limit-got[0].left)) != n {
			t.Errorf("the server knows of %v of %d: %v", limit-got[0].left, n, err)
		}
	})
}

// TestApart: the limits of a request that are on several servers are asked one by one: those which have charged a request
// that another one refuses are given back what they took.
func TestApart(t *testing.T) {
	link := NewLink(&Config{Cluster: true}, slog.New(slog.DiscardHandler))
	link.up.Store(true)
	ledgers := make([]*Ledger, 3)
	for i := range ledgers {
		ledgers[i] = NewLedger(link, string(rune('a'+i)), NewGCRA(1, time.Hour, 10), 100, 5, time.Minute)
	}
	k := bucket.Key{1, 2}
	f := func(second, third Question, ok bool, back ...float64) {
		t.Helper()
		a := AcquireAsk()
		second.Ledger, third.Ledger = ledgers[1], ledgers[2]
		a.Questions = append(a.Questions, Question{Ledger: ledgers[0], Cost: 2}, second, third)
		for i := range a.Questions {
			a.Questions[i].Key = k
		}
		a.compose(time.Now(), true)
		if len(a.sent) != 3 || len(a.sent[1].keys) != 1 {
			t.Fatalf("%d commands", len(a.sent))
		}
		a.conclude([][]said{{{ok: true, left: 8}}, {{ok: ok, left: 0}}, {{ok: true, left: 7}}}, true)
		for i, want := range back {
			told := ledgers[i].collect(1)
			got := 0.0
			for _, b := range told {
				got += b.used
				ledgers[i].heard(b, &said{ok: true, left: 10}, 1)
			}
			if got != want {
				t.Errorf("limit %d: %v is told, want %v", i, got, want)
			}
		}
		if left := a.Questions[0].Result.Remaining; left != 8 && (ok || second.Observe) || left != 10 && !ok && !second.Observe {
			t.Errorf("%d left of the first", left)
		}
		ReleaseAsk(a)
	}
	f(Question{Cost: 1}, Question{Cost: 3}, true, 0, 0, 0)
	f(Question{Cost: 1}, Question{Cost: 3}, false, -2, 0, -3)
	f(Question{Cost: 1}, Question{Cost: 3, Peek: true}, false, -2, 0, 0)
	f(Question{Cost: 1, Observe: true}, Question{Cost: 3}, false, 0, 0, 0)
}

// TestToldAgain: what got no answer is told again with what came since; what was forgotten meanwhile is no matter.
func TestToldAgain(t *testing.T) {
	link := NewLink(&Config{}, slog.New(slog.DiscardHandler))
	link.up.Store(true)
	w := NewLedger(link, "x", NewGCRA(1, 24*time.Hour, 100), 100, 50, time.Minute)
	k := bucket.Key{1, 2}
	expect := func(used float64) []report {
		t.Helper()
		b := w.collect(1)
		if len(b) != 1 || b[0].used != used {
			t.Fatalf("%v is told, want %v", b, used)
		}
		return b
	}
	w.TryCharge(k, 1, 3)
	b := expect(3)
	w.TryCharge(k, 1, 2) // while that is on its way
	w.heard(b[0], nil, 1)
	b = expect(5)
	w.TryCharge(k, 1, 4)
	w.heard(b[0], &said{ok: true, left: 60}, 1)
	if got := w.Peek(k, 1, 1); got.Remaining != 56 {
		t.Errorf("%+v, want what the server says less what it does not know", got)
	}
	b = expect(4)
	w.Set(NewGCRA(1, 24*time.Hour, 2), 50, time.Minute) // owes no more than 2, and what is on its way
	w.Charge(k, 1, 2)
	w.heard(b[0], &said{ok: true, left: 0}, 1)
	b = expect(2)
	w.heard(b[0], &said{ok: true, left: 0, full: time.Hour}, 1)
	if spent, _ := w.Reset(k, 1); !spent {
		t.Error("nothing was spent")
	}
	w.tidy(1 << 62)
	if n := w.Keys(1); n != 0 {
		t.Errorf("%d keys", n)
	}
	w.heard(b[0], &said{ok: true, left: 1}, 1)
	w.heard(b[0], nil, 1)
	if n := w.Keys(1); n != 0 || len(w.collect(1)) > 0 {
		t.Errorf("an answer about a key that was forgotten makes %d keys", n)
	}
}

// TestDoubt: a refusal goes by what the server said last until that is old, also when the request began before it was said.
func TestDoubt(t *testing.T) {
	link := NewLink(&Config{}, slog.New(slog.DiscardHandler))
	link.up.Store(true)
	w := NewLedger(link, "x", NewGCRA(1, 24*time.Hour, 5), 100, 50, time.Minute)
	k, now := bucket.Key{1, 2}, int64(100*time.Second)
	w.TryCharge(k, now, 5)
	b := w.collect(now)
	w.heard(b[0], &said{ok: true, full: time.Hour}, now)
	for _, after := range []time.Duration{0, time.Second, -time.Second, -time.Minute, (doubt - 1) * time.Second, doubt * time.Second} {
		if got := w.TryCharge(k, now+int64(after), 1); got.OK {
			t.Errorf("%v later: %+v", after, got)
		}
		if asks := len(w.collect(now+int64(after))) > 0; asks != (after == doubt*time.Second) {
			t.Errorf("%v after the server was heard it is asked: %v", after, asks)
		}
	}
}

// TestReadConfig: mistakes of [redis] are told where they are.
func TestReadConfig(t *testing.T) {
	read := func(keys string) (*Config, string) {
		file := config.Parse("t.toml", []byte("[redis]\n"+keys), config.Options{})
		c := ReadConfig(file.Root.Child("redis"))
		return c, file.Finish().Error()
	}
	f := func(keys, want string) {
		t.Helper()
		if _, errs := read(keys); want == "" && errs != "" || !strings.Contains(errs, want) {
			t.Errorf("%s: %q, want %q", keys, errs, want)
		}
	}
	const two = "address = [\"a:1\", \"b:1\"]\n"
	f(`address = "127.0.0.1:6379"`, "")
	f(`address = "unix:/run/redis"`, "")
	f(two+"cluster = true", "")
	f(two+"sentinel = { master = \"m\" }", "")
	f("", "t.toml:1:1: redis.address")
	f("address = []", "")
	f(`address = "a"`, "t.toml:2:11: redis.address")
	f(`address = ["a:1", 7]`, "t.toml:2:19: redis.address[2]: must be a host and a port")
	f(`address = "a:70000"`, "redis.address")
	f(two, "several addresses are those of a cluster")
	f(two+"cluster = true\nsentinel = { master = \"m\" }", "a cluster has no sentinels")
	f(two+"cluster = true\ndatabase = 1", "database 0 alone")
	f("address = \"a:1\"\nprefix = \"{x}\"", "braces")
	f("address = \"a:1\"\ndatabase = -1", "redis.database")
	f("address = \"a:1\"\nsentinel = { }", "redis.sentinel.master")
	f("address = \"a:1\"\nconnect_timeout = \"1ms\"", "redis.connect_timeout")
	f("address = \"a:1\"\nprefixx = \"p\"", "did you mean")
	prints := map[string]string{}
	for _, keys := range []string{`address = "a:1"`, `address = "b:1"`, two + "cluster = true", two + "sentinel = { master = \"m\" }",
		two + "sentinel = { master = \"n\" }", two + "sentinel = { master = \"n\", password = \"p\" }", "address = \"a:1\"\npassword = \"p\"",
		"address = \"a:1\"\nusername = \"p\"", "address = \"a:1\"\ndatabase = 1", "address = \"a:1\"\nprefix = \"q:\"",
		"address = \"a:1\"\nconnect_timeout = \"2s\"", "address = \"a:1\"\ntls = { enabled = true }",
		"address = \"a:1\"\ntls = { enabled = true, server_name = \"b\" }"} {
		c, errs := read(keys)
		if errs != "" {
			t.Fatal(errs)
		}
		if same, _ := read(keys); same.Fingerprint() != c.Fingerprint() || prints[c.Fingerprint()] != "" {
			t.Errorf("%q has the fingerprint of %q", keys, prints[c.Fingerprint()])
		}
		prints[c.Fingerprint()] = keys
	}
}
