package breaker

import (
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	ms     = int64(time.Millisecond)
	second = int64(time.Second)
)

// plain are settings of which a test changes what it is about.
func plain() *Config {
	return &Config{ErrorPercent: 50, Window: 10 * time.Second, MinRequests: 10, OpenFor: 5 * time.Second,
		MaxOpenFor: 60 * time.Second, Probes: 2, Recovery: 4 * time.Second}
}

// bench drives a breaker by hand.
type bench struct {
	*Breaker
	t       *testing.T
	now     int64
	changes []string
}

func newBench(t *testing.T, c *Config) *bench {
	b := &bench{t: t, now: second}
	b.Breaker = New(c, func(from, to State, why string) {
		b.changes = append(b.changes, from.String()+" "+to.String()+": "+why)
	})
	return b
}

// call makes one call and reports whether it was let in.
func (b *bench) call(failed bool, took time.Duration) bool {
	p := b.Admit(b.now)
	if p == Refused {
		return false
	}
	b.Done(b.now, p, failed, took)
	return true
}

func (b *bench) want(s State) {
	b.t.Helper()
	if got := b.State(); got != s {
		b.t.Fatalf("the breaker is %v, want %v; changes %v", got, s, b.changes)
	}
}

// open makes it open.
func (b *bench) open() {
	b.t.Helper()
	for range 10 {
		b.call(true, 0)
	}
	b.want(Open)
}

func TestOpens(t *testing.T) {
	type calls struct {
		n      int
		failed bool
		took   time.Duration
	}
	good, bad, slow := false, true, 3*time.Second
	f := func(name string, change func(*Config), want State, why string, all ...calls) {
		t.Helper()
		c := plain()
		change(c)
		b := newBench(t, c)
		for _, k := range all {
			for range k.n {
				b.call(k.failed, k.took)
			}
		}
		if got := b.State(); got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
		if want == Open && !strings.HasSuffix(b.changes[0], why) {
			t.Errorf("%s: %q, want %q", name, b.changes[0], why)
		}
	}
	none := func(*Config) {}
	slowOnly := func(c *Config) { c.ErrorPercent, c.SlowCall, c.SlowPercent = 0, 2*time.Second, 40 }
	inARow := func(c *Config) { c.ErrorPercent, c.ConsecutiveErrors = 0, 4 }
	f("half fail", none, Open, "50 % of 10 requests failed", calls{5, good, 0}, calls{5, bad, 0})
	f("less fail", none, Closed, "", calls{6, good, 0}, calls{4, bad, 0})
	f("too few to say", none, Closed, "", calls{9, bad, 0})
	f("slow ones do not count", none, Closed, "", calls{100, good, slow})
	f("slow", slowOnly, Open, "40 % of 10 requests took longer than 2s", calls{6, good, 0}, calls{4, good, slow})
	f("not slow enough", slowOnly, Closed, "", calls{7, good, 0}, calls{3, good, slow})
	f("errors do not count", slowOnly, Closed, "", calls{100, bad, 0})
	f("in a row", inARow, Open, "4 errors in a row", calls{1, good, 0}, calls{4, bad, 0})
	f("not in a row", inARow, Closed, "", calls{3, bad, 0}, calls{1, good, 0}, calls{3, bad, 0})
}

// Calls that are older than the window do not count.
func TestWindowPasses(t *testing.T) {
	b := newBench(t, plain())
	for range 9 {
		b.call(true, 0)
	}
	b.now += 11 * second
	for range 9 {
		b.call(false, 0)
	}
	b.call(true, 0)
	b.want(Closed)
	if s := b.Snapshot(b.now); s.Requests != 10 || s.ErrorPercent != 10 {
		t.Errorf("%d requests, %v %% errors in the window", s.Requests, s.ErrorPercent)
	}
	if s := b.Snapshot(b.now + 9*second); s.Requests != 10 {
		t.Errorf("%d requests in the window nine tenths later", s.Requests)
	}
	if s := b.Snapshot(b.now + 10*second); s.Requests != 0 || s.ErrorPercent != 0 {
		t.Errorf("%d requests, %v %% errors a window later", s.Requests, s.ErrorPercent)
	}
}

