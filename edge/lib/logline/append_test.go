package logline

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestAppendString(t *testing.T) {
	f := func(s, want string) {
		t.Helper()
		if got := string(AppendString([]byte("k:"), s)); got != "k:"+want {
			t.Errorf("%q: %s, want %s", s, got, want)
		}
		if got := string(AppendBytes(nil, []byte(s))); got != want {
			t.Errorf("%q as bytes: %s, want %s", s, got, want)
		}
	}
	f("", `""`)
	f("/a?b=c&d=<e>", `"/a?b=c&d=<e>"`)
	f(`say "hi" \o/`, `"say \"hi\" \\o/"`)
	f("a\r\nb\tc", `"a\r\nb\tc"`)
	f("\x00\x01\b\f\x1b[31m\x1f", `"\u0000\u0001\u0008\u000c\u001b[31m\u001f"`)
	f("\x7f", `"\u007f"`)
	f("\u0085\u009b31m\u00a0", `"\u0085\u009b31m`+"\u00a0\"")
	f("grüße 世界 🦆", `"grüße 世界 🦆"`)
	f("a\u2028b\u2029c\u2027", `"a\u2028b\u2029c`+"\u2027\"")
	f("\xff\xfe", `"\ufffd\ufffd"`)
	f("ab\xe4\xb8", `"ab\ufffd\ufffd"`)
	f("\xed\xa0\x80", `"\ufffd\ufffd\ufffd"`) // a surrogate on its own
	f("\ufffd", "\"\ufffd\"")
}

// sameString holds AppendString against encoding/json, by what a reader gets.
func sameString(t interface{ Fatalf(string, ...any) }, s string) {
	line := AppendString(nil, s)
	var got, want string
	if err := json.Unmarshal(line, &got); err != nil {
		t.Fatalf("%q: %s: %v", s, line, err)
	}
	text, _ := json.Marshal(s)
	_ = json.Unmarshal(text, &want)
	if got != want {
		t.Fatalf("%q is read as %q, want %q", s, got, want)
	}
	if !utf8.Valid(line) {
		t.Fatalf("%q: %q is not UTF-8", s, line)
	}
	for _, r := range string(line) {
		if r < 0x20 || r >= 0x7f && r <= 0x9f || r == '\u2028' || r == '\u2029' {
			t.Fatalf("%q: %q holds %U", s, line, r)
		}
	}
}

func FuzzAppendString(f *testing.F) {
	f.Add("plain")
	f.Fuzz(func(t *testing.T, s string) { sameString(t, s) })
}

func TestAppendCLF(t *testing.T) {
	f := func(s, want string) {
		t.Helper()
		if got := string(AppendCLF([]byte(`"`), []byte(s))); got != `"`+want {
			t.Errorf("%q: %s, want %s", s, got, want)
		}
	}
	f("", "-")
	f("GET /a?b HTTP/1.1", "GET /a?b HTTP/1.1")
	f(`" 200 "`, `\x22 200 \x22`)
	f(`\x22`, `\x5Cx22`)
	f("a\r\nb\x00\x7f", `a\x0D\x0Ab\x00\x7F`)
	f("ü\xff", `\xC3\xBC\xFF`)
}

var escapeCLF = regexp.MustCompile(`\\x[0-9A-F]{2}`)

func FuzzAppendCLF(f *testing.F) {
	f.Add([]byte("plain"))
	f.Fuzz(func(t *testing.T, s []byte) {
		line := AppendCLF(nil, s)
		for _, c := range line {
			if c < 0x20 || c > 0x7e || c == '"' {
				t.Fatalf("%q: %q", s, line)
			}
		}
		back := escapeCLF.ReplaceAllFunc(line, func(e []byte) []byte {
			n, _ := strconv.ParseUint(string(e[2:]), 16, 8)
			return []byte{byte(n)}
		})
		if len(s) > 0 && !bytes.Equal(back, s) {
			t.Fatalf("%q: %q is read as %q", s, line, back)
		}
	})
}

