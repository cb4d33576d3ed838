//go:build !race

package hop

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/penstock-edge/penstock/edge/e2e"
)

// refusedHead is a head that must never reach a target.
type refusedHead struct {
	stands string // RFC section or attack
	send   string
	status int
	code   string
}

var refusedHeads = []refusedHead{
	// Lines.
	{"RFC 9112 2.2: LF for a line end", "GET /x HTTP/1.1\nHost: example.com\n\n", 400, "bad_request"},
	{"RFC 9112 2.2: LF behind a field", "GET /x HTTP/1.1\r\nHost: example.com\r\nA: b\nC: d\r\n\r\n", 400, "bad_request"},
	{"RFC 9112 2.2: LF in the last line, CRLFCRLF later", e2e.Lines("GET /x HTTP/1.1", "A: b\nTransfer-Encoding: chunked"), 400, "bad_request"},
	{"RFC 9112 2.2: LF for the empty line", "GET /x HTTP/1.1\r\n" + e2e.HostLine + "\n", 400, "bad_request"},
	{"RFC 9112 2.2: CR in a value", e2e.Lines("GET /x HTTP/1.1", "A: b\rTransfer-Encoding: chunked"), 400, "bad_request"},
	{"RFC 9112 2.2: CR in the request line", e2e.Lines("GET /x\rHTTP/1.1"), 400, "bad_request"},
	{"RFC 9112 2.2: three empty lines before", "\r\n\r\n\r\n" + e2e.Lines("GET /x HTTP/1.1"), 400, "bad_request"},
	{"RFC 9112 2.2: LF before the request line", "\n" + e2e.Lines("GET /x HTTP/1.1"), 400, "bad_request"},
	{"RFC 9112 2.2: white space before the first field", "GET /x HTTP/1.1\r\n A: b\r\n" + e2e.HostLine + "\r\n", 400, "bad_request"},
	{"RFC 9112 5.2: obs-fold", e2e.Lines("GET /x HTTP/1.1", "A: b", " c"), 400, "bad_request"},
	{"RFC 9112 5.2: obs-fold with a tab", e2e.Lines("GET /x HTTP/1.1", "A: b", "\tc"), 400, "bad_request"},
	{"RFC 9112 5.2: obs-fold in Transfer-Encoding", e2e.PostWith("Transfer-Encoding:", " chunked"), 400, "bad_request"},
	{"RFC 9112 5.2: obs-fold hides a length", e2e.PostWith("A: b", " Content-Length: 3"), 400, "bad_request"},

	// The request line.
	{"RFC 9112 3: two spaces", e2e.Lines("GET  /x HTTP/1.1"), 400, "bad_request"},
	{"RFC 9112 3: two spaces before the version", e2e.Lines("GET /x  HTTP/1.1"), 400, "bad_request"},
	{"RFC 9112 3: space at the end", e2e.Lines("GET /x HTTP/1.1 "), 400, "bad_request"},
	{"RFC 9112 3: space at the start", e2e.Lines(" GET /x HTTP/1.1"), 400, "bad_request"},
	{"RFC 9112 3: tab for a space", e2e.Lines("GET\t/x HTTP/1.1"), 400, "bad_request"},
	{"RFC 9112 3: space in the target", e2e.Lines("GET /x y HTTP/1.1"), 400, "bad_request"},
	{"RFC 9112 3: vertical tab", e2e.Lines("GET /x\x0bHTTP/1.1"), 400, "bad_request"},
	{"RFC 1945 3.1: HTTP/0.9", "GET /x\r\n\r\n", 400, "bad_request"},
	{"RFC 9110 2.5: HTTP/0.9 as text", e2e.Lines("GET /x HTTP/0.9"), 505, "version_not_supported"},
	{"RFC 9110 15.6.6: HTTP/2.0", e2e.Lines("GET /x HTTP/2.0"), 505, "version_not_supported"},
	{"RFC 9113 3.4: HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "version_not_supported"},
	{"RFC 9112 2.3: version in lower case", e2e.Lines("GET /x http/1.1"), 400, "bad_request"},
	{"RFC 9112 2.3: two digits", e2e.Lines("GET /x HTTP/1.10"), 400, "bad_request"},
	{"RFC 9112 2.3: other name", e2e.Lines("GET /x ICAP/1.0"), 400, "bad_request"},

	// Methods.
	{"RFC 9110 15.6.2: endless method", e2e.Lines(strings.Repeat("A", 65) + " /x HTTP/1.1"), 501, "not_implemented"},
	{"RFC 9110 5.6.2: method is no token", e2e.Lines("GE@T /x HTTP/1.1"), 400, "bad_request"},
	{"RFC 9110 9.3.6: CONNECT", "CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n", 405, "method_not_allowed"},
	{"RFC 9110 9.3.6: CONNECT with a path", e2e.Lines("CONNECT /x HTTP/1.1"), 405, "method_not_allowed"},
	{"RFC 9110 9.3.8: TRACE", e2e.Lines("TRACE /x HTTP/1.1"), 405, "method_not_allowed"},
	{"binary greeting: TLS on a plain port", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "bad_request"},

	// Field names.
	{"RFC 9112 5.1: space before the colon", e2e.PostWith("Transfer-Encoding : chunked"), 400, "bad_request"},
	{"RFC 9112 5.1: tab before the colon", e2e.PostWith("Content-Length\t: 3"), 400, "bad_request"},
	{"RFC 9110 5.1: space in a name", e2e.Lines("GET /x HTTP/1.1", "Foo Bar: x"), 400, "bad_request"},
	{"smuggling: name ends in Transfer-Encoding", e2e.PostWith("X Transfer-Encoding: chunked"), 400, "bad_request"},
	{"RFC 9110 5.1: empty name", e2e.Lines("GET /x HTTP/1.1", ": x"), 400, "bad_request"},
	{"RFC 9112 5: no colon", e2e.Lines("GET /x HTTP/1.1", "Foo"), 400, "bad_request"},
	{"RFC 9110 5.1: NUL in a name", e2e.PostWith("Transfer-Encoding\x00: chunked"), 400, "bad_request"},
	{"RFC 9110 5.1: vertical tab in a name", e2e.PostWith("Transfer-Encoding\x0b: chunked"), 400, "bad_request"},
	{"RFC 9110 5.1: byte above ASCII in a name", e2e.PostWith("Transfer-Encoding\xff: chunked"), 400, "bad_request"},
	{"RFC 9110 5.1: bracket in a name", e2e.Lines("GET /x HTTP/1.1", "A[0]: x"), 400, "bad_request"},

	// Field values.
	{"RFC 9110 5.5: NUL", e2e.Lines("GET /x HTTP/1.1", "A: b\x00c"), 400, "bad_request"},
	{"RFC 9110 5.5: escape", e2e.Lines("GET /x HTTP/1.1", "A: \x1b[31m"), 400, "bad_request"},
	{"RFC 9110 5.5: DEL", e2e.Lines("GET /x HTTP/1.1", "A: b\x7f"), 400, "bad_request"},

	// Framing.
	{"RFC 9112 6.3: CL.TE", e2e.PostWith("Content-Length: 3", "Transfer-Encoding: chunked"), 400, "bad_request"},
	{"RFC 9112 6.3: TE.CL", e2e.PostWith("Transfer-Encoding: chunked", "Content-Length: 3"), 400, "bad_request"},
	{"smuggling: GPOST", e2e.Lines("POST /x HTTP/1.1", "Content-Length: 6", "Transfer-Encoding: chunked") + "0\r\n\r\nG", 400, "bad_request"},
	{"RFC 9112 7: identity with a length", e2e.PostWith("Transfer-Encoding: identity", "Content-Length: 3"), 400, "bad_request"},
	{"RFC 9112 7: identity alone", e2e.PostWith("Transfer-Encoding: identity"), 400, "bad_request"},
	{"RFC 9112 6.1: gzip, chunked", e2e.PostWith("Transfer-Encoding: gzip, chunked"), 501, "not_implemented"},
	{"RFC 9112 6.1: chunked, identity", e2e.PostWith("Transfer-Encoding: chunked, identity"), 501, "not_implemented"},
	{"RFC 9112 6.1: chunked twice", e2e.PostWith("Transfer-Encoding: chunked, chunked"), 501, "not_implemented"},
	{"RFC 9112 7: chunked with a parameter", e2e.PostWith("Transfer-Encoding: chunked;q=1"), 501, "not_implemented"},
	{"TE.TE: xchunked", e2e.PostWith("Transfer-Encoding: xchunked"), 501, "not_implemented"},
	{"TE.TE: quoted", e2e.PostWith(`Transfer-Encoding: "chunked"`), 501, "not_implemented"},
	{"TE.TE: list with an empty member", e2e.PostWith("Transfer-Encoding: ,chunked"), 501, "not_implemented"},
	{"TE.TE: vertical tab", e2e.PostWith("Transfer-Encoding: \x0bchunked"), 400, "bad_request"},
	{"TE.TE: form feed", e2e.PostWith("Transfer-Encoding: chunked\x0c"), 400, "bad_request"},
	{"TE.TE: NUL", e2e.PostWith("Transfer-Encoding: chunked\x00"), 400, "bad_request"},
	{"TE.TE: empty", e2e.PostWith("Transfer-Encoding:"), 400, "bad_request"},
	{"TE.TE: two lines", e2e.PostWith("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"), 400, "bad_request"},
	{"TE.TE: two lines, one of them odd", e2e.PostWith("Transfer-Encoding: chunked", "Transfer-encoding: x"), 400, "bad_request"},
	{"TE.TE: two lines, the first one odd", e2e.PostWith("Transfer-Encoding: x", "Transfer-encoding: chunked"), 501, "not_implemented"},
	{"RFC 9112 6.1: Transfer-Encoding in HTTP/1.0", e2e.Lines("POST /x HTTP/1.0", "Transfer-Encoding: chunked") + "0\r\n\r\n", 400, "bad_request"},
	{"CL.CL: two different", e2e.PostWith("Content-Length: 3", "Content-Length: 0"), 400, "bad_request"},
	{"CL.CL: two equal", e2e.PostWith("Content-Length: 3", "Content-Length: 3"), 400, "bad_request"},
	{"CL.CL: list", e2e.PostWith("Content-Length: 3, 3"), 400, "bad_request"},
	{"RFC 9110 8.6: plus", e2e.PostWith("Content-Length: +3"), 400, "bad_request"},
	{"RFC 9110 8.6: minus", e2e.PostWith("Content-Length: -3"), 400, "bad_request"},
	{"RFC 9110 8.6: hexadecimal", e2e.PostWith("Content-Length: 0x3"), 400, "bad_request"},
	{"RFC 9110 8.6: empty", e2e.PostWith("Content-Length:"), 400, "bad_request"},
	{"RFC 9110 8.6: blanks between digits", e2e.PostWith("Content-Length: 3 3"), 400, "bad_request"},
	{"RFC 9110 8.6: fraction", e2e.PostWith("Content-Length: 3.0"), 400, "bad_request"},
	{"RFC 9110 8.6: exponent", e2e.PostWith("Content-Length: 3e0"), 400, "bad_request"},
	{"RFC 9110 8.6: underscore", e2e.PostWith("Content-Length: 0_3"), 400, "bad_request"},
	{"RFC 9110 8.6: overflow", e2e.PostWith("Content-Length: 18446744073709551619"), 400, "bad_request"},
	{"RFC 9110 8.6: Arabic digit", e2e.PostWith("Content-Length: \u0663"), 400, "bad_request"},
	{"0.CL: length hidden by a tab in the name", e2e.Lines("GET /x HTTP/1.1", "Content-\tLength: 3"), 400, "bad_request"},

	// Host.
	{"RFC 9112 3.2: no Host", "GET /x HTTP/1.1\r\nA: b\r\n\r\n", 400, "bad_request"},
	{"RFC 9112 3.2: two different", e2e.Lines("GET /x HTTP/1.1", "Host: other"), 400, "bad_request"},
	{"RFC 9112 3.2: two equal", e2e.Lines("GET /x HTTP/1.1", "Host: example.com"), 400, "bad_request"},
	{"RFC 9112 3.2: two in HTTP/1.0", e2e.Lines("GET /x HTTP/1.0", "Host: other"), 400, "bad_request"},
	badHost("empty", ""), badHost("userinfo overwrites Authorization", "user:pw@good"), badHost("list", "a,b"),
	badHost("markup", `<a>"`), badHost("space", "a b"), badHost("path", "a/b"), badHost("query", "a?x"),
	badHost("fragment", "a#x"), badHost("escape", "a%00"), badHost("port 0", "a:0"), badHost("port too large", "a:65536"),
	badHost("two ports", "a:80:80"), badHost("port is a word", "a:http"),
	badHost("unclosed IPv6", "[::1"), badHost("zone", "[fe80::1%25eth0]"), badHost("IPv6 without brackets", "::1"),
	badHost("empty label", "a..b"), badHost("leading dot", ".a"), badHost("byte above ASCII", "\xe4.example"),
	badHost("backslash", `a\b`), badHost("scheme", "http://a"),

	// The target.
	badTarget("RFC 3986 4.2: path read as another host", "//evil/x?u=http://y"),
	badTarget("the same in absolute form", "http://example.com//evil"),
	badTarget("RFC 9110 7.1: fragment", "/a#f"), badTarget("RFC 9112 3.2: NUL", "/a\x00"),
	badTarget("RFC 9112 3.2: control byte", "/a\x01"), badTarget("RFC 9112 3.2: DEL", "/a\x7f"),
	badTarget("RFC 9112 3.2: control byte in the query", "/a?\x01"),
	badTarget("RFC 3986 2.1: bad escape", "/a%zz"), badTarget("RFC 3986 2.1: cut escape", "/a%4"),
	badTarget("escaped NUL", "/a%00"), badTarget("climbs above the root", "/.."),
	badTarget("climbs above the root, escaped", "/a/%2e%2e/%2E%2e/b"), badTarget("backslash", `/a\..\b`),
	badTarget("dot segment beside an escaped separator", "/pub/..%2fadmin"),
	badTarget("dot segment beside an escaped backslash", "/pub/..%5cadmin"),
	badTarget("dots leave two slashes", "/a/..//evil"),
	badTarget("RFC 9112 3.2.3: authority-form", "example.com:80"), badTarget("RFC 9112 3.2: no slash", "x"),
	badTarget("RFC 9112 3.2.2: other scheme", "ftp://example.com/"),
	badTarget("https on a plain connection", "https://example.com/"),
	badTarget("RFC 9110 4.2.4: userinfo", "http://user@example.com/"),
	badTarget("RFC 9112 3.2.2: no authority", "http:///x"), badTarget("RFC 9112 3.2.2: one slash", "http:/x"),
	badTarget("dot segment with a parameter", "/pub/..;/admin"), badTarget("the same, escaped", "/a/%2e%2e;/b"),
	badTarget("the same, all escaped", "/a/%2E%2e%3b/b"), badTarget("dot segment with a named parameter", "/a/..;x=y/b"),
	badTarget("single dot with a parameter", "/a/.;/b"),
	badTarget("RFC 9112 3.2.4: asterisk without OPTIONS", "*"), badTarget("no target", ""),
	{"RFC 9112 3.2.2: bad Host beside an absolute target", "GET http://example.com/ HTTP/1.1\r\nHost: a,b\r\n\r\n", 400, "bad_request"},

	// Fields with a meaning for this hop.
	{"RFC 9110 10.1.1: unknown expectation", e2e.PostWith("Expect: 200-ok", "Content-Length: 3"), 417, "expectation_failed"},
	{"RFC 9110 10.1.1: list of expectations", e2e.PostWith("Expect: 100-continue, x", "Content-Length: 3"), 417, "expectation_failed"},
	{"RFC 9110 10.1.1: two lines", e2e.PostWith("Expect: 100-continue", "Expect: 100-continue", "Content-Length: 3"), 417, "expectation_failed"},
	{"RFC 9110 7.6.1: Connection is no list of tokens", e2e.Lines("GET /x HTTP/1.1", "Connection: a b"), 400, "bad_request"},
	{"bounded work: Connection names too many", e2e.Lines("GET /x HTTP/1.1", "Connection: "+numbered(17)), 400, "bad_request"},
	{"RFC 9110 7.8: two Upgrade lines", e2e.Lines("GET /x HTTP/1.1", "Connection: upgrade", "Upgrade: a", "Upgrade: b"), 400, "bad_request"},
	{"RFC 9110 7.8: malformed Upgrade", e2e.Lines("GET /x HTTP/1.1", "Connection: upgrade", "Upgrade: a(b)"), 400, "bad_request"},

	// Sizes.
	{"RFC 9110 15.5.15: long target", e2e.Lines("GET /" + strings.Repeat("x", 5000) + " HTTP/1.1"), 414, "uri_too_long"},
	{"RFC 6585 5: long field", e2e.Lines("GET /x HTTP/1.1", "A: "+strings.Repeat("x", 5000)), 431, "head_too_large"},
	{"RFC 6585 5: many fields", e2e.Lines("GET /x HTTP/1.1", strings.Split(strings.Repeat("A: b\n", 127)+"A: b", "\n")...), 431, "head_too_large"},
	{"RFC 6585 5: empty lines for ever", strings.Repeat("\r\n", 3000), 400, "bad_request"},
}

func badHost(what, host string) refusedHead {
	return refusedHead{"RFC 9110 7.2: Host: " + what, "GET /x HTTP/1.1\r\nHost: " + host + "\r\n\r\n", 400, "bad_request"}
}

func badTarget(stands, target string) refusedHead {
	return refusedHead{stands + " in the target", e2e.Lines("GET " + target + " HTTP/1.1"), 400, "bad_request"}
}

func numbered(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "n%d,", i)
	}
	return b.String()
}