func TestLife(t *testing.T) {
	b := newBench(t, plain())
	b.open()
	if b.call(false, 0) {
		t.Error("an open breaker lets a call in")
	}
	b.now += 5*second - 1
	if b.call(false, 0) || b.Ripe(b.now) || !b.Ripe(b.now+1) {
		t.Error("it is tried too early")
	}
	if s := b.RetryAfter(b.now); s != 1 {
		t.Errorf("Retry-After %d", s)
	}
	b.now++
	one, two := b.Admit(b.now), b.Admit(b.now)
	if one == Refused || two == Refused || b.Admit(b.now) != Refused {
		t.Error("want two probes and no third")
	}
	b.want(HalfOpen)
	b.Done(b.now, one, false, 0)
	b.want(HalfOpen)
	b.Done(b.now, two, false, 0)
	b.want(Recovering)

	passed := func() (n int) {
		for range 1000 {
			if b.call(false, 0) {
				n++
			}
		}
		return n
	}
	f := func(at int64, low, high int) {
		t.Helper()
		began := b.now
		defer func() { b.now = began }()
		b.now += at * ms
		if n := passed(); n < low || n > high {
			t.Errorf("%d ms into the recovery %d of 1000 calls pass", at, n)
		}
	}
	f(0, 50, 150)
	f(1000, 190, 310)
	f(2000, 440, 560)
	f(3600, 860, 940)
	b.want(Recovering)
	b.now += 4 * second
	if n := passed(); n != 1000 {
		t.Errorf("%d of 1000 calls pass after the recovery", n)
	}
	b.want(Closed)
	want := []string{"closed open: 100 % of 10 requests failed", "open half_open: its time is over",
		"half_open recovering: probes succeeded", "recovering closed: it has recovered"}
	if !slices.Equal(b.changes, want) {
		t.Errorf("changes %q", b.changes)
	}
}

// Each probe that fails makes the time longer, until it has been closed.
func TestOpensLongerAndLonger(t *testing.T) {
	c := plain()
	c.Recovery = 0
	b := newBench(t, c)
	b.open()
	for _, want := range []int64{5, 10, 20, 40, 60, 60} {
		b.now += want*second - 1
		if b.Admit(b.now) != Refused {
			t.Fatalf("tried before %d s", want)
		}
		b.now++
		if !b.call(true, 0) {
			t.Fatalf("not tried after %d s", want)
		}
		b.want(Open)
	}
	b.now += 60 * second
	b.call(false, 0)
	b.call(false, 0)
	b.want(Closed)
	b.open()
	b.now += 5 * second
	if !b.call(false, 0) {
		t.Error("after it has been closed it opens for the first time again")
	}
}

// It opens again when calls fail in its recovery.
func TestRecoveryFails(t *testing.T) {
	b := newBench(t, plain())
	b.open()
	b.now += 5 * second
	b.call(false, 0)
	b.call(false, 0)
	b.want(Recovering)
	b.now += 2 * second
	for range 1000 {
		b.call(true, 0)
	}
	b.want(Open)
}

// A slow probe is no success when slow calls count.
func TestSlowProbe(t *testing.T) {
	c := plain()
	c.SlowCall, c.SlowPercent = time.Second, 50
	b := newBench(t, c)
	b.open()
	b.now += 5 * second
	b.call(false, 2*time.Second)
	b.want(Open)
}

// Results that come after a change of state say nothing.
func TestLateResults(t *testing.T) {
	b := newBench(t, plain())
	late := b.Admit(b.now)
	b.open()
	b.now += 5 * second
	one := b.Admit(b.now)
	b.Done(b.now, late, true, 0) // of the time before
	b.want(HalfOpen)
	b.Cancel(late)
	b.Cancel(one)
	for range 2 { // the place of the one that was called off is free
		if !b.call(false, 0) {
			t.Fatal("a probe that was called off keeps its place")
		}
	}
	b.want(Recovering)
	b.Done(b.now, one, true, 0)
	b.want(Recovering)
}

