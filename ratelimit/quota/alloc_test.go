//go:build !race

package quota

import (
	"testing"
	"time"
	"unsafe"
)

func TestAlloc(t *testing.T) {
	s := memory(t, 1000)
	at := moment(t, "2026-02-03 04:05")
	r := &Rule{Limit: 1500, Period: Month, Zone: zoneOf(t, "Europe/Berlin")}
	known, unknown := key(1), key(2)
	s.TryCharge(known, at, 1, r)
	if n := testing.AllocsPerRun(1000, func() {
		at += int64(time.Second)
		s.TryCharge(known, at, 2, r)
		s.Peek(known, at, 1, r)
		s.Peek(unknown, at, 1, r)
		s.TryCharge(unknown, at, 2000, r)
		s.Charge(known, at, -1, r)
		s.Charge(unknown, at, -1, r)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestEntrySize(t *testing.T) {
	if n := unsafe.Sizeof(entry{}); n > entryBytes || n <= 32 {
		t.Errorf("an entry takes %d bytes, want those of the size class %d", n, entryBytes)
	}
	if n := unsafe.Sizeof(line{}); n != 64 {
		t.Errorf("a line takes %d bytes, want 64", n)
	}
}
