//go:build !race

package breaker

import (
	"testing"
	"time"
)

// A call allocates nothing, whatever the state; only a change of state may.
func TestAllocCall(t *testing.T) {
	f := func(state State, change func(*Config), bring func(b *Breaker, now int64)) {
		t.Helper()
		c := plain()
		c.ErrorPercent = 99
		change(c)
		b := New(c, nil)
		now := second
		if bring != nil {
			for range 10 {
				b.Done(now, b.Admit(now), true, 0)
			}
			now += int64(c.OpenFor) - ms
			bring(b, now)
		}
		n := 0
		if allocs := testing.AllocsPerRun(1000, func() {
			now, n = now+1, n+1
			switch p := b.Admit(now); {
			case p == Refused:
			case state == HalfOpen || n%5 == 0:
				b.Cancel(p)
			default:
				b.Done(now, p, n%4 == 0, time.Duration(n%2)*time.Second)
			}
		}); allocs != 0 {
			t.Errorf("%v: %v allocations a call", state, allocs)
		}
		if b.State() != state {
			t.Errorf("the breaker is %v, want %v", b.State(), state)
		}
	}
	f(Closed, func(*Config) {}, nil)
	f(Closed, func(c *Config) { c.SlowCall, c.SlowPercent, c.ConsecutiveErrors = time.Second, 99, 99 }, nil)
	f(Open, func(*Config) {}, func(*Breaker, int64) {})
	f(HalfOpen, func(*Config) {}, func(b *Breaker, now int64) { b.Trial(now) })
	f(Recovering, func(*Config) {}, func(b *Breaker, now int64) {
		b.Trial(now)
		b.Done(now, b.Admit(now), false, 0)
		b.Done(now, b.Admit(now), false, 0)
	})
}