// Probes that never come back do not keep a breaker half open for ever.
func TestLostProbes(t *testing.T) {
	b := newBench(t, plain())
	b.open()
	b.now += 5 * second
	b.Admit(b.now)
	b.Admit(b.now)
	b.now += 5*second - 1
	if b.Admit(b.now) != Refused {
		t.Error("a third probe")
	}
	b.now++
	b.call(false, 0)
	b.call(false, 0)
	b.want(Recovering)
}

// What had succeeded before others were lost still counts. There is one round of others, not one a caller.
func TestLostProbesAmongGoodOnes(t *testing.T) {
	c := plain()
	c.Probes = 1
	b := newBench(t, c)
	b.open()
	for range 3 {
		b.now += 5 * second
		if b.Admit(b.now) == Refused || b.Admit(b.now) != Refused {
			t.Fatal("want one probe each time")
		}
	}
	c = plain()
	c.Probes = 3
	b = newBench(t, c)
	b.open()
	b.now += 5 * second
	b.call(false, 0)
	for b.Admit(b.now) != Refused {
	}
	b.now += 5 * second
	b.call(false, 0)
	b.want(HalfOpen)
	b.call(false, 0)
	b.want(Recovering)
}

// Errors of the time before it opened are not part of a row.
func TestRowEnds(t *testing.T) {
	c := plain()
	c.ErrorPercent, c.ConsecutiveErrors, c.Recovery, c.Probes = 0, 3, 0, 1
	b := newBench(t, c)
	b.open()
	b.now += 5 * second
	b.call(false, 0)
	b.want(Closed)
	b.call(true, 0)
	b.call(true, 0)
	b.want(Closed)
	b.call(true, 0)
	b.want(Open)
}

// Trial lets probes in at once; it does nothing to a breaker that is not open.
func TestTrial(t *testing.T) {
	b := newBench(t, plain())
	b.Trial(b.now)
	b.want(Closed)
	b.open()
	b.Trial(b.now)
	b.want(HalfOpen)
	if !b.call(false, 0) {
		t.Error("no probe is let in")
	}
}

// Settings change without the state.
func TestConfigure(t *testing.T) {
	b := newBench(t, plain())
	for range 9 {
		b.call(true, 0)
	}
	b.Configure(plain())
	b.call(true, 0)
	b.want(Open)
	c := plain()
	c.Probes = 1
	c.Recovery = 0
	b.Configure(c)
	b.now += 5 * second
	b.call(false, 0)
	b.want(Closed)
}

// A half-open breaker whose places are all taken goes by new settings at once.
func TestConfigureHalfOpen(t *testing.T) {
	c := plain()
	c.Probes = 1
	b := newBench(t, c)
	b.open()
	b.now += 5 * second
	if b.Admit(b.now) == Refused || b.Admit(b.now) != Refused {
		t.Fatal("there is one place")
	}
	b.Configure(plain())
	if b.Admit(b.now) == Refused || b.Admit(b.now) != Refused {
		t.Error("there are two places now, one of them free")
	}
	sooner := *plain()
	sooner.OpenFor = time.Second
	b.Configure(&sooner)
	b.now += second
	if b.Admit(b.now) == Refused {
		t.Error("probes are given up after a second now")
	}
}

// Tenths of another window have other numbers: what was counted by the old ones must not come up later.
func TestConfigureWindow(t *testing.T) {
	b := newBench(t, plain())
	b.now = 20 * second
	for range 9 {
		b.call(true, 0)
	}
	c := plain()
	c.Window = 100 * time.Second
	b.Configure(c)
	b.now = 200 * second // in the tenth 20, as before
	b.call(true, 0)
	b.want(Closed)
	if s := b.Snapshot(b.now); s.Requests != 1 {
		t.Errorf("%d requests", s.Requests)
	}
}

