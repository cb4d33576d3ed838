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

// target answers what the gateway asks, well or badly.
type target struct {
	w     *world
	d     *draws
	name  string
	at    netip.AddrPort
	conns []*served
}

// served is a connection of a target.
type served struct {
	t      *target
	e      *end
	some   bool
	got    []byte
	unsent []byte
	from   time.Time // nothing is sent before
	last   string    // the request that was answered last, with an answer as it should be
	idle   time.Time // when that answer had been sent
	since  time.Time // when the gateway began to send what is in got; zero: nothing is
	ends   bool      // behind unsent
	dead   bool      // says nothing any more
	closed bool
}

func newTarget(w *world) *target {
	i := 1 + len(w.net.remotes)
	t := &target{w: w, name: fmt.Sprintf("target-%d", i),
		at: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 1, byte(i)}), 80)}
	t.d = w.drawsOf(t.name)
	w.net.remotes[t.at] = func(e *end) {
		s := &served{t: t, e: e}
		e.name = fmt.Sprintf("%s.%d", t.name, len(t.conns))
		e.actor = func() { s.some = true }
		t.conns = append(t.conns, s)
	}
	return t
}

func (t *target) ready() bool { return t.pick() != nil }

// done: a target never has anything to do of its own.
func (t *target) done() bool { return true }

func (t *target) act() {
	if s := t.pick(); s != nil {
		s.act()
	}
}

func (t *target) pick() *served {
	for i, s := range t.conns {
		if s.closed && i == 0 {
			t.conns[0] = t.conns[len(t.conns)-1] // it is not needed any more
			t.conns = t.conns[:len(t.conns)-1]
			return t.pick()
		}
		if !s.closed && (s.some || len(s.unsent) > 0 && !time.Now().Before(s.from)) {
			return s
		}
	}
	return nil
}

func (s *served) act() {
	if s.some {
		s.some = false
		s.receive()
		return
	}
	most := len(s.unsent)
	if s.t.d.one(3) {
		most = s.t.d.size(most)
	}
	s.t.w.net.mu.Lock()
	n, errno := s.e.send(s.unsent[:most])
	s.t.w.net.mu.Unlock()
	s.unsent = s.unsent[n:]
	if errno != 0 && n == 0 {
		if errno == syscall.EAGAIN {
			s.from = time.Now().Add(time.Millisecond)
			return
		}
		s.close(false)
		return
	}
	if len(s.unsent) > 0 {
		return
	}
	if at := s.t.w.spans[s.last]; at.to.IsZero() {
		at.to = time.Now()
		s.t.w.spans[s.last] = at
	}
	if s.idle = time.Now(); s.ends {
		s.t.w.plan.calm = false // a request whose connection was stale has a fresh one, and closes another for that
		s.close(s.t.d.one(2))
	}
}

// retired looks why the gateway has closed the connection: one that can be used again is kept for its idle time.
func (s *served) retired() {
	p, r := &s.t.w.plan, s.t.w.byToken[s.last]
	if !p.calm || r == nil || s.dead || s.ends || len(s.unsent) > 0 || r.status != 200 || s.t.w.ends {
		return
	}
	// An upload may not have been seen to end when its client leaves, and a cache fetches beside its client.
	// Within a second it may have ended with its request.
	if rest := time.Since(s.idle); rest > time.Second && rest < p.idle && r.path[1] == 'p' && r.method == "GET" {
		s.t.w.breaks(s.t.name, "%s was closed after %v, which could have been used again", s.e.name, rest)
	}
}

func (s *served) close(reset bool) {
	s.t.w.net.mu.Lock()
	s.e.resets = reset
	s.e.close()
	s.t.w.net.mu.Unlock()
	s.closed, s.unsent = true, nil
	s.t.w.note(s.t.name, "%s closes, reset %v", s.e.name, reset)
}

func (s *served) receive() {
	var buf [16384]byte
	since := s.e.in.since
	for {
		s.t.w.net.mu.Lock()
		n, errno := s.e.recv(buf[:])
		s.t.w.net.mu.Unlock()
		s.got = append(s.got, buf[:n]...)
		if n > 0 {
			continue
		}
		if errno == 0 || errno != syscall.EAGAIN {
			s.retired()
			s.close(false)
			return
		}
		break
	}
	if len(s.got) > 0 && s.since.IsZero() {
		s.since = since
	}
	for !s.dead && !s.closed && s.request() {
	}
}

