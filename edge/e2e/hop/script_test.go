package hop

import (
	"bufio"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/penstock-edge/penstock/edge/e2e"
)

// script is a raw origin: what it answers, row by row, is set by the test. It tells which of its connections
// served a request.
type script struct {
	addr string

	mu    sync.Mutex
	play  func(c net.Conn, head string) bool // answers one request; false closes the connection
	conns int
	last  int // connection of the last request
}

func newScript(t testing.TB) *script {
	t.Helper()
	s := &script{}
	s.addr = e2e.Origin(t, func(c net.Conn) {
		s.mu.Lock()
		s.conns++
		id := s.conns
		s.mu.Unlock()
		br := bufio.NewReader(c)
		for {
			head := ""
			for !strings.HasSuffix(head, "\r\n\r\n") {
				line, err := br.ReadString('\n')
				if err != nil {
					return
				}
				head += line
			}
			s.mu.Lock()
			s.last = id
			play := s.play
			s.mu.Unlock()
			if !play(c, head) {
				return
			}
		}
	})
	s.answers(string(e2e.OK("ok")))
	return s
}

// does has f answer from now on.
func (s *script) does(f func(c net.Conn, head string) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.play = f
}

// answers has every request answered with a; probes get 200.
func (s *script) answers(a string) {
	s.does(func(c net.Conn, head string) bool {
		if strings.HasPrefix(head, "GET /probe ") {
			a := e2e.OK("probed")
			_, err := c.Write(a)
			return err == nil
		}
		_, err := io.WriteString(c, a)
		return err == nil
	})
}

func (s *script) lastConn() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

// head returns an answer's head with the given status line and fields.
func head(status string, fields ...string) string {
	return status + "\r\n" + strings.Join(append(fields, "", ""), "\r\n")
}

// answers is a gateway before a scripted origin, with what the rows of a table need.
type answers struct {
	t *testing.T
	s *script
	g *e2e.Gateway
}

func newAnswers(t *testing.T, more ...string) *answers {
	s := newScript(t)
	return &answers{t, s, e2e.Start(t, e2e.Simple(s.addr)+strings.Join(more, "\n"))}
}

// probe asks once more, on the same client connection if there is one: then the gateway has let go of the
// target's. What comes must be the probe's own answer. It reports whether the target's connection was used again.
func (a *answers) probe(stands string, c *e2e.RawClient) (reused bool) {
	a.t.Helper()
	before := a.s.lastConn()
	if c == nil {
		c = e2e.DialRaw(a.t, a.g.Addr)
		defer c.C.Close()
	}
	if r := c.Get("/probe"); r.StatusCode != 200 || r.Body != "probed" {
		a.t.Errorf("%s: the next request got %d %q", stands, r.StatusCode, r.Body)
	}
	return a.s.lastConn() == before
}

// refused: the target's answer must become a 502, its connection must not be used again and the client's lives on.
func (a *answers) refused(stands, answer string) {
	a.t.Helper()
	a.s.answers(answer)
	c := e2e.DialRaw(a.t, a.g.Addr)
	defer c.C.Close()
	c.Send(e2e.Lines("GET /x HTTP/1.1"))
	r := c.Final("GET")
	if r.StatusCode != 502 || r.Code() != "upstream_protocol" || r.Err != nil {
		a.t.Errorf("%s: got %d %q %v", stands, r.StatusCode, r.Body, r.Err)
	}
	if strings.Contains(r.Body, "POISON") || strings.Contains(r.Body, a.s.addr) {
		a.t.Errorf("%s: the answer shows internals: %s", stands, r.Body)
	}
	if a.probe(stands, c) {
		a.t.Errorf("%s: the target's connection was used again", stands)
	}
	c.Open(stands, "/probe")
}

// smuggled is what an attacker puts behind a head that must be refused: if it is ever taken for a request of
// its own, the origin sees it.
const smuggled = "GET /smuggled HTTP/1.1\r\nHost: example.com\r\n\r\n"
