package poll

import (
	"testing"

	"pgregory.net/rapid"
)

// A list that is looked through each time is the slow twin of the wheel: what is due is told at its tick or
// the next, never before, and nothing that was moved or taken out is reported.
func TestWheelAgainstList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := rapid.Int64Range(1, 1e15).Draw(t, "start")
		var w wheel
		w.init(now)
		socks := make([]*Socket, 8)
		for i := range socks {
			socks[i] = &Socket{}
		}
		due := map[*Socket]int64{}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			s := socks[rapid.IntRange(0, len(socks)-1).Draw(t, "socket")]
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0, 1:
				at := now + rapid.Int64Range(0, 100*slots*tick/50).Draw(t, "due")
				s.due.Store(at)
				due[s] = at
				if held := s.tick.Load(); held == 0 || held > (at+tick-1)/tick {
					w.put(s, at)
				}
			case 2:
				s.due.Store(0)
				delete(due, s)
			case 3:
				now += rapid.Int64Range(0, 3*slots*tick/2).Draw(t, "pass")
			}
			if rest := w.rest(now); len(due) > 0 && rest < 0 {
				t.Fatal("the loop may sleep for ever, and something is due")
			}
			for s := w.expired(now); s != nil; s = w.expired(now) {
				if at, ok := due[s]; !ok || at > now {
					t.Fatalf("told at %d, due at %d", now, at)
				}
				delete(due, s)
			}
			for s, at := range due {
				if at+tick <= now {
					t.Fatalf("due at %d, not told at %d", at, now)
				}
				if s.tick.Load() == 0 {
					t.Fatal("something is due that the wheel does not hold")
				}
			}
		}
	})
}
