package metric

import (
	"strings"
	"testing"
	"time"
)

// A panic over a bad label leaves the registry as it was.
func TestAfterMisuse(t *testing.T) {
	r := NewRegistry()
	s := r.Scope()
	func() {
		defer func() { _ = recover() }()
		s.Gauge("g", "G.", "le", "1")
	}()
	s.Gauge("g", "G.").Add(0, 1)
	if s.Gauge("g", "G.").Sum() != 1 || values(t, r) != "g 1\n" {
		t.Errorf("got %q", values(t, r))
	}
}

func TestPrepared(t *testing.T) {
	r := NewRegistry()
	s, u := r.Scope(), r.Scope()
	c := s.Counters("c_total", "C.", "b", "a")
	h := s.Histograms("h_seconds", "H.", []time.Duration{time.Second}, "b")
	rows := s.CounterRows("r_total", "R.", []string{"a", "b"}, []string{"1xx", "2\"x"})
	alone := s.CounterRows("s_total", "S.", []string{"a"}, []string{"x", "y"})
	if got := write(t, r); got != "" {
		t.Errorf("before the first series: %s", got)
	}
	c.With("2", "1\\").Add(0, 5)
	if c.With("2", "1\\") != u.Counter("c_total", "C.", "a", "1\\", "b", "2") {
		t.Error("another counter")
	}
	h.With("1").Observe(0, time.Second)
	if h.With("1") != u.Histogram("h_seconds", "H.", []time.Duration{time.Second}, "b", "1") {
		t.Error("another histogram")
	}
	for i, n := range rows.With("z") {
		n.Add(0, uint64(i+1))
	}
	rows.With("é\xff")[1].Inc(0)
	alone.With()[0].Inc(0)
	if got := u.CounterRows("r_total", "R.", []string{"a", "b"}, []string{"1xx", "2\"x"}); got.With("z")[1].Sum() != 2 {
		t.Error("another row")
	}
	want := `c_total{a="1\\",b="2"} 5
h_seconds_bucket{b="1",le="1"} 1
h_seconds_bucket{b="1",le="+Inf"} 1
h_seconds_sum{b="1"} 1
h_seconds_count{b="1"} 1
r_total{a="z",b="1xx"} 1
r_total{a="z",b="2\"x"} 2
r_total{a="é` + "\ufffd" + `",b="1xx"} 0
r_total{a="é` + "\ufffd" + `",b="2\"x"} 1
s_total{a="x"} 1
s_total{a="y"} 0
`
	if got := values(t, r); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	s.Close()
	if got := strings.Count(values(t, r), "\n"); got != 7 { // the second row and s_total are gone
		t.Errorf("%d lines are left", got)
	}
	u.Close()
	if got := write(t, r); got != "" {
		t.Errorf("left over: %s", got)
	}
}

// What is prepared goes on when all series of its name have gone meanwhile.
func TestPreparedOutlivesItsFamily(t *testing.T) {
	r := NewRegistry()
	s, u := r.Scope(), r.Scope()
	mine, theirs := s.Counters("c_total", "C.", "a"), u.Counters("c_total", "C.", "a")
	theirs.With("1").Inc(0)
	mine.family = theirs.family
	u.Close()
	r.Scope().Counter("c_total", "C.", "a", "2").Inc(0)
	mine.With("1").Inc(0)
	if got, want := values(t, r), "c_total{a=\"1\"} 1\nc_total{a=\"2\"} 1\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
