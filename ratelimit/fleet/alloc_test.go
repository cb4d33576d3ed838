//go:build !race

package fleet

import (
	"log/slog"
	"testing"
	"time"

	"github.com/penstock-edge/penstock/ratelimit/bucket"
)

func TestAllocLedger(t *testing.T) {
	link := NewLink(&Config{}, slog.New(slog.DiscardHandler))
	link.up.Store(true)
	w := NewLedger(link, "x", NewGCRA(1000, time.Second, 1000), 1000, 1000, time.Second)
	k, text := HashKey([]byte("a")), []byte("192.0.2.1")
	f := func(name string, work func()) {
		t.Helper()
		if n := testing.AllocsPerRun(1000, work); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
	now := int64(1)
	f("Take", func() { now += 1e6; w.TryCharge(k, now, 1) })
	f("Peek", func() { w.Peek(k, now, 1) })
	f("Charge", func() { w.Charge(k, now, -1) })
	f("HashKey", func() { sink = HashKey(text) })
}

var sink bucket.Key