// TestRefusedHeads: each head is answered with the right status and code, the connection is closed, nothing
// behind it is served, and nothing of it reaches the origin.
func TestRefusedHeads(t *testing.T) {
	t.Parallel()
	rec := e2e.Record(t, nil)
	g := e2e.Start(t, strings.Replace(e2e.Simple(rec.Addr), `name = "main"`, "name = \"main\"\nmax_header_bytes = \"4KiB\"", 1))
	f := func(r refusedHead) {
		t.Helper()
		c := e2e.DialRaw(t, g.Addr)
		defer c.C.Close()
		c.Send(r.send + smuggled)
		a := c.Answer("GET")
		if a.StatusCode != r.status || a.Code() != r.code || !a.Close || a.Err != nil {
			t.Errorf("%s: got %d %q, close %v, %v; want %d %q and close", r.stands, a.StatusCode, a.Code(), a.Close,
				a.Err, r.status, r.code)
		}
		if strings.Contains(a.Body, rec.Addr) {
			t.Errorf("%s: the answer shows internals: %s", r.stands, a.Body)
		}
		c.Closed(r.stands)
	}
	for _, r := range refusedHeads {
		f(r)
	}
	e2e.DialRaw(t, g.Addr).Get("/fence")
	if got := rec.Requests(); len(got) != 1 || got[0].Path() != "/fence" {
		t.Errorf("requests that reached the origin: %+v", got)
	}
	t.Logf("%d heads refused", len(refusedHeads))
}

