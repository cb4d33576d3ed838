//go:build !race

package poll

import (
	"testing"
	"time"

	"github.com/penstock-edge/penstock/edge/lib/clock"
)

func TestNoAllocations(t *testing.T) {
	s, h, far := pair(t)
	h.quiet = true
	buf, out := make([]byte, 16), []byte("ping")
	if n := testing.AllocsPerRun(1000, func() {
		s.SetDue(clock.Now() + int64(time.Hour))
		if !s.Await() {
			t.Fatal("not on Await")
		}
		if _, err := far.Write(out); err != nil {
			t.Fatal(err)
		}
		<-h.calls
		if n, err := s.TryRead(buf); n != len(out) || err != nil {
			t.Fatal(n, err)
		}
		if n, err := s.TryWriteBoth(buf[:3], buf[3:4]); n != 4 || err != nil {
			t.Fatal(n, err)
		}
		if _, err := far.Read(buf); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("the loop: %v allocations", n)
	}
	if n := testing.AllocsPerRun(1000, func() {
		_ = s.SetReadDeadline(time.Now().Add(time.Hour))
		if _, err := far.Write(out); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Read(buf); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("a goroutine: %v allocations", n)
	}
}
