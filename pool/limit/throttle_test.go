package limit

import (
	"math"
	"testing"
	"time"
)

func admission() *AdmissionConfig {
	return &AdmissionConfig{Enabled: true, K: 2, Window: 16 * time.Second, MinRequests: 20, MaxPercent: 90}
}

func (t *Throttle) count(requests, accepts int) {
	for range requests {
		t.Request(0)
	}
	for range accepts {
		t.Accept(1)
	}
}

func TestThrottleChance(t *testing.T) {
	f := func(k float64, requests, accepts int, want float64) {
		t.Helper()
		c := admission()
		c.K = k
		th := NewThrottle(c)
		th.Tick(0)
		th.count(requests, accepts)
		th.Tick(int64(100 * time.Millisecond))
		if got := th.Snapshot().RefusePercent; math.Abs(got-want) > 0.01 {
			t.Errorf("k %v, %d of %d accepted: refuses %v %%, want %v %%", k, accepts, requests, got, want)
		}
	}
	f(2, 0, 0, 0)
	f(2, 19, 0, 0) // too few to judge by
	f(2, 99, 99, 0)
	f(2, 99, 50, 0) // half may fail
	f(2, 99, 49, 1)
	f(2, 99, 25, 49)
	f(2, 99, 5, 89)
	f(2, 99, 0, 90) // some always pass
	f(1.1, 99, 90, 0)
	f(1.1, 99, 80, 11)
	f(4, 99, 20, 19)
	f(2, 20, 25, 0) // accepts of requests that came before the window
}

// What is older than the window, give or take a slot, does not count, whatever the clock says at first.
func TestThrottleWindow(t *testing.T) {
	f := func(begin time.Duration, step, pass time.Duration, want bool) {
		t.Helper()
		th, now := NewThrottle(admission()), begin
		th.Tick(int64(now))
		th.count(100, 0)
		for end := now + pass; now < end; {
			now += step
			th.Tick(int64(now))
		}
		if got := th.Snapshot().RefusePercent > 0; got != want {
			t.Errorf("from %v by %v, after %v: throttles %v, want %v", begin, step, pass, got, want)
		}
	}
	for _, begin := range []time.Duration{0, time.Millisecond, 3 * time.Second, 47*time.Second + 1, 1e6 * time.Hour} {
		f(begin, 100*time.Millisecond, time.Second, true)
		f(begin, 100*time.Millisecond, 15*time.Second, true)
		f(begin, 100*time.Millisecond, 17*time.Second, false)
		f(begin, 7*time.Second, 14*time.Second, true)
		f(begin, 7*time.Second, 21*time.Second, false)
		f(begin, time.Hour, time.Hour, false)
	}
}

// Another window begins with what the old one held, and forgets it in its own time.
func TestThrottleOtherWindow(t *testing.T) {
	f := func(from, to time.Duration) {
		t.Helper()
		c := admission()
		c.Window = from
		th, now := NewThrottle(c), 1000*time.Second
		th.Tick(int64(now))
		th.count(100, 0)
		now += 100 * time.Millisecond
		th.Tick(int64(now))
		other := *c
		other.Window = to
		th.Configure(&other)
		for _, want := range []bool{true, true, false} {
			if got := th.Snapshot().RefusePercent > 0; got != want {
				t.Errorf("window %v, before %v, at %v: throttles %v, want %v", to, from, now, got, want)
			}
			for end := now + to*8/10; now < end; {
				now += to / 50
				th.Tick(int64(now))
			}
		}
	}
	f(16*time.Second, 160*time.Second)
	f(160*time.Second, 16*time.Second)
	f(time.Second, 10*time.Minute)
	f(10*time.Minute, time.Second)
}

func TestThrottleSwitchedOff(t *testing.T) {
	th := NewThrottle(admission())
	f := func(enabled bool, want float64) {
		t.Helper()
		c := admission()
		c.Enabled = enabled
		th.Configure(c)
		if !enabled && th.Refuse(ClassSheddable) {
			t.Error("refuses though it is switched off")
		}
		th.count(99, 0)
		th.Tick(int64(time.Second))
		if got := th.Snapshot().RefusePercent; math.Abs(got-want) > 0.01 {
			t.Errorf("enabled %v: refuses %v %%, want %v %%", enabled, got, want)
		}
	}
	th.Tick(0)
	f(true, 90)
	f(false, 0)
	f(true, 90) // what was counted meanwhile counts
}

func TestThrottleRefuse(t *testing.T) {
	f := func(percent float64, class Class, want float64) {
		t.Helper()
		th, refused := NewThrottle(admission()), 0
		th.chance.Store(uint32(65536 * percent / 100))
		const n = 20_000
		for range n {
			if th.Refuse(class) {
				refused++
			}
		}
		p := want / 100
		if d := float64(refused) - n*p; math.Abs(d) > 6*math.Sqrt(n*p*(1-p)) {
			t.Errorf("chance %v %%, class %d: %d of %d refused, want about %v %%", percent, class, refused, n, want)
		}
	}
	for class := range classes {
		f(0, class, 0)
	}
	f(40, ClassDefault, 40)
	f(40, ClassCritical, 20)
	f(40, ClassSheddable, 80)
	f(90, ClassDefault, 90)
	f(90, ClassCritical, 45)
	f(90, ClassSheddable, 99) // some always pass
}

func TestThrottleConcurrent(t *testing.T) {
	th := NewThrottle(admission())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for n := range int64(2000) {
			th.Tick(n * int64(time.Millisecond))
			th.Configure(admission())
			_ = th.Snapshot() // only for the race detector
		}
	}()
	for n := range 2000 {
		if !th.Refuse(Class(n % int(classes))) {
			th.Request(uint32(n))
			th.Accept(uint32(n))
		}
	}
	<-done
	if th.requests.Sum() != 2000 {
		t.Fatalf("%d counted though all were accepted", th.requests.Sum())
	}
}
