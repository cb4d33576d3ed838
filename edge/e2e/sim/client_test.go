//go:build sim

package sim

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"syscall"
	"time"
)

// client makes requests, one after the other or several in one go, and looks at every byte of the answers.
type client struct {
	w       *world
	d       *draws
	name    string
	from    netip.AddrPort
	left    int // requests to make
	made    int
	e       *end
	unsent  []byte
	asked   []*request // whose answers are due, in order
	got     []byte     // of answers, not yet read
	some    bool       // something has come
	pause   time.Time  // it reads and sends nothing before
	leaving bool
	goes    time.Time // when it leaves, at the latest
	halves  bool      // its half of the connection is closed
	last    bool      // the gateway has said that it closes
	wrong   bool      // what it sends last is not HTTP: it expects to be turned away
	etags   map[string]string
}

// request is what a client has asked.
type request struct {
	by                  *client
	token, method, path string
	kind                string // value of the field that answers vary by
	ifNoneMatch         string
	begun, sent, ended  time.Time // sent: when the last byte left; zero: it has not
	status              int       // 0: the connection ended before
	out                 *wire     // that it is sent on
}

func newClient(w *world, i, requests int) *client {
	name := fmt.Sprintf("client-%d", i)
	return &client{w: w, d: w.drawsOf(name), name: name, left: requests, etags: make(map[string]string),
		from: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 2, byte(i)}), 1024)}
}

func (c *client) ready() bool {
	if time.Now().Before(c.pause) {
		return false
	}
	if c.leaving && c.e != nil && !time.Now().Before(c.goes) {
		return true
	}
	return c.some || len(c.unsent) > 0 && c.e != nil || c.left > 0 && len(c.asked) == 0 && !c.wrong
}

func (c *client) done() bool { return c.left == 0 && len(c.asked) == 0 && c.e == nil }

func (c *client) act() {
	switch {
	case c.leaving && c.e != nil && !time.Now().Before(c.goes):
		c.leave()
	case c.some:
		c.some = false
		c.receive()
	case len(c.unsent) > 0:
		c.send()
	case c.w.ends:
		c.left = 0
		if c.e != nil {
			c.leave()
		}
	default:
		c.ask()
	}
	if c.d.one(40) {
		c.pause = time.Now().Add(c.d.wait(4 * time.Second))
	}
}

// ask puts together the next requests.
func (c *client) ask() {
	if c.e == nil {
		c.from = netip.AddrPortFrom(c.from.Addr(), c.from.Port()+1)
		c.e = c.w.net.connect(c.from, gateway)
		if c.e == nil {
			c.left--
			return
		}
		c.e.name = c.name
		c.e.actor = func() { c.some = true }
		c.w.note(c.name, "connects")
	}
	for n := 1 + c.d.n(2)*c.d.n(4); n > 0 && c.left > 0; n-- {
		c.left--
		c.put()
	}
	if c.wrong = c.d.one(60); c.wrong {
		junk := []string{"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "\x16\x03\x01", "GET /\r\n\r\n",
			"POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /p/9 HTTP/1.1\r\nHost: a\r\n\r\n",
			"POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
			"POST /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n"}
		c.unsent = append(c.unsent, junk[c.d.n(len(junk))]...)
		c.w.junk++
		c.w.note(c.name, "sends what is not HTTP")
	}
	if c.leaving = c.d.one(8); c.leaving {
		c.goes = time.Now().Add(c.d.wait(3 * time.Second))
	}
}

// put adds a request to what is to be sent.
func (c *client) put() {
	c.made++
	r := &request{by: c, token: fmt.Sprintf("%s.%d.", c.name[7:], c.made), method: "GET", begun: time.Now(),
		kind: string("ab"[c.d.n(2)])}
	routes := c.w.plan.routes
	r.path = fmt.Sprintf("/%c/%d", routes[c.d.n(len(routes))], c.d.n(3))
	var more, body string
	switch c.d.n(8) {
	case 6:
		r.method = "HEAD"
	case 5, 7:
		r.method, body = "POST", r.token
		for range c.d.n(13) {
			body += body
		}
	}
	if old := c.etags[r.path]; old != "" && r.method == "GET" && c.d.one(4) {
		r.ifNoneMatch = `"` + old + `"`
		more += "If-None-Match: " + r.ifNoneMatch + "\r\n"
	}
	switch c.d.n(24) {
	case 23:
		more += "Cache-Control: no-cache\r\n"
	case 22:
		more += "Authorization: Bearer " + r.token + "\r\n"
	case 21:
		more += "Cookie: a=" + r.token + "\r\n"
	case 20:
		more += "Connection: close\r\n"
	case 19:
		more += "X-Twice: 1\r\nX-Twice: 2\r\n"
	case 18:
		if body != "" {
			more += "Expect: 100-continue\r\n" // and it sends its body at once, as it may
		}
	}
	text := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: sim\r\nX-Token: %s\r\nX-Kind: %s\r\nX-Client: %s\r\n%s", r.method, r.path,
		r.token, r.kind, c.name, more)
	switch {
	case body != "" && c.d.one(2):
		text += "Transfer-Encoding: chunked\r\n\r\n"
		for len(body) > 0 {
			n := c.d.size(len(body))
			text += fmt.Sprintf("%x\r\n%s\r\n", n, body[:n])
			body = body[n:]
		}
		text += "0\r\n\r\n"
	case body != "":
		text += fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body)
	default:
		text += "\r\n"
	}
	c.unsent = append(c.unsent, text...)
	c.asked = append(c.asked, r)
	c.w.requests = append(c.w.requests, r)
	c.w.byToken[r.token], r.out = r, c.e.out
	c.w.note(c.name, "asks %s %s %s", r.method, r.path, r.token)
}

