//go:build !race

package hop

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/penstock-edge/penstock/edge/e2e"
)

const poison = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nPOISON"

// TestRefusedAnswers: an answer that breaks the rules never reaches the client, nor does what follows it.
func TestRefusedAnswers(t *testing.T) {
	t.Parallel()
	a := newAnswers(t)
	f := a.refused
	body := func(status string, fields ...string) string {
		return head(status, append(fields, "Content-Length: 6")...) + "POISON"
	}
	f("RFC 9110 15: status 099, whose body splits the client's stream", body("HTTP/1.1 099 X"))
	f("RFC 9110 15: status 000", body("HTTP/1.1 000 X"))
	f("RFC 9110 15: status 600", body("HTTP/1.1 600 X"))
	f("RFC 9110 15: status 999", body("HTTP/1.1 999 X"))
	f("RFC 9112 4: two digits", body("HTTP/1.1 20 OK"))
	f("RFC 9112 4: four digits", body("HTTP/1.1 2000 OK"))
	f("RFC 9112 4: not a number", body("HTTP/1.1 2x0 OK"))
	f("RFC 9112 4: signed", body("HTTP/1.1 +20 OK"))
	f("RFC 9112 4: no status", body("HTTP/1.1"))
	f("RFC 9112 4: two spaces", body("HTTP/1.1  200 OK"))
	f("RFC 9112 2.3: HTTP/2.0", body("HTTP/2.0 200 OK"))
	f("RFC 9112 2.3: lower case", body("http/1.1 200 OK"))
	f("RFC 1945 6: HTTP/0.9", "<html>POISON</html>\r\n\r\n")
	f("garbage", "\x00\x01\x02\x03POISON\n")
	f("another protocol", "220 mail.example ESMTP POISON\r\n\r\n")
	f("RFC 9112 2.2: empty line before", "\r\n"+body("HTTP/1.1 200 OK"))
	f("RFC 9112 2.2: LF only, and a length folded", "HTTP/1.1 200 OK\nContent-Length:\n 6\n\nPOISON")
	f("RFC 9112 2.2: LF only, and two lengths", "HTTP/1.1 200 OK\nContent-Length: 6\nContent-Length: 6\n\nPOISON")
	f("RFC 9112 2.2: LF only, and a bare CR", "HTTP/1.1 200 OK\nContent-Length: 6\nA: b\rc\n\nPOISON")
	f("RFC 9112 2.2: bare CR", body("HTTP/1.1 200 OK", "A: b\rSet-Cookie: c=d"))
	f("RFC 9112 4: CR in the reason", body("HTTP/1.1 200 O\rK"))
	f("RFC 9112 4: NUL in the reason", body("HTTP/1.1 200 O\x00K"))
	f("RFC 9112 5.2: obs-fold of a length", head("HTTP/1.1 200 OK", "Content-Length: 6", " 6")+"POISON")
	f("RFC 9112 5.2: obs-fold behind the coding", head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", " ")+"6\r\nPOISON\r\n0\r\n\r\n")
	f("RFC 9112 5.2: obs-fold in Transfer-Encoding", head("HTTP/1.1 200 OK", "Transfer-Encoding:", " chunked")+"6\r\nPOISON\r\n0\r\n\r\n")
	f("RFC 9112 5: white space before the first field", body("HTTP/1.1 200 OK", " A: b"))
	f("RFC 9110 5.5: NUL in a value", body("HTTP/1.1 200 OK", "A: b\x00"))
	f("RFC 9110 5.5: control byte", body("HTTP/1.1 200 OK", "A: b\x08"))
	f("RFC 9112 5.1: space before the colon", body("HTTP/1.1 200 OK", "A : b"))
	f("RFC 9110 5.1: space in a name", body("HTTP/1.1 200 OK", "A b: c"))
	f("RFC 9110 5.1: empty name", body("HTTP/1.1 200 OK", ": c"))
	f("RFC 9112 5: no colon", body("HTTP/1.1 200 OK", "A"))
	f("RFC 9112 6.3: two lengths", body("HTTP/1.1 200 OK", "Content-Length: 3"))
	f("RFC 9112 6.3: two equal lengths", body("HTTP/1.1 200 OK", "Content-Length: 6"))
	f("RFC 9110 8.6: list of lengths", head("HTTP/1.1 200 OK", "Content-Length: 6, 6")+"POISON")
	f("RFC 9110 8.6: signed length", head("HTTP/1.1 200 OK", "Content-Length: +6")+"POISON")
	f("RFC 9110 8.6: negative length", head("HTTP/1.1 200 OK", "Content-Length: -6")+"POISON")
	f("RFC 9110 8.6: overflow", head("HTTP/1.1 200 OK", "Content-Length: 18446744073709551622")+"POISON")
	f("RFC 9112 6.3: length and chunked", head("HTTP/1.1 200 OK", "Content-Length: 6", "Transfer-Encoding: chunked")+"6\r\nPOISON\r\n0\r\n\r\n")
	f("RFC 9112 6.1: gzip, chunked", head("HTTP/1.1 200 OK", "Transfer-Encoding: gzip, chunked")+"6\r\nPOISON\r\n0\r\n\r\n")
	f("RFC 9112 7: identity", head("HTTP/1.1 200 OK", "Transfer-Encoding: identity", "Content-Length: 6")+"POISON")
	f("RFC 9112 6.1: two codings", head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", "Transfer-Encoding: chunked")+"6\r\nPOISON\r\n0\r\n\r\n")
	f("RFC 9112 6.1: coding in HTTP/1.0", head("HTTP/1.0 200 OK", "Transfer-Encoding: chunked")+"6\r\nPOISON\r\n0\r\n\r\n")
	f("bounded memory: head too large", head("HTTP/1.1 200 OK", "A: "+strings.Repeat("x", 70<<10)))
	f("bounded work: too many fields", head("HTTP/1.1 200 OK", strings.Split(strings.Repeat("A: b\n", 200)+"A: b", "\n")...))
	f("flood of 100", strings.Repeat(head("HTTP/1.1 100 Continue"), 1000))
	f("flood of 103", strings.Repeat(head("HTTP/1.1 103 Early Hints", "Link: </a>"), 1000))
	f("interim answer that breaks the rules", head("HTTP/1.1 103 Early Hints", "A : b")+poison)
}

// TestUnaskedSwitch: 101 is only for clients that asked for it (RFC 9110 15.2.2).
func TestUnaskedSwitch(t *testing.T) {
	t.Parallel()
	a := newAnswers(t)
	f := func(stands, request, answer string) {
		t.Helper()
		a.s.answers(answer + poison)
		c := e2e.DialRaw(t, a.g.Addr)
		defer c.C.Close()
		c.Send(request)
		if r := c.Answer("GET"); r.StatusCode != 502 || r.Code() != "upstream_upgrade" {
			t.Errorf("%s: %d %q", stands, r.StatusCode, r.Body)
		}
		if a.probe(stands, c) {
			t.Errorf("%s: the target's connection was used again", stands)
		}
		c.Open(stands, "/probe")
	}
	get := "GET /x HTTP/1.1"
	f("no upgrade was asked for", e2e.Lines(get), head("HTTP/1.1 101 X", "Connection: upgrade", "Upgrade: websocket"))
	f("h2c smuggling: the upgrade did not get through", e2e.Lines(get, "Connection: upgrade", "Upgrade: h2c"),
		head("HTTP/1.1 101 X", "Connection: upgrade", "Upgrade: h2c"))
	f("another protocol than asked for", e2e.Lines(get, "Connection: upgrade", "Upgrade: websocket"),
		head("HTTP/1.1 101 X", "Connection: upgrade", "Upgrade: echo"))
	f("no protocol named", e2e.Lines(get, "Connection: upgrade", "Upgrade: websocket"), head("HTTP/1.1 101 X"))
	f("RFC 9110 7.8: Upgrade in HTTP/1.0", "GET /x HTTP/1.0\r\nConnection: keep-alive, upgrade\r\nUpgrade: websocket\r\n"+e2e.HostLine+"\r\n",
		head("HTTP/1.1 101 X", "Connection: upgrade", "Upgrade: websocket"))
}

// TestGoodAnswers compares what the client gets byte by byte, but for Date and X-Request-Id.
func TestGoodAnswers(t *testing.T) {
	t.Parallel()
	a := newAnswers(t)
	// f: with keeps, the target's connection must be used again; the client's must live on.
	f := func(stands, request, answer, want string, keeps bool) {
		t.Helper()
		a.s.answers(answer)
		c := e2e.DialRaw(t, a.g.Addr)
		defer c.C.Close()
		c.Send(request)
		c.Final(strings.Fields(request)[0])
		if got := e2e.Masked(c.Got.String()); got != want {
			t.Errorf("%s:\n got %q\nwant %q", stands, got, want)
		}
		if reused := a.probe(stands, c); reused != keeps {
			t.Errorf("%s: the target's connection was used again: %v, want %v", stands, reused, keeps)
		}
		c.Open(stands, "/probe")
	}
	get := e2e.Lines("GET /x HTTP/1.1")
	// told returns the answer as the client must get it: its own fields, what the gateway adds, the framing.
	told := func(status string, fields, framing string) string {
		return "HTTP/1.1 " + status + "\r\n" + fields + "Via: 1.1 penstock\r\nX-Request-Id: *\r\n" + framing + "\r\n"
	}
	const date, dated = "Date: Mon, 23 Nov 2026 10:00:00 GMT", "Date: *\r\n"
	// sized is the answer to most rows: a body of two bytes.
	sized := told("200 OK", "", dated+"Content-Length: 2\r\n") + "ok"
	coded := told("200 OK", "", dated+"Transfer-Encoding: chunked\r\n") + "2\r\nok\r\n0\r\n\r\n"
	one := func(status string, fields ...string) string {
		return head(status, append(fields, "Content-Length: 2")...) + "ok"
	}

	// Status line and fields.
	f("plain", get, one("HTTP/1.1 200 OK"), sized, true)
	f("the target's own Date", get, one("HTTP/1.1 200 OK", date), told("200 OK", dated, "Content-Length: 2\r\n")+"ok", true)
	f("RFC 9112 4: another reason", get, one("HTTP/1.1 200 Sure thing \xe4"), told("200 Sure thing \xe4", "", dated+"Content-Length: 2\r\n")+"ok", true)
	f("RFC 9112 4: empty reason", get, one("HTTP/1.1 200 "), sized, true)
	f("RFC 9112 4: no space before an empty reason", get, one("HTTP/1.1 200"), sized, true)
	f("RFC 9110 15: unknown status", get, one("HTTP/1.1 599 Odd"), told("599 Odd", "", dated+"Content-Length: 2\r\n")+"ok", true)
	f("RFC 9110 5.3: fields as they came", get,
		one("HTTP/1.1 200 OK", "b: 1", "Set-Cookie: a=1; Path=/", "A: 2", "B:  3 ", "Set-Cookie: a=2", "Server: x", "Content-Type: t/u"),
		told("200 OK", "b: 1\r\nSet-Cookie: a=1; Path=/\r\nA: 2\r\nB:  3 \r\nSet-Cookie: a=2\r\nServer: x\r\nContent-Type: t/u\r\n",
			dated+"Content-Length: 2\r\n")+"ok", true)
	f("RFC 9110 7.6.1: hop-by-hop fields", get,
		one("HTTP/1.1 200 OK", "Connection: keep-alive, x-foo", "Keep-Alive: timeout=9", "X-Foo: 1", "Upgrade: h2c", "Proxy-Authenticate: Basic",
			"Trailer: X", "TE: trailers", "Proxy-Connection: keep-alive"), sized, true)
	f("Connection names what must stay", get, one("HTTP/1.1 200 OK", "Connection: set-cookie, content-length, cache-control",
		"Set-Cookie: a=1", "Cache-Control: private"),
		told("200 OK", "Set-Cookie: a=1\r\nCache-Control: private\r\n", dated+"Content-Length: 2\r\n")+"ok", true)

	long := "X-Long: " + strings.Repeat("x", 60<<10)
	f("a head near the limit", get, one("HTTP/1.1 200 OK", long), told("200 OK", long+"\r\n", dated+"Content-Length: 2\r\n")+"ok", true)

	// Lengths and codings.
	f("RFC 9110 8.6: leading zeros", get, head("HTTP/1.1 200 OK", "Content-Length: 0002")+"ok", sized, true)
	f("RFC 9112 7.1: chunked", get, head("HTTP/1.1 200 OK", "Transfer-Encoding: Chunked")+"2;x=y\r\nok\r\n0\r\n\r\n", coded, true)
	f("RFC 9112 6.3: empty body", get, head("HTTP/1.1 200 OK", "Content-Length: 0"), told("200 OK", "", dated+"Content-Length: 0\r\n"), true)
	f("RFC 9110 9.3.2: HEAD with a length", e2e.Lines("HEAD /x HTTP/1.1"), head("HTTP/1.1 200 OK", "Content-Length: 12345"),
		told("200 OK", "", dated+"Content-Length: 12345\r\n"), true)
	f("RFC 9110 9.3.2: HEAD of a chunked body", e2e.Lines("HEAD /x HTTP/1.1"), head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked"),
		told("200 OK", "", dated), true)
	f("RFC 9110 15.3.5: 204", get, head("HTTP/1.1 204 No Content"), told("204 No Content", "", dated), true)
	f("RFC 9110 15.4.5: 304 with the length it would have", get, head("HTTP/1.1 304 Not Modified", `ETag: "a"`, "Content-Length: 99"),
		told("304 Not Modified", "ETag: \"a\"\r\n", dated+"Content-Length: 99\r\n"), true)
	f("RFC 9110 15.4.5: 304 without a length", get, head("HTTP/1.1 304 Not Modified", `ETag: "a"`),
		told("304 Not Modified", "ETag: \"a\"\r\n", dated), true)

	// What comes behind an answer is nobody's.
	f("bytes behind a body", get, one("HTTP/1.1 200 OK")+poison, sized, false)
	f("bytes behind a chunked body", get, head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked")+"2\r\nok\r\n0\r\n\r\n"+poison, coded, false)
	f("RFC 9110 9.3.2: HEAD with a body", e2e.Lines("HEAD /x HTTP/1.1"), head("HTTP/1.1 200 OK", "Content-Length: 6")+"POISON",
		told("200 OK", "", dated+"Content-Length: 6\r\n"), false)
	f("RFC 9110 15.3.5: 204 with a body", get, head("HTTP/1.1 204 No Content", "Content-Length: 6")+"POISON", told("204 No Content", "", dated), false)
	f("RFC 9110 15.3.5: 204 with chunks", get, head("HTTP/1.1 204 No Content", "Transfer-Encoding: chunked")+"6\r\nPOISON\r\n0\r\n\r\n",
		told("204 No Content", "", dated), false)
	f("RFC 9110 15.4.5: 304 with a body", get, head("HTTP/1.1 304 Not Modified", "Content-Length: 6")+"POISON",
		told("304 Not Modified", "", dated+"Content-Length: 6\r\n"), false)
	f("RFC 9112 6.1: 204 that announces a length and sends none", get, head("HTTP/1.1 204 No Content", "Content-Length: 6"),
		told("204 No Content", "", dated), false)

	// The target's connection is its own affair.
	f("RFC 9112 9.6: close", get, one("HTTP/1.1 200 OK", "Connection: close"), sized, false)
	f("RFC 9112 9.6: Close among others", get, one("HTTP/1.1 200 OK", "Connection: foo, Close"), sized, false)
	f("RFC 9112 9.3: HTTP/1.0", get, one("HTTP/1.0 200 OK"), sized, false)
	f("RFC 9112 9.3: HTTP/1.0 with keep-alive", get, one("HTTP/1.0 200 OK", "Connection: Keep-Alive"), sized, true)

	// Interim answers.
	f("RFC 9110 15.2.1: 100 unasked", get, head("HTTP/1.1 100 Continue")+one("HTTP/1.1 200 OK"), sized, true)
	hints := head("HTTP/1.1 103 Early Hints", "Link: </a.css>") + head("HTTP/1.1 103 Early Hints")
	f("RFC 8297: 103", get, hints+one("HTTP/1.1 200 OK"), hints+sized, true)
	f("RFC 9110 15.2: 103 is not for HTTP/1.0", "GET /x HTTP/1.0\r\nConnection: keep-alive\r\n"+e2e.HostLine+"\r\n",
		hints+one("HTTP/1.1 200 OK"), strings.Replace(sized, "\r\n\r\n", "\r\nConnection: keep-alive\r\n\r\n", 1), true)
	f("RFC 2518 10.1: 102", get, head("HTTP/1.1 102 Processing")+one("HTTP/1.1 200 OK"), head("HTTP/1.1 102 Processing")+sized, true)
	f("RFC 9110 7.6.1: what is for one hop ends here", get, head("HTTP/1.1 103 Early Hints", "Connection: keep-alive, a", "A: b", "C: d",
		"Keep-Alive: x", "Upgrade: y")+one("HTTP/1.1 200 OK"), head("HTTP/1.1 103 Early Hints", "C: d")+sized, true)
	f("interim answer with a length", get, head("HTTP/1.1 103 Early Hints", "Content-Length: 0")+one("HTTP/1.1 200 OK"),
		head("HTTP/1.1 103 Early Hints")+sized, true)

	// Trailers.
	trailed := head("HTTP/1.1 200 OK", "Trailer: X-Sum", "Transfer-Encoding: chunked") + "2\r\nok\r\n0\r\nX-Sum: 5\r\nX_Odd: 1\r\n\r\n"
	f("RFC 9110 6.5.1: trailers for who takes them", e2e.Lines("GET /x HTTP/1.1", "Connection: TE", "TE: trailers"), trailed,
		told("200 OK", "", dated+"Transfer-Encoding: chunked\r\n")+"2\r\nok\r\n0\r\nX-Sum: 5\r\n\r\n", true)
	belongs := head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + "2\r\nok\r\n0\r\nVary: a\r\nX-Sum: 5\r\n" +
		"Content-Type: b\r\nContent-Length: 3\r\nSet-Cookie: c\r\n\r\n"
	f("RFC 9112 7.1.2: trailers that belong in the head", e2e.Lines("GET /x HTTP/1.1", "Connection: TE", "TE: trailers"), belongs,
		told("200 OK", "", dated+"Transfer-Encoding: chunked\r\n")+"2\r\nok\r\n0\r\nX-Sum: 5\r\n\r\n", true)
	f("RFC 9112 7.1.2: and for who says nothing", get, trailed,
		told("200 OK", "", dated+"Transfer-Encoding: chunked\r\n")+"2\r\nok\r\n0\r\nX-Sum: 5\r\n\r\n", true)
	f("RFC 9110 10.1.4: not for who takes none", e2e.Lines("GET /x HTTP/1.1", "TE: gzip"), trailed, coded, true)

	// Chunks that old devices write.
	chunks := func(s string) string { return head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + s }
	f("RFC 9112 7.1: white space behind the size", get, chunks("2 \r\nok\r\n0 \t\r\n\r\n"), coded, true)
	f("RFC 9112 7.1.1: white space around extensions", get, chunks("2 ; a = \"b;\" ; c \r\nok\r\n0 ;a=b\r\n\r\n"), coded, true)

	// Heads that old devices write: good, but who knows what follows.
	old := func(fields ...string) string {
		return strings.ReplaceAll(one("HTTP/1.0 200 OK", fields...), "\r\n", "\n")
	}
	f("RFC 9112 2.2: LF only", get, old(), sized, false)
	f("RFC 9112 2.2: LF only, HTTP/1.1", get, strings.Replace(old(), "1.0", "1.1", 1), sized, false)
	f("RFC 9112 2.2: LF behind one field", get, one("HTTP/1.1 200 OK", "A: b\nC: d"),
		told("200 OK", "A: b\r\nC: d\r\n", dated+"Content-Length: 2\r\n")+"ok", false)
	f("RFC 9112 5.2: folded", get, one("HTTP/1.1 200 OK", "A: b", "  c", "\td", "E: f"),
		told("200 OK", "A: b c d\r\nE: f\r\n", dated+"Content-Length: 2\r\n")+"ok", false)
	f("RFC 9112 5.2: what looks like a field in a fold is none", get, one("HTTP/1.1 200 OK", "A: b", " Transfer-Encoding: chunked"),
		told("200 OK", "A: b Transfer-Encoding: chunked\r\n", dated+"Content-Length: 2\r\n")+"ok", false)
	f("RFC 9112 2.2: LF and chunks", get, strings.ReplaceAll(head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked"), "\r\n", "\n")+
		"2\r\nok\r\n0\r\n\r\n", coded, false)
	f("RFC 9112 2.2: LF in an interim answer", get, "HTTP/1.1 103 Early Hints\nA: b\n\n"+one("HTTP/1.1 200 OK"),
		head("HTTP/1.1 103 Early Hints", "A: b")+sized, false)
	a.g.Counted(`penstock_upstream_heads_mended_total{pool="app"}`, 7)
	f("RFC 9110 2.5: HTTP/1.2", get, one("HTTP/1.2 200 OK"), sized, true)

	// What a 426 asks for.
	f("RFC 9110 15.5.22: Upgrade of a 426", get, one("HTTP/1.1 426 Upgrade Required", "Connection: upgrade", "Upgrade: TLS/1.2"),
		told("426 Upgrade Required", "Upgrade: TLS/1.2\r\n", dated+"Content-Length: 2\r\nConnection: Upgrade\r\n")+"ok", true)
	f("RFC 9110 7.8: and of no other", get, one("HTTP/1.1 200 OK", "Connection: upgrade", "Upgrade: h2c"), sized, true)
}

// TestOldClients: HTTP/1.0 knows no chunks, and needs keep-alive confirmed (RFC 9112 9.3, 7.1).
func TestOldClients(t *testing.T) {
	t.Parallel()
	a := newAnswers(t)
	f := func(stands, fields, answer, framing, body string, stays bool) {
		t.Helper()
		a.s.answers(answer)
		c := e2e.DialRaw(t, a.g.Addr)
		defer c.C.Close()
		c.Send("GET /x HTTP/1.0\r\n" + fields + "\r\n")
		r := c.Answer("GET")
		want := "HTTP/1.1 200 OK\r\nVia: 1.1 penstock\r\nX-Request-Id: *\r\nDate: *\r\n" + framing + "\r\n" + body
		if got := e2e.Masked(c.Got.String()); got != want || r.Err != nil {
			t.Errorf("%s:\n got %q\nwant %q", stands, got, want)
		}
		if stays {
			c.Open(stands, "/probe")
		} else {
			c.Closed(stands)
		}
	}
	const keep = "Connection: keep-alive\r\n"
	coded := head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + "2\r\nok\r\n0\r\nX: y\r\n\r\n"
	sized := head("HTTP/1.1 200 OK", "Content-Length: 2") + "ok"
	f("close", "", sized, "Content-Length: 2\r\nConnection: close\r\n", "ok", false)
	f("keep-alive", keep, sized, "Content-Length: 2\r\nConnection: keep-alive\r\n", "ok", true)
	f("chunked", "", coded, "Connection: close\r\n", "ok", false)
	f("chunked, keep-alive asked for", keep, coded, "Connection: close\r\n", "ok", false)
	f("trailers", "Connection: TE\r\nTE: trailers\r\n", coded, "Connection: close\r\n", "ok", false)
}

// TestUntilClose: a body that ends with the target's connection is framed anew for a client that stays.
func TestUntilClose(t *testing.T) {
	t.Parallel()
	a := newAnswers(t)
	f := func(stands, answer, want string) {
		t.Helper()
		a.s.does(func(c net.Conn, h string) bool {
			if strings.HasPrefix(h, "GET /probe ") {
				_, err := c.Write(e2e.OK("probed"))
				return err == nil
			}
			_, _ = io.WriteString(c, answer) // what is missing shows at the client
			return false
		})
		c := e2e.DialRaw(t, a.g.Addr)
		defer c.C.Close()
		r := c.Get("/x")
		if r.Body != want || r.Err != nil || len(r.TransferEncoding) != 1 {
			t.Errorf("%s: %q, %v, framed by %v", stands, r.Body, r.Err, r.TransferEncoding)
		}
		if a.probe(stands, c) {
			t.Errorf("%s: the target's connection was used again", stands)
		}
		c.Open(stands, "/probe")
	}
	f("HTTP/1.1", head("HTTP/1.1 200 OK", "Connection: close")+"body", "body")
	f("HTTP/1.1 that does not say close", head("HTTP/1.1 200 OK")+"body"+poison, "body"+poison)
	f("HTTP/1.0", head("HTTP/1.0 200 OK")+"body", "body")
	f("HTTP/1.0 that says keep-alive", head("HTTP/1.0 200 OK", "Connection: keep-alive")+"body", "body")
	f("empty", head("HTTP/1.0 200 OK"), "")
	f("large", head("HTTP/1.0 200 OK")+strings.Repeat("0123456789abcdef", 64<<10), strings.Repeat("0123456789abcdef", 64<<10))
}

// TestLateBytes: what a target sends on an idle connection is never served to the next request.
func TestLateBytes(t *testing.T) {
	t.Parallel()
	a := newAnswers(t)
	f := func(stands, answer, late string) {
		t.Helper()
		served := make(chan net.Conn, 1)
		a.s.does(func(c net.Conn, h string) bool {
			if strings.HasPrefix(h, "GET /probe ") {
				_, err := c.Write(e2e.OK("probed"))
				return err == nil
			}
			_, err := io.WriteString(c, answer)
			served <- c
			return err == nil
		})
		c := e2e.DialRaw(t, a.g.Addr)
		defer c.C.Close()
		c.Get("/x")
		target := <-served
		if _, err := io.WriteString(target, late); err != nil {
			t.Fatal(err)
		}
		if a.probe(stands, c) {
			t.Errorf("%s: the target's connection was used again", stands)
		}
		c.Open(stands, "/probe")
	}
	f("a whole answer", string(e2e.OK("first")), poison)
	f("one byte", string(e2e.OK("first")), "P")
	f("408 of an idle timeout", string(e2e.OK("first")), head("HTTP/1.1 408 Request Timeout", "Content-Length: 0", "Connection: close"))
	f("behind a chunked answer", string(e2e.ChunkedAnswer("first", 2)), poison)
}

// TestBrokenChunks: what is wrong in a chunked answer cuts the client's answer; it is never complete.
func TestBrokenChunks(t *testing.T) {
	t.Parallel()
	a := newAnswers(t)
	f := func(stands, body string) {
		t.Helper()
		a.s.answers(head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + "5\r\nfirst\r\n" + body)
		c := e2e.DialRaw(t, a.g.Addr)
		defer c.C.Close()
		c.Send(e2e.Lines("GET /x HTTP/1.1"))
		resp, err := http.ReadResponse(c.R, nil)
		if err != nil {
			return // the connection was cut with nothing sent: as good
		}
		b, err := io.ReadAll(resp.Body)
		if resp.StatusCode == 502 && err == nil {
			return
		}
		if err == nil || strings.Contains(string(b), "POISON") || strings.HasSuffix(c.Got.String(), "0\r\n\r\n") {
			t.Errorf("%s: looks complete: %q, %v", stands, c.Got.String(), err)
		}
		if a.probe(stands, nil) {
			t.Errorf("%s: the target's connection was used again", stands)
		}
	}
	const end = "\r\n0\r\n\r\n"
	f("RFC 9112 7.1: LF behind the size", "6\nPOISON"+end)
	f("RFC 9112 7.1: 0x", "0x6\r\nPOISON"+end)
	f("RFC 9112 7.1: plus", "+6\r\nPOISON"+end)
	f("RFC 9112 7.1: negative", "-6\r\nPOISON"+end)
	f("RFC 9112 7.1: overflow", "10000000000000006\r\nPOISON"+end)
	f("RFC 9112 7.1: no size", "\r\nPOISON"+end)
	f("RFC 9112 7.1: space before the size", " 6\r\nPOISON"+end)
	f("RFC 9112 7.1.1: extension without a name", "6;\r\nPOISON"+end)
	f("RFC 9112 7.1.1: open quotes", "6;a=\"b\r\nPOISON"+end)
	f("RFC 9112 7.1.1: long extension", "6;"+strings.Repeat("a", 300)+"\r\nPOISON"+end)
	f("RFC 9112 7.1.1: LF in an extension", "6;a\nPOISON"+end)
	f("RFC 9112 7.1: LF behind the last size", "0\n\n")
	f("RFC 9112 5.1: space before a trailer's colon", "0\r\nA : b\r\n\r\n")
	f("RFC 9112 5.2: obs-fold in a trailer", "0\r\nA: b\r\n c\r\n\r\n")
	f("bounded memory: trailers", "0\r\n"+strings.Repeat("A: "+strings.Repeat("x", 1000)+"\r\n", 20)+"\r\n")

	// Data in its own chunk is passed on before the fault behind it is seen.
	f("RFC 9112 7.1: LF behind the data", "1\r\na\n0\r\n\r\n")
	f("RFC 9112 7.1: data longer than its size", "1\r\naPOISON"+end)
}
