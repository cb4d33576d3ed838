package wire

import (
	"strconv"
	"strings"
	"testing"
)

func TestResponseRefused(t *testing.T) {
	f := func(src string) {
		t.Helper()
		var m Response
		end := HeadEnd([]byte(src), 0)
		if end == 0 {
			t.Fatalf("%q: no end found", src)
		}
		clean, v := ScanResponse([]byte("kept"), []byte(src)[:end], &m, MaxFields)
		if v == nil {
			t.Fatalf("%q: accepted", src)
		}
		if v.Status != 502 || v.Code != "upstream_protocol" || v.Upstream() != v {
			t.Fatalf("%q: got %d %s", src, v.Status, v.Code)
		}
		if string(clean) != "kept" {
			t.Fatalf("%q: clean block of a refused head: %q", src, clean)
		}
	}
	line := func(s string) { t.Helper(); f(head(s, "Content-Length: 0")) }
	line("HTTP/1.1 099 x")
	line("HTTP/1.1 000 x")
	line("HTTP/1.1 600 x")
	line("HTTP/1.1 999 x")
	line("HTTP/1.1 20 x")
	line("HTTP/1.1 2000 x")
	line("HTTP/1.1 2x0 x")
	line("HTTP/1.1 +20 x")
	line("HTTP/1.1  200 x")
	line("HTTP/1.1\t200 x")
	line("HTTP/1.1 200\tx")
	line("HTTP/1.1")
	line("HTTP/1.1 ")
	line("HTTP/2.0 200 x")
	line("HTTP/0.9 200 x")
	line("http/1.1 200 x")
	line("HTTP/1.10 200 x")
	line(" HTTP/1.1 200 x")
	line("ICY 200 OK")
	line("HTTP/1.1 200 a\x00b")
	line("HTTP/1.1 200 a\rb")
	line("HTTP/1.1 200 a\x7f")
	f("\r\n" + head("HTTP/1.1 200 OK", "Content-Length: 0"))
	f("HTTP/1.1 200 OK\nContent-Length: 0\n\n")
	f("HTTP/1.1 200 OK\r\nContent-Length: 0\nX: y\r\n\r\n")

	field := func(s string) { t.Helper(); f(head("HTTP/1.1 200 OK", s)) }
	field("Content-Length: 3\r\nTransfer-Encoding: chunked")
	field("Transfer-Encoding: chunked\r\nContent-Length: 3")
	field("Transfer-Encoding: gzip, chunked")
	field("Transfer-Encoding: identity")
	field("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked")
	field("Content-Length: 3\r\nContent-Length: 4")
	field("Content-Length: 3\r\nContent-Length: 3")
	field("Content-Length: 3, 3")
	field("Content-Length: -1")
	field("Content-Length:")
	field("X Y: z")
	field("X : z")
	field("X: y\r\n folded")
	field(" X: y")
	field("X: a\x00")
	field("no colon")
	field("Connection: a b")
	field("Upgrade: a\r\nUpgrade: b")
	f(head("HTTP/1.0 200 OK", "Transfer-Encoding: chunked"))
	f("HTTP/1.1 200 OK\r\n" + strings.Repeat("X: y\r\n", MaxFields+1) + "\r\n")
}

func showResponse(m *Response) string {
	var b strings.Builder
	add := func(name string, differs bool, value string) {
		if differs {
			b.WriteString(name + "=" + value + " ")
		}
	}
	add("status", true, strconv.Itoa(m.Status))
	add("reason", string(m.Reason) != "OK", string(m.Reason))
	add("minor", m.Minor != 1, strconv.Itoa(m.Minor))
	add("length", m.ContentLength != -1, strconv.FormatInt(m.ContentLength, 10))
	add("chunked", m.Chunked, "yes")
	add("bodyless", m.Bodyless, "yes")
	add("close", m.Close, "yes")
	add("keepalive", m.KeepAlive, "yes")
	add("upgrade", m.Upgrade != nil, string(m.Upgrade))
	add("trailer", m.Trailer != nil, string(m.Trailer))
	return strings.TrimSpace(b.String())
}

