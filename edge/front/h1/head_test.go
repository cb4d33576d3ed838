package h1

import (
	"fmt"
	"strings"
	"testing"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/front/client"
)

// TestHeadSplit: wherever the bytes of requests are cut, the gateway reads the same requests.
func TestHeadSplit(t *testing.T) {
	a := newApp(t, nil, peer(echo))
	r := newRig(t, a, &client.Settings{})
	const follow = "GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
	for _, c := range []struct {
		name, text string
		want       []string
	}{
		{"plain", "GET /a?b HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n", []string{"GET /a "}},
		{"empty lines", "\r\n\r\nGET /a HTTP/1.1\r\nHost: a\r\n\r\n", []string{"GET /a "}},
		{"length", "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", []string{"POST /a hello"}},
		{"chunks", "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n1\r\n!\r\n0\r\nA: b\r\n\r\n",
			[]string{"POST /a hello!"}},
		{"two", "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nxGET /b HTTP/1.1\r\nHost: a\r\n\r\n",
			[]string{"POST /a x", "GET /b "}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for at := 1; at < len(c.text); at++ {
				far := r.talk(t)
				far.send(c.text[:at])
				h := r.accept(t, true)
				// What comes next must not come together with what was sent: the gateway has read that. It may wait
				// again already where that was a whole request.
				if !strings.HasPrefix(c.text[at:], "GET /b") {
					until(t, "the first bytes are read", func() bool { _, waits := h.Waits(0); return !waits })
				}
				far.send(c.text[at:] + follow)
				for _, want := range append(c.want, "GET /last ") {
					if got := far.get("GET"); got.status != 200 || got.body != want {
						t.Fatalf("cut at %d: %d %q, want %q", at, got.status, got.body, want)
					}
				}
				far.gone()
				<-h.ended
			}
		})
	}
	if n := a.Load().Pins(); n != 0 {
		t.Errorf("%d requests still hold the generation", n)
	}
}

// TestHeadByteByByte: a client may send each byte by itself, a second request while the first is served.
func TestHeadByteByByte(t *testing.T) {
	r := newRig(t, newApp(t, nil, peer(echo)), &client.Settings{})
	r.serve(t)
	far := r.talk(t)
	const text = "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET /b HTTP/1.1\r\nHost: a\r\n\r\n"
	for i := range len(text) {
		far.send(text[i : i+1])
	}
	for _, want := range []string{"POST /a abc", "GET /b "} {
		if got := far.get("GET"); got.body != want {
			t.Errorf("%q, want %q", got.body, want)
		}
	}
}

