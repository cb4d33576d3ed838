package breaker

import (
	"sync/atomic"
	"testing"
	"time"
)

// brought is a breaker in a state that lasts, and the time.
func brought(b *testing.B, to State) (*Breaker, int64) {
	c := plain()
	c.OpenFor, c.MaxOpenFor, c.Recovery = time.Hour, time.Hour, time.Hour
	k, now := New(c, nil), second
	if to >= Open {
		for range 10 {
			k.Done(now, k.Admit(now), true, 0)
		}
	}
	if to >= HalfOpen {
		k.Trial(now)
	}
	if to == Recovering {
		k.Done(now, k.Admit(now), false, 0)
		k.Done(now, k.Admit(now), false, 0)
		now += int64(time.Hour) / 2
	}
	if k.State() != to {
		b.Fatalf("the breaker is %v, want %v", k.State(), to)
	}
	return k, now
}

func BenchmarkAdmit(b *testing.B) {
	for _, state := range []State{Closed, Open, HalfOpen, Recovering} {
		b.Run(state.String(), func(b *testing.B) {
			k, now := brought(b, state)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					k.Admit(now)
				}
			})
		})
	}
}

// Done, a call a microsecond. The calls that fail are too few to open the breaker, but each of them asks.
func BenchmarkDone(b *testing.B) {
	f := func(name string, failing int) {
		b.Run(name, func(b *testing.B) {
			k, now := brought(b, Closed)
			p := k.Admit(now)
			for i := 0; b.Loop(); i++ {
				now += 1000
				k.Done(now, p, i*37%100 >= 100-failing, 0)
			}
			if k.State() != Closed {
				b.Fatal("it has opened")
			}
		})
	}
	f("good", 0)
	f("one in a hundred fails", 1)
	f("four in ten fail", 40)
}

func BenchmarkCallParallel(b *testing.B) {
	k := New(plain(), nil)
	var callers atomic.Int64
	b.RunParallel(func(pb *testing.PB) {
		now := second + callers.Add(1)
		for pb.Next() {
			now += 1000
			k.Done(now, k.Admit(now), false, 0)
		}
	})
}
