package wire

import (
	"strings"
	"testing"
)

func TestHeadEnd(t *testing.T) {
	f := func(src string, want int) {
		t.Helper()
		if got := HeadEnd([]byte(src), 0); got != want {
			t.Fatalf("%q: got %d, want %d", src, got, want)
		}
		for seen := range len(src) {
			if HeadEnd([]byte(src[:seen]), 0) != 0 {
				continue
			}
			if got := HeadEnd([]byte(src), seen); got != want {
				t.Fatalf("%q after %d bytes: got %d, want %d", src, seen, got, want)
			}
		}
	}
	f("", 0)
	f("GET / HTTP/1.1\r\n", 0)
	f("GET / HTTP/1.1\r\n\r", 0)
	f("GET / HTTP/1.1\r\n\r\n", 18)
	f("GET / HTTP/1.1\r\nA: b\r\n\r\nmore\r\n\r\n", 24)
	f("\r\nGET / HTTP/1.1\r\n\r\n", 20)
	f("\r\n\r\nGET / HTTP/1.1\r\n\r\n", 22)
	f("\r\n\r\nGET", 0)
	f("\r\n\r\n\r\nGET", 6)
	f("\nGET", 1)
	f("A\nB", 2)
	f("A\r\nB\n\r\n", 5)
	f("\r\n", 0)
	f("A\r\n\rB\r\n\r\n", 9)
}

func TestAnswerEnd(t *testing.T) {
	f := func(src string, want int) {
		t.Helper()
		for seen := range len(src) + 1 {
			if AnswerEnd([]byte(src[:seen]), 0) != 0 {
				break
			}
			if got := AnswerEnd([]byte(src), seen); got != want {
				t.Fatalf("%q after %d bytes: got %d, want %d", src, seen, got, want)
			}
		}
	}
	f("", 0)
	f("HTTP/1.1 200\r\n\r\nbody\n\n", 16)
	f("HTTP/1.1 200\n\nbody\r\n\r\n", 14)
	f("HTTP/1.1 200\n\r\nbody", 15)
	f("HTTP/1.1 200\r\n\nbody", 15)
	f("HTTP/1.1 200\nA: b\r\nC: d\n", 0)
	f("HTTP/1.1 200\n\rA\n\n", 17)
}

func TestCheckAnswerStart(t *testing.T) {
	f := func(src string, good bool) {
		t.Helper()
		if v := CheckAnswerStart([]byte(src)); (v == nil) != good || v != nil && v.Status != 502 {
			t.Errorf("%q: %v", src, v)
		}
	}
	f("", true)
	f("HT", true)
	f("HTTP/1.", true)
	f("HTTP/1.9 x", true)
	f("http/1.1", false)
	f("HTTP/2.0", false)
	f("220 mail.example ESMTP", false)
	f("\r\nHTTP/1.1", false)
	f("\x00", false)
}

func TestBegun(t *testing.T) {
	for src, want := range map[string]bool{"": false, "\r\n": false, "\r\n\r\n": false, "\r\n\r\n\r\n": true,
		"G": true, "\r\nG": true, "\r": true, "\n": true} {
		if got := Begun([]byte(src)); got != want {
			t.Errorf("%q: %v", src, got)
		}
	}
}

func TestCheckStart(t *testing.T) {
	f := func(src string, want int) {
		t.Helper()
		got := 0
		if v := CheckStart([]byte(src)); v != nil {
			got = v.Status
		}
		if got != want {
			t.Fatalf("%q: got %d, want %d", src, got, want)
		}
	}
	f("", 0)
	f("\r", 0)
	f("\r\n", 0)
	f("\r\nGE", 0)
	f("GE", 0)
	f("\r\n\r\nGE", 0)
	f("GET /\x00", 0) // for ScanRequest to say
	f("\x16\x03\x01\x02", 400)
	f("\x05\x01", 400)
	f(" GET", 400)
	f("\r\rG", 400)
	f(strings.Repeat("A", 20), 0)
	f(strings.Repeat("A", 21), 501)
}

func TestOverflow(t *testing.T) {
	f := func(src string, status int, code string) {
		t.Helper()
		v := Overflow([]byte(src))
		if v.Status != status || v.Code != code {
			t.Fatalf("%q: got %d %s", src, v.Status, v.Code)
		}
	}
	f("GET /aaaa", 414, "uri_too_long")
	f("\r\nGET /aaaa", 414, "uri_too_long")
	f("GET /aaaa HTTP/1.1\r\nX: aaa", 431, "head_too_large")
	if v := OverflowUpstream(); v.Status != 502 || v.Code != "upstream_protocol" {
		t.Fatal(v)
	}
}

// TestViolationsWhole checks that no row of the table was forgotten.
func TestViolationsWhole(t *testing.T) {
	for i := faultNone + 1; i < faultCount; i++ {
		v := &requestFaults[i]
		if v.Status < 400 || v.Code == "" || v.Error() == "" {
			t.Fatalf("fault %d has no violation", i)
		}
		up := v.Upstream()
		if up != &responseFaults[i] || up.Status != 502 || !strings.HasSuffix(up.Detail, v.Detail) {
			t.Fatalf("fault %d: upstream twin %v", i, up)
		}
	}
}