// send sends a part of what is to be sent, or leaves.
func (c *client) send() {
	if c.leaving && c.d.one(2) {
		c.leave()
		return
	}
	most := c.d.size(len(c.unsent))
	c.w.net.mu.Lock()
	n, errno := c.e.send(c.unsent[:most])
	c.w.net.mu.Unlock()
	c.unsent = c.unsent[n:]
	if len(c.unsent) == 0 {
		for _, r := range c.asked {
			r.sent = time.Now()
		}
		if c.halves = c.d.one(30); c.halves {
			c.w.net.mu.Lock()
			c.e.shut()
			c.w.net.mu.Unlock()
			c.w.note(c.name, "has said all")
		}
	}
	switch {
	case errno == syscall.EAGAIN:
		c.pause = time.Now().Add(time.Millisecond)
	case errno != 0:
		c.unsent, c.some = nil, true // what has come may still be an answer
	}
}

// leave ends the connection, with a reset or without.
func (c *client) leave() {
	c.w.net.mu.Lock()
	c.e.resets = c.d.one(2)
	c.e.close()
	c.w.net.mu.Unlock()
	c.w.note(c.name, "leaves")
	c.e, c.unsent, c.asked, c.got, c.leaving, c.halves, c.wrong, c.some, c.last = nil, nil, nil, nil, false, false, false, false, false
}

// receive takes what has come and reads the answers that are whole.
func (c *client) receive() {
	if c.e == nil {
		return
	}
	ended := false
	var buf [16384]byte
	for {
		c.w.net.mu.Lock()
		n, errno := c.e.recv(buf[:])
		c.w.net.mu.Unlock()
		c.got = append(c.got, buf[:n]...)
		if errno != 0 || n == 0 {
			ended = n == 0 && errno == 0 || errno != 0 && errno != syscall.EAGAIN
			break
		}
	}
	for len(c.asked) > 0 && c.answer(ended) {
	}
	switch {
	case ended:
		if len(c.asked) > 0 {
			c.w.note(c.name, "the connection ended before the answer to %s", c.asked[0].token)
			c.overdue(c.asked[0])
		}
		c.leave()
	case len(c.asked) == 0 && len(c.got) > 0 && !c.wrong && !c.last: // who is turned away may get a body for HEAD
		c.w.breaks(c.name, "%d bytes that nobody asked for: %.60q", len(c.got), c.got)
		c.leave()
	case c.halves && len(c.asked) == 0:
		c.leave()
	case c.leaving && c.d.one(3), len(c.asked) == 0 && c.left == 0 && !c.wrong:
		c.leave()
	}
}

// overdue looks whether the end of r has come in time.
func (c *client) overdue(r *request) {
	if took := time.Since(r.sent); !r.sent.IsZero() && took > patience {
		c.w.breaks(c.name, "the end of %s took %v", r.token, took)
	}
}

// answer reads an answer, if it is there as a whole.
func (c *client) answer(ended bool) bool {
	r := c.asked[0]
	if !maybeWhole(c.got, r.method == "HEAD", ended) {
		return false
	}
	in := bytes.NewReader(c.got)
	br := bufio.NewReader(in)
	resp, err := http.ReadResponse(br, &http.Request{Method: r.method})
	if err != nil {
		return false
	}
	body, err := io.ReadAll(resp.Body)
	delimited := resp.ContentLength >= 0 || len(resp.TransferEncoding) > 0 || r.method == "HEAD"
	if err != nil || !delimited && !ended {
		return false
	}
	c.got = c.got[len(c.got)-in.Len()-br.Buffered():]
	if resp.StatusCode < 200 {
		return true
	}
	c.asked = c.asked[1:]
	c.last = c.last || resp.Close
	r.ended, r.status = time.Now(), resp.StatusCode
	c.w.note(c.name, "%d to %s, %d bytes, of %s", resp.StatusCode, r.token, len(body), resp.Header.Get("X-Answer"))
	c.overdue(r)
	c.w.judge(r, resp.StatusCode, resp.Header, body)
	if tag := resp.Header.Get("ETag"); tag != "" && resp.StatusCode == 200 {
		c.etags[r.path] = strings.Trim(tag, `"`)
	}
	if r.method == "POST" && resp.StatusCode == 200 && r.path[1] == 'c' {
		c.w.changes = append(c.w.changes, change{path: r.path, begun: c.w.given[resp.Header.Get("X-Answer")].at, ended: time.Now(),
			why: "the POST " + r.token})
	}
	return true
}

// maybeWhole reports whether it is worth while to read an answer.
func maybeWhole(b []byte, head, ended bool) bool {
	i := bytes.Index(b, []byte("\r\n\r\n"))
	if i < 0 {
		return false
	}
	if head || ended || b[9] == '1' {
		return true
	}
	if j := bytes.Index(b[:i], []byte("Content-Length: ")); j >= 0 {
		n := 0
		for _, x := range b[j+16 : i] {
			if x < '0' || x > '9' {
				break
			}
			n = 10*n + int(x-'0')
		}
		return len(b) >= i+4+n
	}
	if bytes.Contains(b[:i], []byte("chunked")) {
		return bytes.Contains(b[i:], []byte("\r\n0\r\n"))
	}
	return true
}