func TestAppendFloat(t *testing.T) {
	f := func(v float64, three, six string) {
		t.Helper()
		if got := string(AppendFloat3(nil, v)); got != three {
			t.Errorf("%v: %s, want %s", v, got, three)
		}
		if got := string(AppendFloat6(nil, v)); got != six {
			t.Errorf("%v: %s, want %s", v, got, six)
		}
	}
	f(0, "0.000", "0.000000")
	f(1.5, "1.500", "1.500000")
	f(-0.25, "-0.250", "-0.250000")
	f(0.000123, "0.000", "0.000123")
	f(-0.0000001, "0.000", "0.000000")
	f(12.9996, "13.000", "12.999600")
	f(99999.0625, "99999.062", "99999.062500")
	f(1e20, "100000000000000000000.000", "100000000000000000000.000000")
	f(-1e20, "-100000000000000000000.000", "-100000000000000000000.000000")
	f(math.NaN(), "null", "null")
	f(math.Inf(1), "null", "null")
	f(math.Inf(-1), "null", "null")
}

func TestAppendFloatIsClose(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.Float64Range(-1e12, 1e12).Draw(t, "v")
		got, err := strconv.ParseFloat(string(AppendFloat6(nil, v)), 64)
		if err != nil || math.Abs(got-v) > 0.5e-6+math.Abs(v)*1e-15 {
			t.Fatalf("%v became %v (%v)", v, got, err)
		}
	})
}

func TestAppendSecondsAndInt(t *testing.T) {
	f := func(d time.Duration, want string) {
		t.Helper()
		if got := string(AppendSeconds(nil, d)); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
	f(0, "0.000000")
	f(-time.Second, "0.000000")
	f(999, "0.000000")
	f(1000, "0.000001")
	f(1234567*time.Microsecond, "1.234567")
	f(100*time.Hour, "360000.000000")
	if got := string(AppendInt([]byte("n="), math.MinInt64)); got != "n=-9223372036854775808" {
		t.Error(got)
	}
}

func TestAppendTime(t *testing.T) {
	const milli, clf = "2006-01-02T15:04:05.000Z07:00", "02/Jan/2006:15:04:05 -0700"
	f := func(at time.Time) {
		t.Helper()
		if got, want := string(AppendTimeRFC3339Milli(nil, at)), at.UTC().Format(milli); got != want {
			t.Errorf("%v: %s, want %s", at, got, want)
		}
		if got, want := string(AppendTimeCLF(nil, at)), at.UTC().Format(clf); got != want {
			t.Errorf("%v: %s, want %s", at, got, want)
		}
	}
	f(time.Time{})
	f(time.Unix(0, 0))
	f(time.Unix(0, -1))
	f(time.Date(2024, 2, 29, 23, 59, 59, 999999999, time.FixedZone("", -9*3600)))
	f(time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC))
	f(time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC))
	f(time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC))
	for month := range 24 {
		f(time.Date(2026, time.Month(month), 7, 8, 9, 10, 11e6, time.UTC))
	}
	rapid.Check(t, func(t *rapid.T) {
		at := time.Unix(rapid.Int64Range(-6e10, 2e11).Draw(t, "unix"), rapid.Int64Range(0, 1e9-1).Draw(t, "ns"))
		got := fmt.Sprintf("%s %s", AppendTimeRFC3339Milli(nil, at), AppendTimeCLF(nil, at))
		if want := at.UTC().Format(milli + " " + clf); got != want {
			t.Fatalf("%s, want %s", got, want)
		}
	})
}

// A whole line, as the access log puts it together, has to be one JSON object.
func TestLineIsJSON(t *testing.T) {
	var v map[string]any
	line := appendLine(nil, time.Unix(1e9, 5e6), "/a\"b\n", []byte("agent \xff"))
	if err := json.Unmarshal(line, &v); err != nil || strings.Count(string(line), "\n") != 1 {
		t.Fatalf("%s: %v", line, err)
	}
	if v["time"] != "2001-09-09T01:46:40.005Z" || v["path"] != "/a\"b\n" || v["agent"] != "agent \ufffd" {
		t.Errorf("read as %v", v)
	}
}

// appendLine is a typical line of an access log.
func appendLine(b []byte, at time.Time, path string, agent []byte) []byte {
	b = AppendTimeRFC3339Milli(append(b, `{"time":"`...), at)
	b = AppendString(append(b, `","method":`...), "GET")
	b = AppendString(append(b, `,"path":`...), path)
	b = AppendInt(append(b, `,"status":`...), 200)
	b = AppendInt(append(b, `,"bytes":`...), 123456)
	b = AppendSeconds(append(b, `,"duration":`...), 12345678)
	b = AppendBytes(append(b, `,"agent":`...), agent)
	b = AppendString(append(b, `,"route":`...), "user")
	return append(b, "}\n"...)
}
