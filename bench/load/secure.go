package load

import (
	"crypto/tls"
	"net"
	"sync"
	"time"
)

// secure loads over TLS: a goroutine for each connection, on Go's own sockets. It costs more than Loader,
// which does not matter for what is measured with it: the server's CPU time and memory.
type secure struct {
	opt      Options
	requests [][]byte
	conns    []net.Conn

	mu   sync.Mutex
	hist Histogram
	res  Result
	next int
}

func newSecure(opt Options) (*secure, error) {
	requests, err := opt.requests()
	return &secure{opt: opt, requests: requests}, err
}

func (s *secure) reset(conns int) {
	if len(s.conns) != conns {
		s.Drop()
		s.conns = make([]net.Conn, conns)
	}
	s.hist.Reset()
	s.res = Result{Errors: map[string]int{}}
}

// Run sends for some time, each connection from a goroutine of its own.
func (s *secure) Run(conns int, rate float64, last time.Duration) Result {
	s.reset(conns)
	due := make(chan time.Duration, min(int(rate*last.Seconds())+1, 1<<20)) // before the start: it takes time
	start := time.Now()
	if rate > 0 {
		go pace(due, start, rate, last, s)
	}
	s.each(func(i int, buf []byte) {
		if rate == 0 {
			for at := time.Since(start); at < last; at = time.Since(start) {
				s.one(i, start, at, buf)
			}
			return
		}
		for at := range due {
			if time.Since(start) < last+patience {
				s.one(i, start, at, buf)
			}
		}
	})
	return s.result(min(time.Since(start), last))
}

// pace makes requests due at a fixed rate, until the run ends.
func pace(due chan<- time.Duration, start time.Time, rate float64, last time.Duration, s *secure) {
	defer close(due)
	for i := 0; ; i++ {
		at := time.Duration(float64(i) / rate * 1e9)
		if at >= last {
			return
		}
		now := time.Since(start)
		if at > now {
			time.Sleep(at - now) // the pace
		} else if now-at > late {
			s.mu.Lock()
			s.res.Late++
			s.mu.Unlock()
		}
		due <- at
	}
}

// each runs f for every connection and waits for all of them.
func (s *secure) each(f func(i int, buf []byte)) {
	var wg sync.WaitGroup
	for i := range s.conns {
		wg.Go(func() { f(i, make([]byte, 8<<10)) })
	}
	wg.Wait()
}

// Idle opens connections, sends one request over each, and keeps them.
func (s *secure) Idle(conns int) Result {
	s.Drop()
	s.reset(conns)
	start := time.Now()
	buf := make([]byte, 8<<10)
	for i := range s.conns { // one after another: handshakes cost the server most
		s.one(i, start, time.Since(start), buf)
	}
	return s.result(time.Since(start))
}

// Burst sends one request over each connection that is held, all at once.
func (s *secure) Burst() Result {
	s.reset(len(s.conns))
	start := time.Now()
	s.each(func(i int, buf []byte) { s.one(i, start, time.Since(start), buf) })
	return s.result(time.Since(start))
}

// Close is Drop: there is nothing else.
func (s *secure) Close() { s.Drop() }

// Drop closes all connections.
func (s *secure) Drop() {
	for _, c := range s.conns {
		if c != nil {
			c.Close()
		}
	}
	s.conns = nil
}

// one sends a request over connection i and waits for the answer.
func (s *secure) one(i int, start time.Time, due time.Duration, buf []byte) {
	s.mu.Lock()
	r := s.requests[s.next%len(s.requests)]
	s.next++
	s.res.Sent++
	s.mu.Unlock()
	kind := ""
	if s.conns[i] == nil {
		d := net.Dialer{Timeout: 10 * time.Second}
		c, err := tls.DialWithDialer(&d, "tcp", s.opt.Addr, &tls.Config{
			InsecureSkipVerify: true, MinVersion: tls.VersionTLS13, ServerName: "bench.example.com",
		})
		if err != nil {
			kind = "connect"
		} else {
			s.conns[i] = c
		}
	}
	if kind == "" {
		var closed bool
		if kind, closed = exchange(s.conns[i], r, buf); closed || s.opt.Close {
			s.conns[i].Close()
			s.conns[i] = nil
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if kind != "" {
		s.res.Errors[kind]++
		s.res.Failed++
		return
	}
	s.res.Done++
	s.hist.Add(time.Since(start) - due)
}

// exchange sends a request and reads its answer. It gives what went wrong, or "", and whether the
// connection is of no more use.
func exchange(c net.Conn, request, buf []byte) (kind string, closed bool) {
	_ = c.SetDeadline(time.Now().Add(2 * patience))
	if _, err := c.Write(request); err != nil {
		return "write", true
	}
	var a Answer
	for {
		n, err := c.Read(buf)
		used, done, bad := a.Feed(buf[:n])
		switch {
		case bad != nil:
			return bad.Error(), true
		case done && used < n:
			return "unasked", true
		case done || err != nil && a.End():
			return a.kind(), a.Close
		case err != nil:
			return "closed", true
		}
	}
}

func (a *Answer) kind() string {
	if a.Status != 200 {
		return statusKind(a.Status)
	}
	return ""
}

func (s *secure) result(took time.Duration) Result {
	s.res.Seconds = took.Seconds()
	fill(&s.res, &s.hist)
	return s.res
}