// request reads a request, if it is there as a whole, and draws the answer.
func (s *served) request() bool {
	if !bytes.Contains(s.got, []byte("\r\n\r\n")) {
		return false
	}
	in := bytes.NewReader(s.got)
	br := bufio.NewReader(in)
	req, err := http.ReadRequest(br)
	if err != nil {
		s.t.w.breaks(s.t.name, "what has come is no request: %v, %.100q", err, s.got)
		s.close(true)
		return false
	}
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return s.early(req)
	}
	since := s.since
	s.got, s.since = s.got[len(s.got)-in.Len()-br.Buffered():], time.Time{}
	w, token := s.t.w, req.Header.Get("X-Token")
	if token == "" { // a check of its health
		s.unsent = append(s.unsent, fmt.Sprintf("HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n", 200+300*s.t.d.n(2)*s.t.d.n(2))...)
		return true
	}
	s.came(req, token)
	if r := w.byToken[token]; r != nil && r.path[1] != 'c' && r.path[1] != 'm' && !r.out.rstAt.IsZero() &&
		since.Sub(r.out.rstAt) > 300*time.Millisecond {
		w.breaks(s.t.name, "%s is asked %v after its client has gone", token, since.Sub(r.out.rstAt))
	}
	w.note(s.t.name, "%s is asked %s %s %s", s.e.name, req.Method, req.URL.Path, token)
	if req.Method == "POST" && strings.ReplaceAll(string(body), token, "") != "" {
		w.breaks(s.t.name, "the body of %s has foreign bytes", token)
	}
	s.answer(req, token)
	return true
}

// came counts a request that has come.
func (s *served) came(req *http.Request, token string) {
	w := s.t.w
	w.came[token]++
	n, most := w.came[token], 1
	if req.URL.Path[1] == 'm' {
		most = 2 // and its copy
	}
	if n > most && req.Method == "POST" {
		w.breaks(s.t.name, "%s came %d times to targets", token, n)
	}
}

// early answers a request whose body has not come yet, now and then, and reads no more.
func (s *served) early(req *http.Request) bool {
	w, token := s.t.w, req.Header.Get("X-Token")
	if token == "" || s.t.w.plan.polite || !s.t.d.one(20) {
		return false
	}
	s.came(req, token)
	w.note(s.t.name, "%s answers %s early", s.e.name, token)
	s.dead, s.ends = true, true
	s.unsent = append(s.unsent, "HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 5\r\n\r\nearly"...)
	return false
}

func (s *served) answer(req *http.Request, token string) {
	w, d := s.t.w, s.t.d
	g := &given{id: fmt.Sprint(token, w.came[token]), token: token, path: req.URL.Path, kind: req.Header.Get("X-Kind"),
		shared: true, at: time.Now()}
	w.given[g.id] = g
	if d.one(3) {
		s.from = time.Now().Add(d.wait(2 * time.Second))
	}
	if d.one(10) {
		s.unsent = append(s.unsent, []string{"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", "HTTP/1.1 102 Processing\r\n\r\n",
			"HTTP/1.1 100 Continue\r\n\r\n"}[d.n(3)]...)
	}
	if s.found(req) {
		return
	}
	body := strings.Repeat(token, d.n(1<<d.n(12)))
	if d.one(40) {
		body = strings.Repeat(token, 40_000) // more than a wire takes
	}
	head := fmt.Sprintf("HTTP/1.1 200 OK\r\nX-Answer: %s\r\nX-Size: %d\r\n%s", g.id, len(body), s.freshness(req, g))
	w.note(s.t.name, "answers with %s, %d bytes", g.id, len(body))
	s.write(req, g, head, body)
}

