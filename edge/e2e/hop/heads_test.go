//go:build !race

package hop

import (
	"net"
	"strings"
	"testing"

	"github.com/penstock-edge/penstock/edge/e2e"
)

// ours are the lines that the gateway adds to a request, and to an answer.
var ours = []string{"X-Forwarded-For:", "X-Forwarded-Proto:", "X-Forwarded-Host:", "Via:", "X-Request-Id:", "Date:",
	"Content-Length:", "Connection:", "Upgrade:", "Transfer-Encoding:"}

// sent returns the lines of a head but for its first line and those that the gateway adds.
func sent(head string) (lines []string) {
	for _, l := range strings.Split(strings.TrimSuffix(head, "\r\n\r\n"), "\r\n")[1:] {
		added := false
		for _, name := range ours {
			added = added || strings.HasPrefix(l, name)
		}
		if !added {
			lines = append(lines, l)
		}
	}
	return lines
}

// TestHeadsPass: names, their case and their order pass as they came, in requests, answers and in what switches;
// any token is a method; what could be taken for a field of the gateway's does not pass.
func TestHeadsPass(t *testing.T) {
	t.Parallel()
	odd := []string{"x-lower:1", "SOAPAction:  \"urn:x\" ", "ETag: a", "b: ", "X-lower: 2", "WWW-authenticate: x"}
	rec := e2e.Record(t, func(r *e2e.Recorded, _ net.Conn) string {
		if strings.Contains(r.Head, "Upgrade: echo") {
			return head("HTTP/1.1 101 On We Go", append([]string{"Sec-WebSocket-Accept: x", "connection: upgrade",
				"uPgrade: echo"}, odd...)...)
		}
		return head("HTTP/1.1 200 Fine", append([]string{"content-length: 0"}, odd...)...)
	})
	g := e2e.Start(t, e2e.Simple(rec.Addr))
	f := func(first string, want []string, lines ...string) {
		t.Helper()
		k := e2e.DialRaw(t, g.Addr)
		k.Send(head(first, lines...))
		k.Answer("GET")
		answer, _, _ := strings.Cut(k.Got.String(), "\r\n\r\n")
		list := rec.Requests()
		got := sent(list[len(list)-1].Head)
		if strings.Join(got, "|") != strings.Join(want, "|") {
			t.Errorf("%s: the target gets %q, want %q", first, got, want)
		}
		if method, _, _ := strings.Cut(first, " "); !strings.HasPrefix(list[len(list)-1].Head, method+" ") {
			t.Errorf("%s: the target gets %q", first, list[len(list)-1].Head)
		}
		back := sent(answer)
		if strings.HasPrefix(answer, "HTTP/1.1 101") {
			back = back[1:]
		}
		if strings.Join(back, "|") != strings.Join(odd, "|") {
			t.Errorf("%s: the client gets %q, want %q", first, back, odd)
		}
	}
	pass := []string{"A:1", "hOst: example.com", "SOAPAction: \"x\"", "cookie:  a=1", "a: 2", "X-UA-Compatible: y ", "Cookie: b"}
	in := append([]string{}, pass...)
	in[1] = "hOst:example.com"
	f("GET /a HTTP/1.1", pass, in...)
	f("BITS_POST /a HTTP/1.1", pass, in...)
	f("get /a HTTP/1.1", pass, in...)
	f("M-SEARCH /a HTTP/1.1", pass, in...)
	f("POST /a HTTP/1.1", pass, append(in, "X_Forwarded_For: 1", "X.Forwarded.For: 2", "x!request!id: 3", "A_b: 4",
		"Content-Length: 0")...)
	up := []string{"Sec-WebSocket-Key: x", "hOst: a", "sec-websocket-VERSION: 13"}
	f("GET /b HTTP/1.1", up, up[0], up[1], "Upgrade: echo", "Connection: Upgrade", up[2])
	if got := g.Metric(`penstock_fields_dropped_total{listener="main",reason="underscore"}`); got != 2 {
		t.Errorf("%v fields with an underscore were counted", got)
	}
	if got := g.Metric(`penstock_fields_dropped_total{listener="main",reason="look_alike"}`); got != 2 {
		t.Errorf("%v fields like the gateway's were counted", got)
	}
	e2e.Eventually(t, "the log tells", func() bool { return strings.Contains(g.Log.String(), "fields of requests were dropped") })
}