// TestHeadRefused: a head that is wrong is answered, the connection ends, and what the client has sent behind it
// is no request.
func TestHeadRefused(t *testing.T) {
	a := newApp(t, nil, peer(echo))
	r := newRig(t, a, &client.Settings{MaxHead: 1000})
	r.serve(t)
	long := strings.Repeat("x", 2000)
	for _, c := range []struct {
		name, text string
		status     int
		code       string
	}{
		{"no HTTP", "\x16\x03\x01\x00\x00", 400, "bad_request"},
		{"version", "GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505, ""},
		{"no host", "GET / HTTP/1.1\r\n\r\n", 400, "bad_request"},
		{"two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "bad_request"},
		{"two lengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400, "bad_request"},
		{"length and chunks", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "bad_request"},
		{"space before colon", "GET / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n", 400, "bad_request"},
		{"folded", "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n", 400, "bad_request"},
		{"path", "GET /../../x HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_request"},
		{"slashes", "GET //x HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_request"},
		{"scheme", "GET https://a/x HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_request"},
		{"long field", "GET / HTTP/1.1\r\nHost: a\r\nX: " + long + "\r\n\r\n", 431, ""},
		{"long line", "GET /" + long + " HTTP/1.1\r\nHost: a\r\n\r\n", 431, "head_too_large"},
		{"no end", "GET / HTTP/1.1\r\nHost: a\r\nX: " + long, 431, ""},
	} {
		far := r.talk(t)
		far.send(c.text + "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
		got := far.get("GET")
		if got.status != c.status || !got.close || !strings.Contains(got.body, c.code) {
			t.Errorf("%s: %d, close %v, %s; want %d %s", c.name, got.status, got.close, got.body, c.status, c.code)
		}
		far.gone()
		if e := <-a.log; e.status != c.status || e.code == "" {
			t.Errorf("%s: the log has %+v", c.name, e)
		}
	}
	if len(a.log) > 0 {
		t.Errorf("another request was served: %+v", <-a.log)
	}
}

// TestHeadLimit: a head of as many bytes as it may have is served, one byte more is refused, wherever it is cut.
func TestHeadLimit(t *testing.T) {
	for _, limit := range []int{100, readBuffer, 3 * readBuffer} {
		r := newRig(t, newApp(t, nil, peer(echo)), &client.Settings{MaxHead: limit})
		for _, cut := range []int{0, 1, limit / 2, limit - 3, limit - 1} {
			for more, want := range []int{200, 431} {
				head := "GET / HTTP/1.1\r\nHost: a\r\nX: "
				head += strings.Repeat("x", limit+more-len(head)-4) + "\r\n\r\n"
				far := r.talk(t)
				far.send(head[:cut])
				h := r.accept(t, true)
				until(t, "the first bytes are read", func() bool { _, waits := h.Waits(0); return !waits || cut == 0 })
				far.send(head[cut:])
				if got := far.get("GET"); got.status != want {
					t.Errorf("%d bytes of %d, cut at %d: %d, want %d", len(head), limit, cut, got.status, want)
				}
				far.Close()
				<-h.ended
			}
		}
	}
}

// TestRefusedFirst: whether a second request is served after one that was refused depends on who refused it.
func TestRefusedFirst(t *testing.T) {
	deny := func(x *edge.Exchange) edge.Verdict {
		switch {
		case string(x.Path) == "/deny":
			x.Answer(403, "text/plain", []byte("no"))
			return edge.Answered
		case string(x.Path) == "/fault":
			x.Fault = x.Refuse(429, edge.SideClient, "too_many", "no")
			return edge.Answered
		case string(x.Path) == "/drop":
			return edge.Drop
		}
		return edge.Next
	}
	a := newApp(t, deny, peer(echo))
	r := newRig(t, a, &client.Settings{MaxBody: 10})
	r.serve(t)
	for _, c := range []struct {
		name, first string
		status      int // 0: none
		stays       bool
	}{
		{"filter", "GET /deny HTTP/1.1\r\nHost: a\r\n\r\n", 403, true},
		{"filter, short body", "POST /deny HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", 403, true},
		{"fault", "GET /fault HTTP/1.1\r\nHost: a\r\n\r\n", 429, true},
		{"asterisk", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 204, true},
		{"drop", "GET /drop HTTP/1.1\r\nHost: a\r\n\r\n", 0, false},
		{"body too large", "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n01234567890", 413, false},
		{"chunks too large", "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n01234567890\r\n0\r\n\r\n", 413, false},
		{"broken chunks", "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nz\r\n", 400, false},
		{"close", "GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 200, false},
		{"1.0", "GET /a HTTP/1.0\r\n\r\n", 200, false},
		{"1.0 keep-alive", "GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 200, true},
	} {
		far := r.talk(t)
		far.send(c.first + "GET /second HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
		if c.status > 0 {
			if got := far.get("GET"); got.status != c.status || got.close == c.stays {
				t.Errorf("%s: %d, close %v; want %d, %v", c.name, got.status, got.close, c.status, !c.stays)
			}
		}
		<-a.log
		if c.stays {
			if got := far.get("GET"); got.body != "GET /second " {
				t.Errorf("%s: the second request got %d %q", c.name, got.status, got.body)
			}
			<-a.log
		}
		far.gone()
		if len(a.log) > 0 {
			t.Errorf("%s: another request was served: %+v", c.name, <-a.log)
		}
	}
}

// TestFieldsDropped: fields that are left out for their names are counted, and the rest is served.
func TestFieldsDropped(t *testing.T) {
	seen := make(chan string, 1)
	a := newApp(t, nil, peer(func(x *edge.Exchange) *edge.Fault {
		seen <- fmt.Sprint(x.Req.Has("A_b"), x.Req.Has("X_Forwarded_For"), x.Req.Has("C"))
		return answer(x, 204, "")
	}))
	r := newRig(t, a, &client.Settings{})
	r.serve(t)
	far := r.talk(t)
	far.send("GET / HTTP/1.1\r\nHost: a\r\nA_b: 1\r\nX_Forwarded_For: 1\r\nC: 1\r\n\r\n")
	if got := far.get("GET"); got.status != 204 {
		t.Errorf("%d", got.status)
	}
	if got := <-seen; got != "false false true" {
		t.Errorf("the target sees %s", got)
	}
	if s := r.Settings.Load(); s.Underscored.Sum()+s.Alike.Sum() != 2 {
		t.Errorf("%d and %d fields are counted, want 2 together", s.Underscored.Sum(), s.Alike.Sum())
	}
}