// freshness draws what the answer says to caches.
func (s *served) freshness(req *http.Request, g *given) string {
	d := s.t.d
	if req.URL.Path[1] != 'c' {
		return ""
	}
	life := []int{10, 2, 1, 0, 60}[d.n(5)]
	text := fmt.Sprintf("Cache-Control: max-age=%d", life)
	auth := req.Header.Get("Authorization") != ""
	switch d.n(10) {
	case 9:
		text += ", no-store"
		g.shared = false
	case 8:
		text += ", private"
		g.shared = false
	case 7:
		text += ", public"
		auth = false
	case 6:
		text += "\r\nSet-Cookie: a=" + g.token
		g.shared = false
	}
	if auth {
		g.shared = false
	}
	g.life = time.Duration(life) * time.Second
	text += "\r\n"
	if d.one(2) {
		g.varies = true
		text += "Vary: X-Kind\r\n"
	}
	if g.etag = d.one(2); g.etag {
		text += fmt.Sprintf("ETag: \"%s\"\r\n", g.id)
	}
	return text
}

// send adds an answer to what is to be sent, and notes from when on g is fresh: from when the head has come.
func (s *served) send(g *given, text string, life time.Duration) {
	if i := strings.Index(text, "\r\n\r\n"); i >= 0 {
		g.fresh = append(g.fresh, freshness{time.Now(), time.Now(), life})
		j := len(g.fresh) - 1
		s.t.w.net.mark(s.e, len(s.unsent)+i+4, func() { g.fresh[j].from = time.Now() })
	}
	s.unsent = append(s.unsent, text...)
}

// found answers with a 304, if the gateway has asked whether something is as it was.
func (s *served) found(req *http.Request) bool {
	d, w := s.t.d, s.t.w
	tags := req.Header.Get("If-None-Match")
	if tags == "" || d.one(2) {
		return false
	}
	first, _, _ := strings.Cut(tags, ",")
	old := w.given[strings.Trim(first, ` "`)]
	if old == nil {
		return false
	}
	life := d.n(3)
	old.found = append(old.found, req.Header.Get("X-Token"))
	w.note(s.t.name, "says that %s is as it was", old.id)
	s.send(old, fmt.Sprintf("HTTP/1.1 304 Not Modified\r\nETag: \"%s\"\r\nCache-Control: max-age=%d\r\n\r\n",
		old.id, life), time.Duration(life)*time.Second)
	return true
}

// write draws how an answer is sent: framed in one of three ways, whole or not.
func (s *served) write(req *http.Request, g *given, head, body string) {
	d := s.t.d
	var text string
	framing, fault := d.n(4), d.n(20)
	if s.t.w.plan.polite {
		framing, fault = framing%2, 0
	}
	switch framing {
	case 0:
		text = head + fmt.Sprintf("Content-Length: %d\r\n\r\n", len(body))
	case 1:
		text = head + "Transfer-Encoding: chunked\r\n\r\n"
		rest := body
		body = ""
		for len(rest) > 0 {
			n := d.size(len(rest))
			body += fmt.Sprintf("%x\r\n%s\r\n", n, rest[:n])
			rest = rest[n:]
		}
		body += "0\r\n\r\n"
	case 2:
		text = head + fmt.Sprintf("Connection: close\r\nContent-Length: %d\r\n\r\n", len(body))
		s.ends = true
	default:
		text = head + "Connection: close\r\n\r\n"
		s.ends = true
	}
	if req.Method != "HEAD" {
		text += body
	}
	s.last = g.token
	s.t.w.spans[g.token] = span{from: g.at}
	switch fault {
	case 19: // cut
		if framing < 3 { // else nobody can tell
			text, s.ends = text[:d.n(len(text))], true
		}
	case 18:
		s.dead, text = true, ""
	case 17:
		text = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n"
	case 16:
		if framing == 3 { // it would be a part of the body
			break
		}
		text = []string{"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", "ICY 200 OK\r\n\r\n",
			text + "HTTP/1.1 200 OK\r\nX-Answer: none\r\nContent-Length: 0\r\n\r\n",
			"HTTP/1.1 200 OK\r\nContent Length: 0\r\n\r\n"}[d.n(4)]
		s.t.w.note(s.t.name, "sends what is no answer, or more than one")
	}
	s.send(g, text, g.life)
	if len(s.unsent) == 0 && s.ends {
		s.t.w.plan.calm = false
		s.close(false)
	}
}
