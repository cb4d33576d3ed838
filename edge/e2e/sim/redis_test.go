//go:build sim

package sim

import (
	"bufio"
	"bytes"
	"net/netip"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/server"
)

// store is what the server of a fleet runs on, outside of all worlds. It is emptied for each.
var store *miniredis.Miniredis

// redis is a server of Redis, which is slow, silent, loading or gone now and then.
type redis struct {
	w     *world
	d     *draws
	at    netip.AddrPort
	conns []*session
	until time.Time // it says nothing before
	last  time.Time
}

// session is a connection of a client of redis.
type session struct {
	r      *redis
	e      *end
	peer   *server.Peer
	out    *bytes.Buffer
	writer *bufio.Writer
	some   bool
	got    []byte
	unsent []byte
	from   time.Time // nothing is sent before
	closed bool
}

func newRedis(w *world) *redis {
	r := &redis{w: w, d: w.drawsOf("redis"), at: netip.MustParseAddrPort("10.0.4.1:6379"), last: time.Now()}
	store.FlushAll()
	w.net.remotes[r.at] = func(e *end) {
		s := &session{r: r, e: e, out: &bytes.Buffer{}}
		s.writer = bufio.NewWriter(s.out)
		s.peer = server.NewPeer(s.writer)
		e.name = "redis"
		e.actor = func() { s.some = true }
		r.conns = append(r.conns, s)
	}
	return r
}

func (r *redis) ready() bool { return r.pick() != nil }

func (r *redis) done() bool { return true }

func (r *redis) pick() *session {
	if time.Now().Before(r.until) {
		return nil
	}
	for _, s := range r.conns {
		if !s.closed && (s.some || len(s.unsent) > 0 && !time.Now().Before(s.from)) {
			return s
		}
	}
	return nil
}

func (r *redis) act() {
	s := r.pick()
	if s == nil {
		return
	}
	store.SetTime(time.Now())
	store.FastForward(time.Since(r.last))
	r.last = time.Now()
	if s.some {
		s.some = false
		s.receive()
		return
	}
	r.w.net.mu.Lock()
	n, errno := s.e.send(s.unsent)
	r.w.net.mu.Unlock()
	s.unsent = s.unsent[n:]
	if errno != 0 && errno != syscall.EAGAIN {
		s.close()
	}
}

func (s *session) close() {
	s.r.w.net.mu.Lock()
	s.e.close()
	s.r.w.net.mu.Unlock()
	s.closed, s.unsent = true, nil
}

func (s *session) receive() {
	var buf [4096]byte
	for {
		s.r.w.net.mu.Lock()
		n, errno := s.e.recv(buf[:])
		s.r.w.net.mu.Unlock()
		s.got = append(s.got, buf[:n]...)
		if n > 0 {
			continue
		}
		if errno != syscall.EAGAIN {
			s.close()
			return
		}
		break
	}
	for !s.closed {
		args, rest := command(s.got)
		if args == nil {
			return
		}
		s.got = rest
		s.do(args)
	}
}

// do answers a command, or fails.
func (s *session) do(args []string) {
	r, d := s.r, s.r.d
	what := strings.ToUpper(args[0])
	if what == "EVALSHA" || what == "EVAL" {
		switch d.n(20) {
		case 19:
			r.until = time.Now().Add(d.wait(3 * time.Second))
			r.w.note("redis", "is silent for a while")
		case 18:
			r.w.note("redis", "hangs up")
			s.close()
			return
		case 17:
			s.unsent = append(s.unsent, "-LOADING it is\r\n"...)
			return
		case 16:
			s.from = time.Now().Add(d.wait(100 * time.Millisecond))
		}
	}
	store.Server().Dispatch(s.peer, args)
	s.peer.Flush()
	s.unsent = append(s.unsent, s.out.Bytes()...)
	s.out.Reset()
	r.w.note("redis", "answers %s", what)
}

// command cuts a command off b; nil: it is not there as a whole.
func command(b []byte) (args []string, rest []byte) {
	number := func(kind byte) int {
		i := bytes.Index(b, []byte("\r\n"))
		if i < 1 || b[0] != kind {
			return -1
		}
		n, err := strconv.Atoi(string(b[1:i]))
		if err != nil {
			return -1
		}
		b = b[i+2:]
		return n
	}
	n := number('*')
	for range n {
		size := number('$')
		if size < 0 || len(b) < size+2 {
			return nil, nil
		}
		args = append(args, string(b[:size]))
		b = b[size+2:]
	}
	return args, b
}