// TestUnderscoreFields: the listener's key decides, and never about what is like a field of the gateway's.
func TestUnderscoreFields(t *testing.T) {
	t.Parallel()
	rec := e2e.Record(t, nil)
	f := func(key string, status int, want ...string) {
		t.Helper()
		conf := strings.Replace(e2e.Simple(rec.Addr), "name = \"main\"", "name = \"main\"\nunderscore_fields = \""+key+"\"", 1)
		g := e2e.Start(t, conf)
		answer := g.AskLines("/", "my_field: 1", "X_Forwarded_For: 6.6.6.6", "My.Field: 2")
		if answer.StatusCode != status {
			t.Fatalf("%s: status %d", key, answer.StatusCode)
		}
		if status != 200 {
			return
		}
		list := rec.Requests()
		if got := sent(list[len(list)-1].Head); strings.Join(got[1:], "|") != strings.Join(want, "|") {
			t.Errorf("%s: %q, want %q", key, got, want)
		}
	}
	f("pass", 200, "my_field: 1", "My.Field: 2")
	f("drop", 200, "My.Field: 2")
	f("refuse", 400)
}

// TestTrailersPass: trailers of a chunked answer pass unless the client declares that it takes none.
func TestTrailersPass(t *testing.T) {
	t.Parallel()
	rec := e2e.Record(t, func(*e2e.Recorded, net.Conn) string {
		return head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + "2\r\nok\r\n0\r\nX-sum: 1\r\n\r\n"
	})
	g := e2e.Start(t, e2e.Simple(rec.Addr))
	f := func(want bool, lines ...string) {
		t.Helper()
		got := e2e.Raw(t, g.Addr, head("GET / HTTP/1.1", append([]string{"Host: a", "Connection: close"}, lines...)...))
		if strings.Contains(got, "0\r\nX-sum: 1\r\n\r\n") != want {
			t.Errorf("%q: %q", lines, got)
		}
		list := rec.Requests()
		asks := strings.Contains(list[len(list)-1].Head, "TE: trailers\r\n")
		if asks != (want && len(lines) > 0) {
			t.Errorf("%q: the target gets %q", lines, list[len(list)-1].Head)
		}
	}
	f(true)
	f(true, "TE: trailers")
	f(true, "te: deflate;q=0.5, TRAILERS")
	f(true, "TE: deflate", "TE: trailers;q=0.5")
	f(false, "TE: deflate")
	f(false, "TE:")
	f(false, "TE: trailers;q=0")
}

// TestListsAreOne: a list in one line and in several lines is the same.
func TestListsAreOne(t *testing.T) {
	t.Parallel()
	rec := e2e.Record(t, nil)
	g := e2e.Start(t, e2e.Simple(rec.Addr)+"\n[server]\ntrusted_proxies = [\"127.0.0.0/8\"]\n")
	f := func(proto, host string, lines ...string) {
		t.Helper()
		g.AskLines("/", lines...)
		list := rec.Requests()
		got := list[len(list)-1].Head
		if !strings.Contains(got, "X-Forwarded-Proto: "+proto+"\r\n") || !strings.Contains(got, "X-Forwarded-Host: "+host+"\r\n") {
			t.Errorf("%q: %q", lines, got)
		}
	}
	f("https", "example.com", "X-Forwarded-Proto: https, https")
	f("https", "example.com", "X-Forwarded-Proto: https", "X-Forwarded-Proto: https")
	f("https", "example.com", "X-Forwarded-Proto: http,https ,")
	f("http", "a, b", "X-Forwarded-Proto: https", "x-forwarded-proto: , http", "X-Forwarded-Host: a, b")
	f("http", "a, b", "X-Forwarded-Proto: https, http", "X-Forwarded-Host: a", "X-Forwarded-Host: b")
}