// TestForwardedHeads: what the origin gets is the request without what belongs to the client's connection, and
// framed anew.
func TestForwardedHeads(t *testing.T) {
	t.Parallel()
	rec := e2e.Record(t, nil)
	g := e2e.Start(t, e2e.Simple(rec.Addr, keepHost))
	f := func(stands, send, body string, want ...string) {
		t.Helper()
		c := e2e.DialRaw(t, g.Addr)
		defer c.C.Close()
		before := len(rec.Requests())
		c.Send(send)
		if a := c.Answer(strings.Fields(send)[0]); a.StatusCode != 200 || a.Err != nil {
			t.Errorf("%s: %d %q, %v", stands, a.StatusCode, a.Body, a.Err)
			return
		}
		got := rec.Requests()
		if len(got) != before+1 {
			t.Errorf("%s: %d requests at the origin: %+v", stands, len(got)-before, got[before:])
			return
		}
		r := got[before]
		head := strings.Split(strings.TrimSuffix(e2e.Masked(r.Head), "\r\n\r\n"), "\r\n")
		if !slices.Equal(head, want) || r.Body != body || !r.Whole {
			t.Errorf("%s:\n got %q %q\nwant %q %q", stands, head, r.Body, want, body)
		}
	}
	// told is what every forwarded head has at its end.
	told := func(first string, fields ...string) []string {
		return slices.Concat([]string{first}, fields, e2e.AddedFields("example.com"))
	}
	get := "GET /x HTTP/1.1"
	plain := told(get, "Host: example.com")
	f("plain", e2e.Lines(get), "", plain...)
	f("RFC 9112 2.2: one empty line before", "\r\n"+e2e.Lines(get), "", plain...)
	f("RFC 9112 2.2: two empty lines before", "\r\n\r\n"+e2e.Lines(get), "", plain...)
	f("RFC 9110 2.5: HTTP/1.2", e2e.Lines("GET /x HTTP/1.2"), "", plain...)
	f("RFC 9110 2.5: HTTP/1.9", e2e.Lines("GET /x HTTP/1.9"), "", plain...)
	f("RFC 3986 3.2.3: empty port", "GET /x HTTP/1.1\r\nHost: example.com:\r\n\r\n", "", plain...)
	f("RFC 3986 3.2.3: empty port in absolute-form", "GET http://example.com:/x HTTP/1.1\r\n"+e2e.HostLine+"\r\n", "", plain...)
	f("RFC 9110 4.2.1: absolute-form with a query alone", "GET http://example.com?q=1 HTTP/1.1\r\n"+e2e.HostLine+"\r\n", "",
		told("GET /?q=1 HTTP/1.1", "Host: example.com")...)
	for _, host := range []string{"a!b$c.example", "0.0.0.0=5000", "'(a)&*+;:81"} {
		f("RFC 3986 3.2.2: "+host, "GET /x HTTP/1.1\r\nHost: "+host+"\r\n\r\n", "",
			slices.Concat([]string{get, "Host: " + host}, e2e.AddedFields(host))...)
	}
	f("RFC 9112 3.2.2: absolute-form outweighs Host", "GET http://Other.example:81/x HTTP/1.1\r\n"+e2e.HostLine+"\r\n", "",
		slices.Concat([]string{get, "Host: Other.example:81"}, e2e.AddedFields("Other.example:81"))...)
	f("RFC 9110 4.2.3: absolute-form without a path", "GET http://example.com HTTP/1.1\r\n"+e2e.HostLine+"\r\n", "",
		told("GET / HTTP/1.1", "Host: example.com")...)

	f("RFC 9112 3.2.2: scheme in any case", "GET HTTP://example.com/x HTTP/1.1\r\n"+e2e.HostLine+"\r\n", "", plain...)
	f("RFC 9112 6.1: HTTP/1.0 without Host", "GET /x HTTP/1.0\r\n\r\n", "", slices.Concat([]string{get, "Host: " + rec.Addr},
		[]string{"X-Forwarded-For: 127.0.0.1", "X-Forwarded-Proto: http", "Via: 1.0 penstock", "X-Request-Id: *"})...)

	// Paths and queries.
	f("header injection through the query", e2e.Lines("GET /a?%0d%0aX-Evil:%20b HTTP/1.1"), "",
		told("GET /a?%0d%0aX-Evil:%20b HTTP/1.1", "Host: example.com")...)
	f("escaped separators stay", e2e.Lines("GET /a%2fb%5cc HTTP/1.1"), "",
		told("GET /a%2Fb%5Cc HTTP/1.1", "Host: example.com")...)
	f("RFC 3986 5.2.4: dot segments", e2e.Lines("GET /a/./b/../c?/../d HTTP/1.1"), "",
		told("GET /a/c?/../d HTTP/1.1", "Host: example.com")...)
	f("RFC 3986 6.2.2: one form of a path", e2e.Lines("GET /%61dmin/%2e/\xc3\xa9 HTTP/1.1"), "",
		told("GET /admin/%C3%A9 HTTP/1.1", "Host: example.com")...)
	f("empty query", e2e.Lines("GET /x? HTTP/1.1"), "", told("GET /x? HTTP/1.1", "Host: example.com")...)
	f("two question marks", e2e.Lines("GET /x?a?b=//c HTTP/1.1"), "", told("GET /x?a?b=//c HTTP/1.1", "Host: example.com")...)

	// Framing.
	post, length := "POST /x HTTP/1.1", told("POST /x HTTP/1.1", "Host: example.com")
	sized := append(slices.Clone(length), "Content-Length: 3")
	coded := append(slices.Clone(length), "Transfer-Encoding: chunked")
	f("RFC 9110 8.6: leading zeros", e2e.PostWith("Content-Length: 003"), "abc", sized...)
	f("RFC 9110 5.5: white space around the length", e2e.PostWith("Content-Length: \t3 "), "abc", sized...)
	f("RFC 9112 7: chunked in mixed case", e2e.Lines(post, "tRANSFER-eNCODING: cHUNKED")+"3\r\nabc\r\n0\r\n\r\n", "abc", coded...)
	f("RFC 9110 5.5: tab before chunked", e2e.Lines(post, "Transfer-Encoding:\tchunked")+"3\r\nabc\r\n0\r\n\r\n", "abc", coded...)
	f("RFC 9112 7.1.1: chunk extensions end here", e2e.Lines(post, "Transfer-Encoding: chunked")+"3;a=\"b\"\r\nabc\r\n00;c\r\n\r\n", "abc", coded...)
	f("RFC 9112 7.1.1: white space around extensions", e2e.Lines(post, "Transfer-Encoding: chunked")+
		"3 ; a = \"b;\\\"\"\t;c\r\nabc\r\n0;c\r\n\r\n", "abc", coded...)
	f("RFC 9110 8.6: empty body of a POST", e2e.Lines(post), "", append(slices.Clone(length), "Content-Length: 0")...)
	f("0.CL: a GET's body is its own", e2e.Lines(get, fmt.Sprint("Content-Length: ", len(smuggled)))+smuggled, smuggled,
		append(slices.Clone(plain), fmt.Sprint("Content-Length: ", len(smuggled)))...)
	f("TE.0: the body of OPTIONS is its own",
		e2e.Lines("OPTIONS /x HTTP/1.1", "Transfer-Encoding: chunked")+fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(smuggled), smuggled), smuggled,
		append(told("OPTIONS /x HTTP/1.1", "Host: example.com"), "Transfer-Encoding: chunked")...)
	f("Connection cannot name the length away", e2e.PostWith("Content-Length: 3", "Connection: content-length"), "abc", sized...)
	f("Connection cannot name the coding away",
		e2e.Lines(post, "Transfer-Encoding: chunked", "Connection: transfer-encoding")+"3\r\nabc\r\n0\r\n\r\n", "abc", coded...)
	f("names with _ are no framing", e2e.PostWith("Transfer_Encoding: chunked", "Content-Length: 3"), "abc", sized...)

	// Fields.
	f("RFC 9110 7.6.1: hop-by-hop fields", e2e.Lines(get, "Connection: keep-alive, x-foo", "Keep-Alive: timeout=5", "X-Foo: 1",
		"Proxy-Connection: keep-alive", "Proxy-Authorization: Basic eDp5", "TE: gzip", "Trailer: X", "Upgrade: websocket",
		"HTTP2-Settings: AAMAAABkAAQAAP__"), "", plain...)
	f("RFC 9113 3.1: h2c upgrade", e2e.Lines(get, "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"), "", plain...)
	f("h2c in a list", e2e.Lines(get, "Connection: Upgrade", "Upgrade: websocket, H2C"), "", plain...)
	f("Connection names what must stay", e2e.Lines(get, "Connection: Host, X-Forwarded-For, Authorization, Cookie, Via, X-Request-Id",
		"Authorization: Basic eDp5", "Cookie: a=b"), "",
		told(get, "Host: example.com", "Authorization: Basic eDp5", "Cookie: a=b")...)
	f("RFC 9110 10.1.4: TE: trailers", e2e.Lines(get, "Connection: TE", "TE: gzip, trailers"), "",
		append(slices.Clone(plain), "Connection: TE", "TE: trailers")...)
	f("what a stranger claims", e2e.Lines(get, "X-Forwarded-For: 6.6.6.6", "Forwarded: for=6.6.6.6", "X-Real-IP: 6.6.6.6",
		"X-Forwarded-Proto: https", "X-Forwarded-Host: evil", "X-Request-Id: mine", "Via: 1.1 evil", "X-Forwarded-Prefix: /y"), "",
		slices.Concat([]string{get, "Host: example.com", "X-Request-Id: *"}, e2e.AddedFields("example.com")[:4])...)
	f("names with _", e2e.Lines(get, "X_Forwarded_For: 6.6.6.6", "A_b: c"), "", plain...)
	f("RFC 9110 5.3: order of repeated fields", e2e.Lines(get, "b: 1", "A: 2", "B: \t3 ", "a: ", "Cookie: x=\"1\"; y", "cookie: z=2"), "",
		told(get, "Host: example.com", "b: 1", "A: 2", "B: \t3 ", "a: ", "Cookie: x=\"1\"; y", "cookie: z=2")...)
	f("RFC 9110 5.5: bytes above ASCII", e2e.Lines(get, "A: \xe4\xff"), "", told(get, "Host: example.com", "A: \xe4\xff")...)
	f("order of fields", e2e.Lines(get, "Content-Type: a/b", "User-Agent: c", "Authorization: Bearer d"), "",
		told(get, "Host: example.com", "Content-Type: a/b", "User-Agent: c", "Authorization: Bearer d")...)
	long := "X-Long: " + strings.Repeat("x", 15<<10)
	f("a head near the limit", e2e.Lines(get, long), "", told(get, "Host: example.com", long)...)
	f("RFC 9110 16.1.1: another method", e2e.Lines("M-SEARCH /x HTTP/1.1"), "", told("M-SEARCH /x HTTP/1.1", "Host: example.com")...)
}

