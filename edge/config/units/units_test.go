package units

import (
	"math/big"
	"regexp"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestParseSize(t *testing.T) {
	f := func(text string, want Size, ok bool) {
		t.Helper()
		if got, gotOK := ParseSize(text); got != want || gotOK != ok {
			t.Errorf("%q: got %d, %v", text, got, gotOK)
		}
	}
	f("0", 0, true)
	f("0B", 0, true)
	f("1B", 1, true)
	f("64KiB", 64<<10, true)
	f("8MiB", 8<<20, true)
	f("1GiB", 1<<30, true)
	f("2TiB", 2<<40, true)
	f("1KB", 1000, true)
	f("1MB", 1e6, true)
	f("1GB", 1e9, true)
	f("1TB", 1e12, true)
	f("9223372036854775807B", 1<<63-1, true)
	f("9223372036854775808B", 0, false)
	f("8388608TiB", 0, false)
	f("", 0, false)
	f("64", 0, false)
	f("KiB", 0, false)
	f("64 KiB", 0, false)
	f("64kib", 0, false)
	f("1.5KiB", 0, false)
	f("-1B", 0, false)
	f("+1B", 0, false)
}

func TestParseByteRate(t *testing.T) {
	f := func(text string, want ByteRate, ok bool) {
		t.Helper()
		if got, gotOK := ParseByteRate(text); gotOK != ok || got != want {
			t.Errorf("%q: got %d, %v", text, got, gotOK)
		}
	}
	f("0", 0, true)
	f("0B/s", 0, true)
	f("240B/s", 240, true)
	f("1MiB/s", 1<<20, true)
	f("240B", 0, false)
	f("240", 0, false)
	f("240/s", 0, false)
	f("240B/min", 0, false)
}

func TestParseRate(t *testing.T) {
	f := func(text string, want Rate, ok bool) {
		t.Helper()
		got, gotOK := ParseRate(text)
		if got != want || gotOK != ok || ok && got.String() != text {
			t.Errorf("%q: got %s, %v", text, got, gotOK)
		}
	}
	f("100/s", Rate{100, time.Second}, true)
	f("5000/min", Rate{5000, time.Minute}, true)
	f("10/h", Rate{10, time.Hour}, true)
	f("1000000/day", Rate{1e6, 24 * time.Hour}, true)
	f("0/s", Rate{}, false)
	f("100", Rate{}, false)
	f("/s", Rate{}, false)
	f("100/m", Rate{}, false)
	f("100 /s", Rate{}, false)
	f("1.5/s", Rate{}, false)
	f("99999999999999999999/s", Rate{}, false)
}

func TestParseDuration(t *testing.T) {
	f := func(text string, want time.Duration, ok bool) {
		t.Helper()
		if got, gotOK := ParseDuration(text); got != want || gotOK != ok {
			t.Errorf("%q: got %s, %v", text, got, gotOK)
		}
	}
	f("250ms", 250*time.Millisecond, true)
	f("1h30m", 90*time.Minute, true)
	f("1.5s", 1500*time.Millisecond, true)
	f("0s", 0, true)
	f("", 0, false)
	f("5", 0, false)
	f("5 s", 0, false)
	f("-5s", 0, false)
	f("+5s", 0, false)
	f("1d", 0, false)
	f("9999999h", 0, false)
}

// What String writes is read back as what it was.
func TestUnitsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64Min(0).Draw(t, "n") >> rapid.IntRange(0, 62).Draw(t, "shift")
		n <<= rapid.SampledFrom([]int{0, 10, 20, 30, 40}).Draw(t, "unit")
		n &= 1<<63 - 1
		if got, ok := ParseSize(Size(n).String()); !ok || got != Size(n) {
			t.Fatalf("size %s is %d, want %d", Size(n), got, n)
		}
		if got, ok := ParseByteRate(ByteRate(n).String()); !ok || got != ByteRate(n) {
			t.Fatalf("byte rate %s is %d, want %d", ByteRate(n), got, n)
		}
	})
}

// slowSize is parseSize by a regular expression and numbers without end.
func slowSize(text string) (Size, bool) {
	m := regexp.MustCompile(`^(?:([0-9]+)(B|[KMGT]i?B)|0+)$`).FindStringSubmatch(text)
	if m == nil || m[1] == "" {
		return 0, m != nil
	}
	n, _ := new(big.Int).SetString(m[1], 10)
	base := big.NewInt(1000)
	if strings.Contains(m[2], "i") {
		base.SetInt64(1024)
	}
	for range strings.IndexByte("BKMGT", m[2][0]) {
		n.Mul(n, base)
	}
	if !n.IsInt64() {
		return 0, false
	}
	return Size(n.Int64()), true
}

func FuzzUnits(f *testing.F) {
	f.Fuzz(func(t *testing.T, text string) {
		got, ok := ParseSize(text)
		if want, wantOK := slowSize(text); got != want || ok != wantOK {
			t.Fatalf("%q: got %d, %v, want %d, %v", text, got, ok, want, wantOK)
		}
		if rate, ok := ParseRate(text); ok && (rate.Count < 1 || rate.Per < time.Second) {
			t.Fatalf("%q is %v", text, rate)
		}
		if d, ok := ParseDuration(text); ok && d < 0 {
			t.Fatalf("%q is %v", text, d)
		}
		if r, ok := ParseByteRate(text); ok && r < 0 {
			t.Fatalf("%q is %v", text, r)
		}
	})
}
