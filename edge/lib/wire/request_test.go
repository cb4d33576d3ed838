package wire

import (
	"strconv"
	"strings"
	"testing"
)

// head makes a request head of its lines.
func head(lines ...string) string { return strings.Join(lines, "\r\n") + "\r\n\r\n" }

// refused returns the closure of the tests below: src must be refused with status and code. Each case
// is a rule; README.md names the RFC section or the attack.
func refused(t *testing.T) func(src string, status int, code string) {
	return func(src string, status int, code string) {
		t.Helper()
		var m Request
		before := []byte("kept")
		end := HeadEnd([]byte(src), 0)
		if end == 0 {
			t.Fatalf("%q: no end found", src)
		}
		clean, v := ScanRequest(before, []byte(src)[:end], &m)
		if v == nil {
			t.Fatalf("%q: accepted", src)
		}
		if v.Status != status || v.Code != code {
			t.Fatalf("%q: got %d %s (%s), want %d %s", src, v.Status, v.Code, v.Detail, status, code)
		}
		if string(clean) != "kept" {
			t.Fatalf("%q: clean block of a refused head: %q", src, clean)
		}
	}
}

// refusedField returns a closure for lines that make a good request bad.
func refusedField(t *testing.T) func(line string) {
	f := refused(t)
	return func(line string) {
		t.Helper()
		f(head("GET / HTTP/1.1", "Host: a", line), 400, "bad_request")
	}
}

func TestRequestRefusedLineEnds(t *testing.T) {
	f := refused(t)
	bad := func(src string) { t.Helper(); f(src, 400, "bad_request") }
	field := refusedField(t)
	bad("GET / HTTP/1.1\nHost: a\n\n")
	bad("GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n")
	bad("GET / HTTP/1.1\nHost: a\r\n\r\n")
	bad("GET / HTTP/1.1\r\nHost: a\r\nX: y\n\r\n")
	bad("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")
	bad("\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")
	bad("\rGET / HTTP/1.1\r\nHost: a\r\n\r\n")
	field("X: a\rb")
	field("X: a\r\r")
	field("X: a\x00b")
	field("X: a\x0bb")
	field("X: a\x7f")
	field("X: \x1b[31m")
}

func TestRequestRefusedFields(t *testing.T) {
	f := refused(t)
	bad := func(src string) { t.Helper(); f(src, 400, "bad_request") }
	field := refusedField(t)
	field(" X: y")
	field("\tX: y")
	bad(head("GET / HTTP/1.1", " Host: a"))
	field("X: y\r\n folded")
	field("Transfer-Encoding:\r\n chunked")
	field("X : y")
	field("X\t: y")
	field("Foo Bar: x")
	field("X Transfer-Encoding: chunked")
	field(": y")
	field("no colon")
	field("X\x00: y")
	field("X(y): z")
	field("X\xe9: y")
	field("Content-Length\x0b: 3")
}