// TestRequestTrailers: trailers of a request go on to the target, those with odd names do not (RFC 9110 6.5).
func TestRequestTrailers(t *testing.T) {
	t.Parallel()
	rec := e2e.Record(t, nil)
	g := e2e.Start(t, e2e.Simple(rec.Addr))
	c := e2e.DialRaw(t, g.Addr)
	c.Send(e2e.Lines("POST /x HTTP/1.1", "Transfer-Encoding: chunked", "Trailer: X-Sum") +
		"3\r\nabc\r\n0\r\nX-Sum: \t5 \r\nX_Odd: 1\r\nContent-Digest: sha-256=:AA==:\r\n\r\n")
	if a := c.Answer("POST"); a.StatusCode != 200 {
		t.Errorf("%d %q", a.StatusCode, a.Body)
	}
	c.Open("after trailers", "/y")
	c.Send(e2e.Lines("POST /z HTTP/1.1", "Transfer-Encoding: chunked") +
		"3\r\nabc\r\n0\r\nVary: a\r\nA: b\r\nContent-Type: c\r\nCache-Control: d\r\n\r\n")
	if a := c.Answer("POST"); a.StatusCode != 200 {
		t.Errorf("fields that belong in a head: %d %q", a.StatusCode, a.Body)
	}
	c.Open("after fields that belong in a head", "/y")
	if z := rec.Of("/z"); len(z) != 1 || z[0].Body != "abc" || z[0].Trailer != "A: b\r\n" || !z[0].Whole {
		t.Errorf("fields that belong in a head: %+v", z)
	}
	r := rec.Of("/x")
	if len(r) != 1 || r[0].Body != "abc" || r[0].Trailer != "X-Sum: 5\r\nContent-Digest: sha-256=:AA==:\r\n" {
		t.Errorf("%+v", r)
	}
}

