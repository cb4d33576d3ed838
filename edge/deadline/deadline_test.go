package deadline

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/clock"
	"github.com/penstock-edge/penstock/edge/live"
	"github.com/penstock-edge/penstock/pool"
)

func TestParse(t *testing.T) {
	f := func(v string, d time.Duration, units, ok bool) {
		t.Helper()
		got, u, k := parseTimeout([]byte(v))
		if k != ok || ok && (got != d || u != units) {
			t.Errorf("%q: %v, %v, %v", v, got, u, k)
		}
	}
	f("1", time.Second, false, true)
	f("1.5", 1500*time.Millisecond, false, true)
	f(".25", 250*time.Millisecond, false, true)
	f("250ms", 250*time.Millisecond, true, true)
	f("2s", 2*time.Second, true, true)
	f("2m", 2*time.Minute, true, true)
	f("0", 0, false, true)
	for _, bad := range []string{"", ".", "1..2", "-1", "1h", "ms", "1 s", "99999999999", "1e3"} {
		f(bad, 0, false, false)
	}
}

func TestParseGRPC(t *testing.T) {
	f := func(v string, d time.Duration, ok bool) {
		t.Helper()
		if got, k := parseGRPC([]byte(v)); k != ok || got != d {
			t.Errorf("%q: %v, %v", v, got, k)
		}
	}
	f("100m", 100*time.Millisecond, true)
	f("1S", time.Second, true)
	f("1H", time.Hour, true)
	f("2M", 2*time.Minute, true)
	f("5u", 5*time.Microsecond, true)
	f("5n", 5, true)
	for _, bad := range []string{"", "S", "100", "-1S", "99999999H", "123456789m", "1x"} {
		f(bad, 0, false)
	}
}

func TestHonour(t *testing.T) {
	f := func(route int64, key, value string, fault *edge.Fault, left int64, passed string) {
		t.Helper()
		x := &edge.Exchange{}
		x.Reset()
		x.Times.Start = clock.Now()
		if route > 0 {
			x.Deadline = x.Times.Start + route
		}
		x.Req.Set(key, value)
		v := readDeadline{}.Run(x)
		if (v == edge.Answered) != (fault != nil) || x.Fault != fault {
			t.Errorf("%s: verdict %d, fault %v", value, v, x.Fault)
		}
		if got := max(x.Deadline-x.Times.Start, 0); got != left {
			t.Errorf("%s: %d left, want %d", value, got, left)
		}
		x.OutPath = []byte("/")
		x.AppendHead(nil, "host")
		got := string(x.Req.Get("X-Request-Timeout"))
		if !strings.HasPrefix(got, passed) || passed == "" && got != "" {
			t.Errorf("%s: passes on %q, want %q…", value, got, passed)
		}
	}
	const s = int64(time.Second)
	f(0, "X-Request-Timeout", "100", nil, 100*s, "99.")
	f(10*s, "X-Request-Timeout", "100", nil, 10*s, "9.")
	f(100*s, "X-Request-Timeout", "10000ms", nil, 10*s, "9")
	f(0, "X-Request-Timeout", "soon", nil, 0, "")
	f(10*s, "X-Request-Timeout", "soon", nil, 10*s, "9.")
	f(0, "X-Request-Timeout", "0", tooLate, 0, "0.001")
	f(0, "Grpc-Timeout", "50S", nil, 50*s, "49.")
	f(0, "X-Other", "1", nil, 0, "")
}

func TestExample(t *testing.T) {
	text, err := os.ReadFile("../../configs/deadline.toml")
	if err != nil {
		t.Fatal(err)
	}
	b, err := live.Check("deadline.toml", text, []edge.Feature{Feature, pool.Feature})
	if err != nil {
		t.Fatal(err)
	}
	b.Close()
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"1", "1.5", "250ms", "1S", "99999999H", "..", "1e9"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if d, _, ok := parseTimeout([]byte(s)); ok && (d < 0 || d > longest) {
			t.Errorf("%q: %v", s, d)
		}
		if d, ok := parseGRPC([]byte(s)); ok && (d < 0 || d > longest) {
			t.Errorf("%q: %v", s, d)
		}
	})
}

// TestHonourLines: of several lines the shortest time holds, and an empty one hides nothing.
func TestHonourLines(t *testing.T) {
	f := func(want time.Duration, key string, lines ...string) {
		t.Helper()
		x := &edge.Exchange{}
		x.Reset()
		x.Times.Start = clock.Now()
		for _, v := range lines {
			x.Req.Add(key, v)
		}
		readDeadline{}.Run(x)
		if got := time.Duration(max(x.Deadline-x.Times.Start, 0)); got != want || x.Req.Count(key) > 0 {
			t.Errorf("%s %q: %v left, want %v", key, lines, got, want)
		}
	}
	f(10*time.Second, "X-Request-Timeout", "", "10")
	f(5*time.Second, "X-Request-Timeout", "10", "5", "20")
	f(5*time.Second, "X-Request-Timeout", "soon", "5")
	f(2*time.Second, "Grpc-Timeout", "", "3S", "2S")
}
