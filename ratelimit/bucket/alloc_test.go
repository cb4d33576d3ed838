//go:build !race

package bucket

import (
	"testing"
	"time"
)

func TestAllocTryCharge(t *testing.T) {
	g := NewGCRA(1000, true, Rate{100, time.Second, 10})
	w := NewWindow(1000, false, 100, time.Second)
	c := NewConcurrency()
	b := []byte("1.2.3.4")
	i := 0
	if n := testing.AllocsPerRun(1000, func() {
		b[0] = byte(i)
		i++
		k := HashKey(1, b)
		g.TryCharge(k, int64(i), 1)
		g.Charge(k, int64(i), -1)
		w.TryCharge(k, int64(i), 1)
		if ok, _ := c.Acquire(k, 3); ok {
			c.Release(k)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