func TestRequestRefusedLine(t *testing.T) {
	f := refused(t)
	bad := func(src string) { t.Helper(); f(src, 400, "bad_request") }
	bad(head("GET  / HTTP/1.1", "Host: a"))
	bad(head("GET /  HTTP/1.1", "Host: a"))
	bad(head("GET / HTTP/1.1 ", "Host: a"))
	bad(head(" GET / HTTP/1.1", "Host: a"))
	bad(head("GET\t/ HTTP/1.1", "Host: a"))
	bad(head("GET / x HTTP/1.1", "Host: a"))
	bad(head("GET /", "Host: a"))
	bad(head("GET", "Host: a"))
	bad(head("GET / ", "Host: a"))
	bad(head("GET / http/1.1", "Host: a"))
	bad(head("GET / HTTP/1.10", "Host: a"))
	bad(head("GET / HTTP/11", "Host: a"))
	bad(head("GET / HTTP/1", "Host: a"))
	bad(head("GET / HTTQ/1.1", "Host: a"))
	bad(head("G(T / HTTP/1.1", "Host: a"))
	bad(head("G\x00T / HTTP/1.1", "Host: a"))
	f(head("GET / HTTP/2.0", "Host: a"), 505, "version_not_supported")
	f(head("GET / HTTP/0.9", "Host: a"), 505, "version_not_supported")
	f("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "version_not_supported")
	f(head(strings.Repeat("G", maxMethod+1)+" / HTTP/1.1", "Host: a"), 501, "not_implemented")
	f(head("TRACE / HTTP/1.1", "Host: a"), 405, "method_not_allowed")
	f(head("trace / HTTP/1.1", "Host: a"), 405, "method_not_allowed")
	f(head("Connect / HTTP/1.1", "Host: a"), 405, "method_not_allowed")
	f(head("CONNECT a:443 HTTP/1.1", "Host: a:443"), 405, "method_not_allowed")
}

func TestRequestRefusedTarget(t *testing.T) {
	f := refused(t)
	bad := func(src string) { t.Helper(); f(src, 400, "bad_request") }
	target := func(s string) { t.Helper(); bad(head("GET "+s+" HTTP/1.1", "Host: a")) }
	target("/a#b")
	target("/?a#b")
	target("/a\x01b")
	target("/a\x7fb")
	target("/a\x00b")
	target("/a\tb")
	target("a")
	target("a/b")
	target("?x")
	target("*")
	target("*x")
	target("a:80")
	target("http:/a/")
	target("http:")
	target("http://")
	target("http:///x")
	target("ftp://a/")
	target("ws://a/")
	target("://a/")
	target("http://u@a/")
	target("http://u:p@a/")
	target("http://a:0/")
	target("http://a:99999/")
	target("http://a%2f/")
	target("http://a/#f")
	target("http://a#f")
	target("http://a?x#y")
	target("http://?x")
	target("http://a\\b/")
	bad(head("OPTIONS */ HTTP/1.1", "Host: a"))
}

func TestRequestRefusedHost(t *testing.T) {
	f := refused(t)
	bad := func(src string) { t.Helper(); f(src, 400, "bad_request") }
	bad(head("GET / HTTP/1.1"))
	bad(head("GET / HTTP/1.1", "X: y"))
	bad(head("GET http://a/ HTTP/1.1"))
	bad(head("GET http://a/ HTTP/1.1", "Host: b c"))
	bad(head("GET / HTTP/1.1", "Host: a", "Host: a"))
	bad(head("GET / HTTP/1.1", "Host: a", "hOST: b"))
	bad(head("GET / HTTP/1.0", "Host: a", "Host: a"))
	host := func(h string) { t.Helper(); bad(head("GET / HTTP/1.1", "Host: "+h)) }
	for _, h := range badHosts {
		host(h)
	}
}

func TestRequestRefusedFraming(t *testing.T) {
	f := refused(t)
	bad := func(src string) { t.Helper(); f(src, 400, "bad_request") }
	field := refusedField(t)
	field("Content-Length: 3\r\nTransfer-Encoding: chunked")
	field("Transfer-Encoding: chunked\r\nContent-Length: 3")
	field("Transfer-Encoding: identity")
	field("Transfer-Encoding: Identity\r\nContent-Length: 3")
	field("Transfer-Encoding:")
	field("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked")
	field("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity")
	bad(head("POST / HTTP/1.0", "Host: a", "Transfer-Encoding: chunked"))
	coding := func(s string) {
		t.Helper()
		f(head("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: "+s), 501, "not_implemented")
	}
	coding("gzip")
	coding("gzip, chunked")
	coding("chunked, gzip")
	coding("chunked, chunked")
	coding("chunked,")
	coding("xchunked")
	coding("chunked;a=b")
	coding("\"chunked\"")
	coding("\xa0chunked")
	length := func(s string) { t.Helper(); field("Content-Length: " + s) }
	length("")
	length("+3")
	length("-3")
	length("0x3")
	length("3,3")
	length("3, 3")
	length("3 3")
	length("3;")
	length("1e3")
	length("3.0")
	length("１")
	length("9223372036854775808")
	length("18446744073709551619")
	length("0000000000000000003")
	length("3\r\nContent-Length: 3")
	length("3\r\ncontent-length: 4")
}

func TestRequestRefusedOptions(t *testing.T) {
	f := refused(t)
	field := refusedField(t)
	field("Connection: a b")
	field("Connection: \"close\"")
	field("Connection: close;x")
	field("Connection: x1,x2,x3,x4,x5,x6,x7,x8,x9,x10,x11,x12,x13,x14,x15,x16,x17")
	field("Connection: upgrade\r\nUpgrade:")
	field("Connection: upgrade\r\nUpgrade: web(socket)")
	field("Connection: upgrade\r\nUpgrade: websocket\r\nUpgrade: websocket")
	expect := func(s string) {
		t.Helper()
		f(head("POST / HTTP/1.1", "Host: a", "Expect: "+s), 417, "expectation_failed")
	}
	expect("200-ok")
	expect("")
	expect("100-continue, x")
	expect("100-continue\r\nExpect: 100-continue")
}

func TestRequestRefusedSize(t *testing.T) {
	f := refused(t)
	many := strings.Repeat("X: y\r\n", MaxFields)
	f("GET / HTTP/1.1\r\nHost: a\r\n"+many+"\r\n", 431, "head_too_large")
}

func TestRequestIncomplete(t *testing.T) {
	src := head("POST http://h:1/p?q HTTP/1.1", "Host: a", "Content-Length: 3", "Connection: x", "X: y")
	for i := range len(src) {
		var m Request
		if _, v := ScanRequest(nil, []byte(src[:i]), &m); v == nil {
			t.Fatalf("%q: accepted", src[:i])
		}
		if end := HeadEnd([]byte(src[:i]), 0); end != 0 {
			t.Fatalf("%q: end at %d", src[:i], end)
		}
	}
}

func TestRequestTooManyFieldsExactly(t *testing.T) {
	var m Request
	src := "GET / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("X: y\r\n", MaxFields-1) + "\r\n"
	if _, v := ScanRequest(nil, []byte(src), &m); v != nil {
		t.Fatal(v)
	}
}

// show writes the parts of m that differ from those of a plain GET of "/" at "a" over HTTP/1.1.
func show(m *Request) string {
	var b strings.Builder
	add := func(name string, differs bool, value string) {
		if differs {
			b.WriteString(name + "=" + value + " ")
		}
	}
	add("method", string(m.Method) != "GET", string(m.Method))
	add("uri", string(m.URI) != "/", string(m.URI))
	add("path", string(m.Path) != string(m.URI), string(m.Path))
	add("query", m.HasQuery, string(m.Query))
	add("host", string(m.Host) != "a", string(m.Host))
	add("scheme", m.Scheme != nil, string(m.Scheme))
	add("form", m.Form != OriginForm, strconv.Itoa(int(m.Form)))
	add("minor", m.Minor != 1, strconv.Itoa(m.Minor))
	add("length", m.ContentLength != -1, strconv.FormatInt(m.ContentLength, 10))
	add("chunked", m.Chunked, "yes")
	add("close", m.Close, "yes")
	add("keepalive", m.KeepAlive, "yes")
	add("100", m.Expect100, "yes")
	add("te", m.TETrailers, "yes")
	add("upgrade", m.Upgrade != nil, string(m.Upgrade))
	add("notrailers", m.NoTrailers, "yes")
	add("trailer", m.Trailer != nil, string(m.Trailer))
	add("cookie", m.Cookie != nil, string(m.Cookie))
	return strings.TrimSpace(b.String())
}

func TestRequestMeaning(t *testing.T) {
	f := func(src, want string) {
		t.Helper()
		var m Request
		all := []byte(src + "GET /next")
		if end := HeadEnd(all, 0); end != len(src) {
			t.Fatalf("%q: end at %d", src, end)
		}
		_, v := ScanRequest(nil, all, &m)
		if v != nil {
			t.Fatalf("%q: %s", src, v.Detail)
		}
		if m.Len != len(src) {
			t.Fatalf("%q: Len %d, want %d", src, m.Len, len(src))
		}
		if got := show(&m); got != want {
			t.Fatalf("%q:\n got %s\nwant %s", src, got, want)
		}
	}
	get := func(want string, lines ...string) {
		t.Helper()
		f(head(append([]string{"GET / HTTP/1.1", "Host: a"}, lines...)...), want)
	}
	old := func(want string, lines ...string) {
		t.Helper()
		f(head(append([]string{"GET / HTTP/1.0", "Host: a"}, lines...)...), want)
	}
	get("")
	f("\r\n"+head("GET / HTTP/1.1", "Host:a"), "")
	f("\r\n\r\n"+head("GET / HTTP/1.1", "Host:a"), "")
	f(head("GET / HTTP/1.2", "Host: a"), "")
	f(head("GET / HTTP/1.9", "Host: a", "Connection: x"), "")
	f(head("GET / HTTP/1.1", "Host: a:"), "")
	f(head("GET / HTTP/1.1", "Host: [::1]:"), "host=[::1]")
	f(head("GET http://a:/ HTTP/1.1", "Host: b"), "scheme=http form=1")
	f(head("GET http://a?b/c?d HTTP/1.1", "Host: a"), "uri=/?b/c?d path=/ query=b/c?d scheme=http form=1")
	f(head("GET http://a? HTTP/1.1", "Host: a"), "uri=/? path=/ query= scheme=http form=1")
	f(head("GET //b//c HTTP/1.1", "Host: a"), "uri=//b//c") // for the canonical path to refuse
	f(head("GET / HTTP/1.1", "X: y", "hOSt: \t a\t "), "")
	for _, m := range []string{"M-SEARCH", "BITS_POST", "get", "-", "!#$%&'*+.^_`|~9", strings.Repeat("G", maxMethod)} {
		f(head(m+" / HTTP/1.1", "Host: a"), "method="+m)
	}
	f(head("OPTIONS * HTTP/1.1", "Host: a"), "method=OPTIONS uri=* form=2")
	f(head("GET /a/b?c=d?e HTTP/1.1", "Host: a"), "uri=/a/b?c=d?e path=/a/b query=c=d?e")
	f(head("GET /? HTTP/1.1", "Host: a"), "uri=/? path=/ query=")
	f(head("GET /\xc3\xa9%zz\\..%2f HTTP/1.1", "Host: a"), "uri=/\xc3\xa9%zz\\..%2f")
	f(head("GET /?u=http://x//y HTTP/1.1", "Host: a"), "uri=/?u=http://x//y path=/ query=u=http://x//y")

	f(head("GET http://b:80/c?d HTTP/1.1", "Host: a"),
		"uri=/c?d path=/c query=d host=b:80 scheme=http form=1")
	f(head("GET HTTPS://[::1]:9 HTTP/1.1", "Host: a"), "host=[::1]:9 scheme=HTTPS form=1")
	f(head("GET http://b/ HTTP/1.0"), "host=b scheme=http form=1 minor=0 close=yes")
	f(head("GET / HTTP/1.0"), "host= minor=0 close=yes")

	get("length=3", "Content-Length: 003")
	get("length=0", "content-length:0")
	get("length=999999999999999999", "Content-Length: 999999999999999999")
	get("chunked=yes", "Transfer-Encoding: chunked")
	get("chunked=yes", "transfer-encoding: \tChUnKeD ")
	get("close=yes", "Connection: close")
	get("close=yes", "Connection: keep-alive, , CLOSE")
	get("close=yes", "Connection: keep-alive", "Connection: close")
	get("", "Connection: keep-alive")
	get("", "Proxy-Connection: close")
	get("", "Connection:")
	old("minor=0 close=yes")
	old("minor=0 keepalive=yes", "Connection: Keep-Alive")
	old("minor=0 close=yes", "Connection: keep-alive, close")
	old("minor=0 length=3 close=yes", "Content-Length: 3", "Connection: x")
}

func TestRequestNegotiation(t *testing.T) {
	f := func(want string, lines ...string) {
		t.Helper()
		var m Request
		if _, v := ScanRequest(nil, []byte(head(lines...)), &m); v != nil {
			t.Fatalf("%q: %s", lines, v.Detail)
		}
		if got := show(&m); got != want {
			t.Fatalf("%q:\n got %s\nwant %s", lines, got, want)
		}
	}
	get, old := "GET / HTTP/1.1", "GET / HTTP/1.0"
	f("100=yes", get, "Host: a", "Expect: 100-Continue")
	f("minor=0 close=yes", old, "Host: a", "Expect: 100-continue")
	f("upgrade=websocket", get, "Host: a", "Upgrade: websocket", "Connection: Upgrade")
	f("upgrade=websocket", get, "Host: a", "Connection: keep-alive, upgrade", "Upgrade: websocket")
	f("", get, "Host: a", "Upgrade: websocket")
	f("", get, "Host: a", "Upgrade: what(ever)")
	f("", get, "Host: a", "Connection: upgrade")
	f("", get, "Host: a", "Connection: upgrade, http2-settings", "Upgrade: h2c", "HTTP2-Settings: AAM")
	f("", get, "Host: a", "Connection: upgrade", "Upgrade: websocket , H2C")
	f("minor=0 close=yes", old, "Host: a", "Connection: upgrade", "Upgrade: websocket")
	f("te=yes", get, "Host: a", "TE: gzip, Trailers", "Connection: TE")
	f("te=yes", get, "Host: a", "TE: trailers")
	f("te=yes", get, "Host: a", "TE: gzip;q=0.5 ,\tTRAILERS ; q=0.1")
	f("te=yes", get, "Host: a", "TE: gzip", "te: , trailers;q=1.0,")
	f("notrailers=yes", get, "Host: a", "Connection: te", "TE: trailersx")
	f("notrailers=yes", get, "Host: a", "TE: trailers;q=0.00", "TE: ")
	f("trailer=A, B", get, "Host: a", "Trailer: A, B", "Trailer: C")
	f("cookie=a=1; b=2; c=3", get, "Host: a", "Cookie: a=1; b=2", "Cookie: c=3")
	f("cookie=c=3", get, "Host: a", "Cookie:", "Cookie: c=3", "cookie: ")
}

func TestRequestClean(t *testing.T) {
	f := func(want string, lines ...string) {
		t.Helper()
		var m Request
		src := head(lines...)
		clean, v := ScanRequest([]byte("before|"), []byte(src), &m)
		if v != nil {
			t.Fatalf("%q: %s", src, v.Detail)
		}
		if string(clean) != "before|"+want {
			t.Fatalf("%q:\n got %q\nwant %q", src, clean, want)
		}
	}
	get := "GET / HTTP/1.1"
	f("GET / HTTP/1.1\r\nhost:a\r\n\r\n", get, "host:a")
	f("GET /c HTTP/1.1\r\nHost: b\r\nX: y\r\n\r\n", "GET http://b/c HTTP/1.0", "X: y", "Host: a")
	f("GET / HTTP/1.0\r\nX: y\r\n\r\n", "GET / HTTP/1.0", "X: y")
	f("GET / HTTP/1.1\r\nB: 1\r\nA: 2\r\nHost: a\r\nb:  3\t\r\nE:\r\n\r\n",
		get, "B: 1", "A: 2", "Host: a", "b:  3\t", "E:")
	f("GET / HTTP/1.1\r\nHost: a\r\nCookie: x\r\nDate: d\r\nCookie: y\r\n\r\n",
		get, "Host: a", "Cookie: x", "Date: d", "Cookie: y")

	// Hop-by-hop fields, framing and Expect never stay.
	f("GET / HTTP/1.1\r\nHost: a\r\nKept: 1\r\n\r\n", get, "Host: a",
		"Connection: close", "Keep-Alive: timeout=5", "Close: x", "Proxy-Connection: close",
		"Proxy-Authenticate: x", "Proxy-Authorization: x", "Proxy-Authentication-Info: x", "Kept: 1",
		"TE: trailers", "Trailer: X", "Upgrade: websocket", "HTTP2-Settings: x", "Content-Length: 1",
		"Expect: 100-continue")
	f("GET / HTTP/1.1\r\nHost: a\r\n\r\n", get, "Host: a", "transfer-ENCODING: chunked")

	// A name with "_" is taken for one with "-" by CGI-like targets.
	f("GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n\r\n", get, "Host: a", "X_Forwarded_For: 1.2.3.4",
		"X: 1", "Content_Length: 5", "_: 1")

	// What Connection names goes, wherever it stands, in any case.
	f("GET / HTTP/1.1\r\nHost: a\r\nX-C: 3\r\n\r\n", get, "X-A: 1", "Host: a",
		"Connection: x-a, X-Very-Long-Name-Of-A-Field-Beyond-Bounds", "x-A: 2",
		"X-Very-Long-Name-Of-A-Field-Beyond-Bounds: 4", "X-C: 3")
	// But it cannot take away what others rely on.
	f("GET / HTTP/1.1\r\nHost: a\r\nAuthorization: b\r\nX-Forwarded-For: c\r\nCookie: d\r\n"+
		"Content-Type: e\r\nRange: f\r\nCache-Control: g\r\nX-Request-Id: h\r\nIf-Match: i\r\n\r\n", get,
		"Connection: host, authorization, X-Forwarded-For, cookie, content-type, range, content-length",
		"Connection: cache-control, x-request-id, if-match, transfer-encoding",
		"Host: a", "Authorization: b", "X-Forwarded-For: c", "Cookie: d", "Content-Type: e", "Range: f",
		"Cache-Control: g", "X-Request-Id: h", "If-Match: i", "Content-Length: 7")
}

// TestRequestNamedLength checks that Connection cannot hide the framing either.
func TestRequestNamedLength(t *testing.T) {
	var m Request
	src := head("POST / HTTP/1.1", "Connection: content-length", "Host: a", "Content-Length: 7")
	if _, v := ScanRequest(nil, []byte(src), &m); v != nil || m.ContentLength != 7 {
		t.Fatal(v, m.ContentLength)
	}
}

func TestRequestClaims(t *testing.T) {
	f := func(want bool, lines string) {
		t.Helper()
		var m Request
		if _, v := ScanRequest(nil, []byte("GET / HTTP/1.1\r\nHost: h\r\n"+lines+"\r\n"), &m); v != nil {
			t.Fatalf("%q: %v", lines, v)
		}
		if m.Claims != want {
			t.Errorf("%q: claims %v, want %v", lines, m.Claims, want)
		}
	}
	f(false, "")
	f(false, "Accept: */*\r\nX-Api-Key: via\r\nX-Realm-Ip: 1\r\nForwarder: 1\r\nX-Forwarded: 1\r\n")
	f(true, "Via: 1.0 fred\r\n")
	f(true, "vIA: 1.0 fred\r\nAccept: 1\r\n")
	f(true, "Accept: 1\r\nForwarded: for=1.1.1.1\r\n")
	f(true, "X-Real-IP: 1.1.1.1\r\n")
	f(true, "x-request-id: 1\r\n")
	f(true, "X-Forwarded-For: 1\r\n")
	f(true, "X-Forwarded-Client-Cert-And-A-Long-Name-Behind-It: 1\r\n")
	f(false, "X_Forwarded_For: 1\r\n") // taken out
}
