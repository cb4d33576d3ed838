package capacity

import (
	"testing"
	"time"
)

func TestOthers(t *testing.T) {
	if got := processTime("cpu  100 20 30 4000 5 6 7 8 0 0\ncpu0 1 2 3\n"); got != 1500*time.Millisecond {
		t.Errorf("%v", got)
	}
	if got := processTime(""); got != 0 {
		t.Errorf("%v", got)
	}
	f := func(machine, ours, took time.Duration, want float64) {
		t.Helper()
		start := usage{time.Hour, time.Minute, time.Unix(1000, 0)}
		end := usage{start.machine + machine, start.ours + ours, start.at.Add(took)}
		if got := end.others(start); got != want {
			t.Errorf("%v of %v in %v: %g, want %g", ours, machine, took, got, want)
		}
	}
	f(time.Second, 500*time.Millisecond, time.Second, .5)
	f(2*time.Second, 2*time.Second, time.Second, 0)
	f(time.Second, 1100*time.Millisecond, time.Second, 0)
	f(time.Second, 0, 0, 0)
	if u := readUsage(); u.machine <= 0 || u.ours <= 0 {
		t.Errorf("%+v", u)
	}
}