// TestOptionsAsterisk: a question about the gateway itself is not the target's to answer.
func TestOptionsAsterisk(t *testing.T) {
	t.Parallel()
	rec := e2e.Record(t, nil)
	g := e2e.Start(t, e2e.Simple(rec.Addr))
	c := e2e.DialRaw(t, g.Addr)
	c.Send(e2e.Lines("OPTIONS * HTTP/1.1"))
	if a := c.Answer("OPTIONS"); a.StatusCode != 204 {
		t.Errorf("%d %q", a.StatusCode, a.Body)
	}
	c.Open("after OPTIONS *", "/fence")
	if n := len(rec.Requests()); n != 1 {
		t.Errorf("%d requests at the origin", n)
	}
}

// TestRefusedBodies: what is wrong behind a good head ends the connection with 400, and the target never sees
// the request whole.
func TestRefusedBodies(t *testing.T) {
	t.Parallel()
	rec := e2e.Record(t, nil)
	g := e2e.Start(t, e2e.Simple(rec.Addr))
	f := func(stands, body string, want ...int) {
		t.Helper()
		c := e2e.DialRaw(t, g.Addr)
		defer c.C.Close()
		c.Send(e2e.Lines("POST /bad HTTP/1.1", "Transfer-Encoding: chunked") + body + smuggled)
		a := c.Answer("POST")
		if !slices.Contains(append(want, 400), a.StatusCode) || a.Code() != "bad_body" || !a.Close {
			t.Errorf("%s: got %d %q, close %v", stands, a.StatusCode, a.Code(), a.Close)
		}
		c.Closed(stands)
	}
	const end = "0\r\n\r\n"
	f("RFC 9112 7.1: LF behind the size", "3\nabc\r\n"+end)
	f("RFC 9112 7.1: CR behind the size", "3\rabc\r\n"+end)
	f("RFC 9112 7.1: 0x", "0x3\r\nabc\r\n"+end)
	f("RFC 9112 7.1: plus", "+3\r\nabc\r\n"+end)
	f("RFC 9112 7.1: negative", "-3\r\nabc\r\n"+end)
	f("RFC 9112 7.1: no size", "\r\nabc\r\n"+end)
	f("RFC 9112 7.1: not a digit", "g\r\nabc\r\n"+end)
	f("RFC 9112 7.1: overflow", "10000000000000003\r\nabc\r\n"+end)
	f("RFC 9112 7.1: long size", strings.Repeat("0", 16)+"3\r\nabc\r\n"+end)
	f("RFC 9112 7.1: space behind the size", "3 \r\nabc\r\n"+end)
	f("RFC 9112 7.1: space before the size", " 3\r\nabc\r\n"+end)
	f("RFC 9112 7.1: underscore", "0_3\r\nabc\r\n"+end)
	f("RFC 9112 7.1.1: LF in an extension", "3;a\nabc\r\n"+end)
	f("RFC 9112 7.1.1: extension without a name", "3;\r\nabc\r\n"+end)
	f("RFC 9112 7.1.1: open quotes", "3;a=\"b\r\nabc\r\n"+end)
	f("RFC 9112 7.1.1: space behind an extension", "3;a \r\nabc\r\n"+end)
	f("RFC 9112 7.1.1: no token", "3;a=b c\r\nabc\r\n"+end)
	f("RFC 9112 7.1.1: NUL in an extension", "3;\x00\r\nabc\r\n"+end)
	f("RFC 9112 7.1.1: long extension", "3;"+strings.Repeat("a", 300)+"\r\nabc\r\n"+end)
	f("RFC 9112 7.1.1: extensions in all", strings.Repeat("1;"+strings.Repeat("a", 200)+"\r\na\r\n", 25)+end)
	f("RFC 9112 7.1: data longer than its size", "3\r\nabcd\r\n"+end)
	f("RFC 9112 7.1: data shorter than its size", "4\r\nabc\r\n"+end)
	f("RFC 9112 7.1: LF behind the data", "3\r\nabc\n"+end)
	f("RFC 9112 7.1: no CRLF behind the data", "3\r\nabc"+end)
	f("RFC 9112 7.1.2: LF behind the last chunk", "3\r\nabc\r\n0\n\n")
	f("RFC 9112 7.1.2: LF for the empty line", "3\r\nabc\r\n0\r\n\n")
	f("RFC 9112 7.1.2: space before a trailer's colon", "3\r\nabc\r\n0\r\nA : b\r\n\r\n")
	f("RFC 9112 5.2: obs-fold in a trailer", "3\r\nabc\r\n0\r\nA: b\r\n c\r\n\r\n")
	f("RFC 9110 5.5: NUL in a trailer", "3\r\nabc\r\n0\r\nA: \x00\r\n\r\n")
	f("RFC 9110 6.5.1: length in a trailer", "3\r\nabc\r\n0\r\nContent-Length: 3\r\n\r\n")
	f("RFC 9110 6.5.1: coding in a trailer", "3\r\nabc\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n")
	f("RFC 9110 6.5.1: host in a trailer", "3\r\nabc\r\n0\r\nHost: evil\r\n\r\n")
	f("RFC 9110 6.5.1: client address in a trailer", "3\r\nabc\r\n0\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n")
	f("RFC 9110 6.5.1: credentials in a trailer", "3\r\nabc\r\n0\r\nAuthorization: Basic eDp5\r\n\r\n")
	f("bounded memory: trailers", "3\r\nabc\r\n0\r\n"+strings.Repeat("A: "+strings.Repeat("x", 1000)+"\r\n", 10)+"\r\n", 431)
	f("bounded work: trailer lines", "3\r\nabc\r\n0\r\n"+strings.Repeat("A: b\r\n", 200)+"\r\n", 431)
	e2e.DialRaw(t, g.Addr).Get("/fence")
	for _, r := range rec.Requests() {
		if r.Path() != "/fence" && (r.Path() != "/bad" || r.Whole) {
			t.Errorf("reached the origin: %+v", r)
		}
	}
}
