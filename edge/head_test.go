package edge

import (
	"slices"
	"strings"
	"testing"

	"github.com/penstock-edge/penstock/edge/lib/wire"
)

// scanned is an exchange with the head of a target's answer.
func scanned(t testing.TB, lines ...string) *Exchange {
	t.Helper()
	var m wire.Response
	clean, v := wire.ScanResponse([]byte("before")[:0], []byte(strings.Join(append(lines, "", ""), "\r\n")), &m, wire.MaxFields)
	if v != nil {
		t.Fatalf("%q: %v", lines, v)
	}
	x := new(Exchange)
	x.TakeHead(&m, clean)
	return x
}

func TestHeadAsCame(t *testing.T) {
	f := func(wantReason, wantLines string, wantDated, wantClaims bool, lines ...string) {
		t.Helper()
		x := scanned(t, lines...)
		if x.Claims() != wantClaims {
			t.Errorf("%q: claims %v", lines, x.Claims())
		}
		reason, got, dated, ok := x.AsCame()
		if string(reason) != wantReason || string(got) != wantLines || dated != wantDated || !ok {
			t.Errorf("%q:\n got %q %q %v %v\nwant %q %q %v", lines, reason, got, dated, ok, wantReason, wantLines, wantDated)
		}
	}
	f("OK", "", false, false, "HTTP/1.1 200 OK")
	f("", "", false, false, "HTTP/1.1 299")
	f("OK", "ETag: a\r\n", false, false, "HTTP/1.1 200 OK", "Content-Length: 5", "ETag: a")
	f("OK", "ETag: a\r\nB: 1\r\n", false, false, "HTTP/1.1 200 OK", "ETag: a", "content-length: 005", "B: 1")
	f("OK", "B: Content-Length: 7\r\nx-Content-Length: 8\r\n", false, false,
		"HTTP/1.1 200 OK", "B: Content-Length: 7", "x-Content-Length: 8", "Content-Length: 3")
	f("OK", "Date: now\r\n", true, false, "HTTP/1.0 200 OK", "Date: now", "Connection: close, x-a", "x-a: 1")
	f("OK", "Via: 1.1 a\r\n", false, true, "HTTP/1.1 200 OK", "Via: 1.1 a", "Transfer-Encoding: chunked")
	f("OK", "x-request-ID: 1\r\n", false, true, "HTTP/1.1 200 OK", "x-request-ID: 1")
}

// TestHeadOpened: what is asked for is all there, added fields too, and changes are seen.
func TestHeadOpened(t *testing.T) {
	x := scanned(t, "HTTP/1.1 404 Gone fishing", "etag: a", "Content-Length: 5", "A: 1", "a: 2", "Set-Cookie: c=1")
	x.AddField([]byte("Via"), []byte("1.1 penstock"))
	x.AddField([]byte("Set-Cookie"), []byte("d=2; Path=/"))
	if x.Status() != 404 {
		t.Errorf("status %d", x.Status())
	}
	h := x.Resp()
	if _, _, _, ok := x.AsCame(); ok {
		t.Error("an opened head is still as it came")
	}
	if x.Status() != 404 || string(h.StatusMessage()) != "Gone fishing" || string(h.Peek("Etag")) != "a" {
		t.Errorf("%d %s, ETag %s", x.Status(), h.StatusMessage(), h.Peek("Etag"))
	}
	x.AddField([]byte("Via"), []byte("1.1 again"))
	f := func(name string, want ...string) {
		t.Helper()
		var got []string
		for k, v := range h.All() { // PeekAll joins cookies
			if string(k) == name {
				got = append(got, string(v))
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	f("A", "1", "2")
	f("Via", "1.1 penstock", "1.1 again")
	f("Set-Cookie", "c=1", "d=2; Path=/")
	h.SetStatusCode(203)
	if x.Status() != 203 || x.Resp() != h {
		t.Error("a change was lost")
	}
	x.ResetHead()
	if x.Status() != 200 || x.Resp().Len() > 0 && len(x.Resp().Peek("A")) > 0 {
		t.Errorf("left over: %s", x.Resp())
	}
}

// FuzzHead: every head that the scanner lets through can be opened, and loses no field by it.
func FuzzHead(f *testing.F) {
	f.Add("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag: a\r\nA: 1\r\n\r\n")
	f.Add("HTTP/1.0 304 \r\nDate: x\r\nContent-Type:\r\nSet-Cookie: a=b; c\r\nServer: \xff\r\n\r\n")
	f.Add("HTTP/1.1 599\r\nConnection: a\r\na: 1\r\nTransfer-Encoding: chunked\r\n\r\n")
	f.Fuzz(func(t *testing.T, head string) {
		var m wire.Response
		clean, v := wire.ScanResponse(nil, []byte(head), &m, wire.MaxFields)
		if v != nil {
			return
		}
		x := new(Exchange)
		x.TakeHead(&m, clean)
		_, lines, _, _ := x.AsCame()
		var want []string
		for line := range strings.Lines(string(lines)) {
			name, value, _ := strings.Cut(strings.TrimSuffix(line, "\r\n"), ":")
			if value = strings.Trim(value, " \t"); value != "" { // fasthttp drops an empty Content-Type and the like
				want = append(want, strings.ToLower(name)+":"+value)
			}
		}
		var got []string
		for k, v := range x.Resp().All() {
			if string(k) != "Connection" && string(k) != "Content-Length" && len(v) > 0 {
				got = append(got, strings.ToLower(string(k))+":"+string(v))
			}
		}
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%q:\n got %q\nwant %q", head, got, want)
		}
	})
}