func TestResponseMeaning(t *testing.T) {
	f := func(wantMeaning, wantClean string, lines ...string) {
		t.Helper()
		var m Response
		src := head(lines...)
		clean, v := ScanResponse([]byte("before|"), []byte(src+"body"), &m, MaxFields)
		if v != nil {
			t.Fatalf("%q: %s", src, v.Detail)
		}
		if got := showResponse(&m); got != wantMeaning || m.Len != len(src) {
			t.Fatalf("%q:\n got %s\nwant %s", src, got, wantMeaning)
		}
		if string(clean) != "before|"+wantClean {
			t.Fatalf("%q:\n got %q\nwant %q", src, clean, wantClean)
		}
	}
	ok := "HTTP/1.1 200 OK\r\n"
	f("status=200", ok+"\r\n", "HTTP/1.1 200 OK")
	f("status=200 reason=", "HTTP/1.1 200 \r\n\r\n", "HTTP/1.1 200")
	f("status=200 reason=", "HTTP/1.1 200 \r\n\r\n", "HTTP/1.1 200 ")
	f("status=404 reason=Not \xe9 Here", "HTTP/1.1 404 Not \xe9 Here\r\n\r\n", "HTTP/1.1 404 Not \xe9 Here")
	f("status=200 length=3", ok+"X: y\r\nContent-Length: 3\r\nZ: z\r\n\r\n",
		"HTTP/1.1 200 OK", "X: y", "content-LENGTH:  003 ", "Z: z")
	f("status=200 chunked=yes trailer=A", ok+"X: y\r\n\r\n",
		"HTTP/1.1 200 OK", "Transfer-Encoding: Chunked", "X: y", "Trailer: A", "TE: x")
	f("status=200", ok+"\r\n", "HTTP/1.7 200 OK")
	f("status=200 minor=0 close=yes", ok+"\r\n", "HTTP/1.0 200 OK")
	f("status=200 minor=0 keepalive=yes", ok+"\r\n", "HTTP/1.0 200 OK", "Connection: keep-alive")
	f("status=200 close=yes", ok+"Date: d\r\nX_Y: z\r\n\r\n",
		"HTTP/1.1 200 OK", "Date: d", "X_Y: z", "Connection: close, x-a", "X-A: b")
	f("status=200", ok+"Set-Cookie: a\r\nSet-Cookie: b\r\n\r\n",
		"HTTP/1.1 200 OK", "Connection: set-cookie", "Set-Cookie: a", "Set-Cookie: b")
	f("status=101 reason=S bodyless=yes upgrade=websocket",
		"HTTP/1.1 101 S\r\nSec-WebSocket-Accept: x\r\n\r\n",
		"HTTP/1.1 101 S", "Upgrade: websocket", "Connection: upgrade", "Sec-WebSocket-Accept: x")
	f("status=426 reason=U length=0 upgrade=TLS/1.2", "HTTP/1.1 426 U\r\nUpgrade: TLS/1.2\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 426 U", "Upgrade: TLS/1.2", "Connection: upgrade", "Content-Length: 0")
	f("status=426 reason=U length=0", "HTTP/1.1 426 U\r\nUpgrade: a\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 426 U", "Upgrade: a", "Content-Length: 0")
	f("status=304 length=5 bodyless=yes", "HTTP/1.1 304 OK\r\nContent-Length: 5\r\n\r\n",
		"HTTP/1.1 304 OK", "Content-Length: 5")
	f("status=204 bodyless=yes close=yes", "HTTP/1.1 204 OK\r\n\r\n", "HTTP/1.1 204 OK", "Content-Length: 5")
	f("status=204 bodyless=yes", "HTTP/1.1 204 OK\r\n\r\n", "HTTP/1.1 204 OK", "Content-Length: 0")
	f("status=304 bodyless=yes close=yes", "HTTP/1.1 304 OK\r\n\r\n",
		"HTTP/1.1 304 OK", "Transfer-Encoding: chunked")
	f("status=103 reason=E bodyless=yes", "HTTP/1.1 103 E\r\nLink: l\r\n\r\n", "HTTP/1.1 103 E", "Link: l")
}