func TestSnapshot(t *testing.T) {
	b := newBench(t, plain())
	if s := b.Snapshot(b.now); s.State != "closed" || s.Since != nil || s.Opened != 0 {
		t.Errorf("%+v", s)
	}
	b.open()
	b.now += second
	s := b.Snapshot(b.now)
	if s.State != "open" || s.Since == nil || s.Opened != 1 || s.RetryIn != 4 || s.Why == "" {
		t.Errorf("%+v", s)
	}
}

// However far apart open_for and max_open_for are, the time grows up to the second.
func TestOpenFor(t *testing.T) {
	f := func(first, most time.Duration, n int, want time.Duration) {
		t.Helper()
		c := &Config{OpenFor: first, MaxOpenFor: most}
		if got := time.Duration(c.openFor(n)); got != want {
			t.Errorf("%v up to %v, time %d: %v, want %v", first, most, n, got, want)
		}
	}
	f(5*time.Second, time.Minute, 1, 5*time.Second)
	f(5*time.Second, time.Minute, 4, 40*time.Second)
	f(5*time.Second, time.Minute, 5, time.Minute)
	f(10*time.Millisecond, 24*time.Hour, 24, 23*time.Hour+18*time.Minute+6*time.Second+80*time.Millisecond)
	f(10*time.Millisecond, 24*time.Hour, 25, 24*time.Hour)
	f(time.Hour, 24*time.Hour, 1_000_000_000, 24*time.Hour)
	f(time.Minute, time.Second, 3, time.Minute) // only files are validated
}

// Refused gives nothing back.
func TestRefusedIsNoPermit(t *testing.T) {
	c := plain()
	c.ConsecutiveErrors = 1
	b := newBench(t, c)
	b.Done(b.now, Refused, true, 0)
	b.Cancel(Refused)
	b.want(Closed)
	if s := b.Snapshot(b.now); s.Requests != 0 {
		t.Errorf("%d requests", s.Requests)
	}
}

// A call of the recovery that ends after it is one of the time before.
func TestLateRecovery(t *testing.T) {
	c := plain()
	c.ConsecutiveErrors = 1
	b := newBench(t, c)
	b.open()
	b.now += 5 * second
	b.call(false, 0)
	b.call(false, 0)
	b.want(Recovering)
	b.now += 4*second - 1
	late := Refused
	for late == Refused {
		late = b.Admit(b.now)
	}
	b.now++
	b.call(false, 0)
	b.want(Closed)
	b.Done(b.now, late, true, 0)
	b.want(Closed)
}

// Fewer probes than have succeeded already are enough, by the next one.
func TestFewerProbes(t *testing.T) {
	c := plain()
	c.Probes = 3
	b := newBench(t, c)
	b.open()
	b.now += 5 * second
	b.call(false, 0)
	b.call(false, 0)
	b.want(HalfOpen)
	b.Configure(plain())
	b.call(false, 0)
	b.want(Recovering)
}

// A lost probe that comes back counts as one, but leaves no place: that was given to another.
func TestLostProbeReturns(t *testing.T) {
	b := newBench(t, plain())
	b.open()
	b.now += 5 * second
	lost, alsoLost := b.Admit(b.now), b.Admit(b.now)
	b.now += 5 * second
	more := 0
	for b.Admit(b.now) != Refused {
		more++
	}
	if more != 2 {
		t.Fatalf("%d more probes, want 2", more)
	}
	b.Done(b.now, lost, false, 0)
	if b.Admit(b.now) != Refused {
		t.Error("three are under way")
	}
	b.Done(b.now, alsoLost, false, 0)
	b.want(Recovering)
}

func TestRetryAfter(t *testing.T) {
	b := newBench(t, plain())
	f := func(after, want int64) {
		t.Helper()
		if got := b.RetryAfter(b.now + after); int64(got) != want {
			t.Errorf("%d ns later: %d s, want %d", after, got, want)
		}
	}
	f(0, 1)
	b.open()
	f(0, 5)
	f(1, 5)
	f(second, 4)
	f(5*second-1, 1)
	f(7*second, 1) // nobody has asked yet
	b.now += 5 * second
	b.Admit(b.now)
	f(0, 1)
}
