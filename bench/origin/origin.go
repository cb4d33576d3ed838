// Package origin is an HTTP/1.1 server that costs next to nothing: one thread, one epoll set, answers made
// before they are asked for. The last segment of the path is the number of bytes in the answer's body:
// /128, /r/7/10240.
package origin

import (
	"bytes"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/penstock-edge/penstock/bench/rawnet"
)

const (
	maxHead = 64 << 10 // of a request
	maxBody = 64 << 20 // of an answer; each size in use is kept in memory
)

// Server is one origin. One goroutine runs Serve.
type Server struct {
	*rawnet.Server
	conns   []*conn // by descriptor; nil: not in use
	spare   []*conn
	answers map[int][]byte // by size of the body
	buf     []byte
}

// conn is one connection. While out has bytes, nothing is read.
type conn struct {
	fd   int
	have []byte // what was read of a request whose head is not complete, or of requests behind an unsent answer
	skip int    // bytes of a request's body still to come
	next []byte // the answer to send when the body has come
	out  []byte // what could not yet be written of an answer
	last bool   // close after the answer
}

// Listen opens an origin on an IPv4 address; port 0 picks a free one. owned: see rawnet.NewPoller.
func Listen(addr string, owned bool) (*Server, error) {
	server, err := rawnet.NewServer(addr, owned)
	if err != nil {
		return nil, err
	}
	return &Server{Server: server, answers: map[int][]byte{}, buf: make([]byte, 256<<10)}, nil
}

// Serve answers until Close, then closes everything.
func (s *Server) Serve() {
	s.Server.Serve(s.accepted, func(fd int, events uint32) {
		if c := s.conns[fd]; c != nil {
			s.serve(c, events)
		}
	})
	for _, c := range s.conns {
		if c != nil {
			unix.Close(c.fd)
		}
	}
}

func (s *Server) accepted(fd int) {
	if s.Poll.Add(fd, rawnet.In) != nil {
		unix.Close(fd)
		return
	}
	for fd >= len(s.conns) {
		s.conns = append(s.conns, nil)
	}
	s.conns[fd] = s.newConn(fd)
}

func (s *Server) newConn(fd int) *conn {
	if n := len(s.spare); n > 0 {
		c := s.spare[n-1]
		s.spare = s.spare[:n-1]
		*c = conn{fd: fd, have: c.have[:0]}
		return c
	}
	return &conn{fd: fd}
}

func (s *Server) drop(c *conn) {
	s.conns[c.fd] = nil
	unix.Close(c.fd)
	s.spare = append(s.spare, c)
}

func (s *Server) serve(c *conn, events uint32) {
	if len(c.out) > 0 {
		s.flush(c)
		return
	}
	n, errno := rawnet.Read(c.fd, s.buf)
	switch {
	case errno != 0 && rawnet.Again(errno):
		return
	case errno != 0 || n == 0:
		s.drop(c)
		return
	}
	p := s.buf[:n]
	if len(c.have) > 0 {
		c.have = append(c.have, p...)
		p = c.have
	}
	s.answerAll(c, p)
}

// answerAll answers every complete request in p, until an answer cannot be written in full, and keeps the
// rest of p.
func (s *Server) answerAll(c *conn, p []byte) {
	for len(c.out) == 0 {
		if c.next != nil {
			n := min(c.skip, len(p))
			c.skip -= n
			p = p[n:]
			if c.skip > 0 {
				break
			}
			if !s.send(c, c.next) {
				return
			}
			continue
		}
		end := bytes.Index(p, []byte("\r\n\r\n"))
		if end < 0 {
			break
		}
		if !s.ask(c, p[:end+2]) {
			s.drop(c)
			return
		}
		p = p[end+4:]
	}
	if len(p) > maxHead && len(c.out) == 0 {
		s.drop(c)
		return
	}
	c.have = append(c.have[:0], p...)
}

// ask reads one head, its lines ended by CR LF, and sets the answer; false: it is not a request we can
// answer.
func (s *Server) ask(c *conn, head []byte) bool {
	line, rest, _ := bytes.Cut(head, []byte("\r\n"))
	path, _, ok := bytes.Cut(line[bytes.IndexByte(line, ' ')+1:], []byte{' '})
	if !ok {
		return false
	}
	size, ok := number(path[bytes.LastIndexByte(path, '/')+1:])
	if !ok || size > maxBody {
		return false
	}
	for len(rest) > 0 {
		line, rest, _ = bytes.Cut(rest, []byte("\r\n"))
		if len(line) > 0 && line[0]|0x20 != 'c' && line[0]|0x20 != 't' {
			continue
		}
		name, value, _ := bytes.Cut(line, []byte{':'})
		value = bytes.TrimSpace(value)
		switch {
		case bytes.EqualFold(name, []byte("Content-Length")):
			if c.skip, ok = number(value); !ok {
				return false
			}
		case bytes.EqualFold(name, []byte("Connection")):
			c.last = bytes.EqualFold(value, []byte("close"))
		case bytes.EqualFold(name, []byte("Transfer-Encoding")):
			return false // bodies come with a length here
		}
	}
	c.next = s.answer(size)
	return true
}

// send writes an answer, or what of it the socket takes now; false: the connection is gone.
func (s *Server) send(c *conn, p []byte) bool {
	c.next, c.out = nil, p
	n, errno := rawnet.Write(c.fd, p)
	if errno != 0 && !rawnet.Again(errno) {
		s.drop(c)
		return false
	}
	if errno == 0 {
		c.out = p[n:]
	}
	if len(c.out) > 0 {
		return s.watch(c, rawnet.Out)
	}
	return s.ended(c)
}

// flush goes on with an answer, then with the requests that came meanwhile.
func (s *Server) flush(c *conn) {
	n, errno := rawnet.Write(c.fd, c.out)
	switch {
	case errno != 0 && rawnet.Again(errno):
		return
	case errno != 0:
		s.drop(c)
		return
	}
	c.out = c.out[n:]
	if len(c.out) == 0 && s.watch(c, rawnet.In) && s.ended(c) {
		s.answerAll(c, c.have)
	}
}

// ended closes the connection behind the last answer; false: it did.
func (s *Server) ended(c *conn) bool {
	if c.last {
		s.drop(c)
	}
	return !c.last
}

func (s *Server) watch(c *conn, events uint32) bool {
	if s.Poll.Change(c.fd, events) != nil {
		s.drop(c)
		return false
	}
	return true
}

// answer returns the bytes of an answer with a body of the given size.
func (s *Server) answer(size int) []byte {
	if p := s.answers[size]; p != nil {
		return p
	}
	head := fmt.Sprintf("HTTP/1.1 200 OK\r\nServer: origin\r\nContent-Type: text/plain\r\n"+
		"Content-Length: %d\r\nCache-Control: max-age=3600\r\n\r\n", size)
	p := append(make([]byte, 0, len(head)+size), head...)
	p = append(p, bytes.Repeat([]byte("0123456789abcde\n"), size/16+1)[:size]...)
	s.answers[size] = p
	return p
}

// number reads a decimal number without allocating.
func number(p []byte) (int, bool) {
	n := 0
	for _, d := range p {
		if d < '0' || d > '9' || n > maxBody {
			return 0, false
		}
		n = n*10 + int(d-'0')
	}
	return n, len(p) > 0
}

// Run serves on addr until the process ends, and prints the address first.
func Run(addr string) error {
	rawnet.Own()
	s, err := Listen(addr, true)
	if err != nil {
		return err
	}
	s.Announce()
	s.Serve()
	return nil
}
