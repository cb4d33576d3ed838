package edge

import (
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
	f := func(wantReason, wantLines string, lines ...string) {
		t.Helper()
		x := scanned(t, lines...)
		if string(x.Reason()) != wantReason || string(x.Resp.Lines()) != wantLines {
			t.Errorf("%q:\n got %q %q\nwant %q %q", lines, x.Reason(), x.Resp.Lines(), wantReason, wantLines)
		}
	}
	f("OK", "", "HTTP/1.1 200 OK")
	f("", "", "HTTP/1.1 299")
	f("OK", "ETag: a\r\n", "HTTP/1.1 200 OK", "Content-Length: 5", "ETag: a")
	f("OK", "ETag: a\r\nB: 1\r\n", "HTTP/1.1 200 OK", "ETag: a", "content-length: 005", "B: 1")
	f("OK", "B: Content-Length: 7\r\nx-Content-Length: 8\r\n",
		"HTTP/1.1 200 OK", "B: Content-Length: 7", "x-Content-Length: 8", "Content-Length: 3")
	f("OK", "Date: now\r\n", "HTTP/1.0 200 OK", "Date: now", "Connection: close, x-a", "x-a: 1")
	f("OK", "sErver:  x\t\r\nVia: 1.1 a\r\n", "HTTP/1.1 200 OK", "sErver:  x\t", "Via: 1.1 a", "Transfer-Encoding: chunked")
}

// TestHeadChanged: what is changed is seen, and nothing else changes.
func TestHeadChanged(t *testing.T) {
	x := scanned(t, "HTTP/1.1 404 Gone fishing", "etag: a", "Content-Length: 5", "A:1", "a: 2", "Set-Cookie: c=1")
	x.Resp.Add("Set-Cookie", "d=2; Path=/")
	x.Resp.Set("ETag", "b")
	want := "ETag: b\r\nA:1\r\na: 2\r\nSet-Cookie: c=1\r\nSet-Cookie: d=2; Path=/\r\n"
	if x.Status() != 404 || string(x.Reason()) != "Gone fishing" || string(x.Resp.Lines()) != want {
		t.Errorf("%d %s %q", x.Status(), x.Reason(), x.Resp.Lines())
	}
	x.SetStatus(203)
	if x.Status() != 203 || len(x.Reason()) > 0 {
		t.Errorf("%d %s", x.Status(), x.Reason())
	}
	y := new(Exchange)
	y.takeAnswer(x)
	if y.Status() != 203 || string(y.Resp.Lines()) != want {
		t.Errorf("adopted: %d %q", y.Status(), y.Resp.Lines())
	}
	for _, left := range []*Exchange{x, new(Exchange)} {
		if left.Status() != 200 || len(left.Resp.Lines()) > 0 {
			t.Errorf("left over: %d %q", left.Status(), left.Resp.Lines())
		}
	}
}

func TestAppendHead(t *testing.T) {
	f := func(want string, edit func(*Exchange), lines ...string) {
		t.Helper()
		var m wire.Request
		clean, v := wire.ScanRequest(nil, []byte(strings.Join(append(lines, "", ""), "\r\n")), &m)
		if v != nil {
			t.Fatalf("%q: %v", lines, v)
		}
		x := new(Exchange)
		x.Reset()
		x.TakeRequest(&m, clean)
		x.OutPath = []byte("/out")
		if edit != nil {
			edit(x)
		}
		if got := string(x.AppendHead(nil, "target:80")); got != want {
			t.Errorf("%q:\n got %q\nwant %q", lines, got, want)
		}
	}
	f("GET /out HTTP/1.1\r\nHost: target:80\r\n", nil, "GET / HTTP/1.1", "Host: a")
	f("GET /out?c HTTP/1.1\r\nSOAPAction:  x\r\nhOST: target:80\r\nCookie: a\r\nB: \r\ncookie: b\r\n", nil,
		"GET /?c HTTP/1.1", "SOAPAction:  x", "hOST:a", "Connection: close", "Cookie: a", "B: ", "cookie: b")
	f("GET /out? HTTP/1.1\r\nA: 1\r\nHost: chosen\r\n", func(x *Exchange) { x.SetOutHost([]byte("chosen")) },
		"GET /? HTTP/1.1", "A: 1", "Host: a")
	f("GET /out HTTP/1.1\r\nHost: target:80\r\nA: 1\r\n", nil, "GET http://b/ HTTP/1.1", "A: 1", "Host: a")
	f("GET /out HTTP/1.1\r\nHost: target:80\r\nA: 1\r\n", nil, "GET / HTTP/1.0", "A: 1")
	f("GET /out HTTP/1.1\r\nHost: target:80\r\nA: 1\r\n", func(x *Exchange) { x.Req.Del("host") },
		"GET / HTTP/1.1", "A: 1", "Host: a")
}
