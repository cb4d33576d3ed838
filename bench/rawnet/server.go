package rawnet

import (
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Server is a listener with a poller, which also waits for what is added to it. One goroutine runs Serve.
type Server struct {
	Poll   *Poller
	listen int
	addr   string
	closed atomic.Bool
}

// NewServer listens on an IPv4 address; port 0 picks a free one. owned: see NewPoller.
func NewServer(addr string, owned bool) (*Server, error) {
	poll, err := NewPoller(owned)
	if err != nil {
		return nil, err
	}
	fd, bound, err := Listen(addr)
	if err != nil {
		poll.Close()
		return nil, err
	}
	if err := poll.Add(fd, In); err != nil {
		poll.Close()
		unix.Close(fd)
		return nil, err
	}
	return &Server{Poll: poll, listen: fd, addr: bound}, nil
}

// Addr is the address the server listens on.
func (s *Server) Addr() string { return s.addr }

// Close makes Serve return.
func (s *Server) Close() {
	s.closed.Store(true)
	s.Poll.Wake()
}

// Serve calls accepted with each new connection, which the poller does not know yet, and happened with what
// came of those it knows. After Close it closes the listener and the poller, and returns.
func (s *Server) Serve(accepted func(fd int), happened func(fd int, events uint32)) {
	for !s.closed.Load() {
		for _, e := range s.Poll.Wait(-time.Second) {
			if int(e.Fd) != s.listen {
				happened(int(e.Fd), e.Events)
				continue
			}
			for fd, ok := Accept(s.listen); ok; fd, ok = Accept(s.listen) {
				accepted(fd)
			}
		}
	}
	unix.Close(s.listen)
	s.Poll.Close()
}

// Announce prints the address for whoever has started the process.
func (s *Server) Announce() { fmt.Println(strconv.Quote(s.addr)) }
