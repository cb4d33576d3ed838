// Package load sends requests and measures what becomes of them. It is one thread on a core of its own (or
// shared with the origin): a raw epoll set, requests made beforehand, nothing allocated for a request.
//
// Closed loop, each connection sends its next request when the answer to the last has come. Open loop,
// requests are due at a fixed rate whatever the server does, and their latency counts from when they were
// due: one that had to wait for a free connection has waited.
package load

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"

	"github.com/penstock-edge/penstock/bench/rawnet"
)

// late is from when on the loader itself, not the server, has spoilt a request's time.
const late = time.Millisecond

// patience is how long the end of a run waits for answers.
const patience = 10 * time.Second

// Options are what is sent and where to.
type Options struct {
	Addr  string   // four numbers and a port
	Paths []string // in turn
	Close bool     // a connection for each request
	TLS   bool     // version 1.3, whatever the certificate
	Owned bool     // the process does nothing else; see rawnet.NewPoller
}

// Result is what a run gave. Times are nanoseconds. Failed counts requests, and besides them what nobody
// has asked for and connections that the server did not close though it should have.
type Result struct {
	Sent    int            `json:"sent"`
	Done    int            `json:"done"`
	Failed  int            `json:"failed"`
	Errors  map[string]int `json:"errors"`
	Late    int            `json:"late"`
	Rate    float64        `json:"rate"`
	P50     int64          `json:"p50"`
	P90     int64          `json:"p90"`
	P99     int64          `json:"p99"`
	P999    int64          `json:"p999"`
	Max     int64          `json:"max"`
	Seconds float64        `json:"seconds"`
	Error   string         `json:"error,omitempty"`
}

type conn struct {
	fd     int
	due    time.Duration
	busy   bool
	answer Answer
	ending bool // answered; the server has yet to close
	out    []byte
}

// Loader sends over one set of connections.
type Loader struct {
	opt      Options
	target   rawnet.Target
	requests [][]byte
	next     int
	poll     *rawnet.Poller
	conns    []*conn
	byFile   []*conn
	free     []*conn // a ring, oldest first
	head, n  int
	start    time.Time
	last     time.Duration // when the run ends
	interval float64       // nanoseconds between two requests; 0: closed loop
	patience time.Duration
	hold     bool // one request for each connection
	blocked  int  // requests below this number had to wait for a connection
	inFlight int
	hist     Histogram
	res      Result
	buf      []byte
}

// New makes the requests ready.
func New(opt Options) (*Loader, error) {
	requests, err := opt.requests()
	if err != nil {
		return nil, err
	}
	target, err := rawnet.NewTarget(opt.Addr)
	if err != nil {
		return nil, err
	}
	poll, err := rawnet.NewPoller(opt.Owned)
	if err != nil {
		return nil, err
	}
	return &Loader{opt: opt, target: target, poll: poll, requests: requests, patience: patience,
		buf: make([]byte, 256<<10)}, nil
}

func (opt *Options) requests() ([][]byte, error) {
	if len(opt.Paths) == 0 {
		return nil, errors.New("no path to ask for")
	}
	all := make([][]byte, 0, len(opt.Paths))
	for _, path := range opt.Paths {
		all = append(all, request(path, opt.Close))
	}
	return all, nil
}

func request(path string, last bool) []byte {
	r := "GET " + path + " HTTP/1.1\r\nHost: bench.example.com\r\nUser-Agent: bench/1.0\r\n" +
		"Accept: text/html,application/xhtml+xml\r\nAccept-Language: en\r\nCookie: session=0123456789abcdef\r\n"
	if last {
		r += "Connection: close\r\n"
	}
	return []byte(r + "\r\n")
}

// Run sends for some time at a rate, or closed loop if that is 0, and waits for what is under way.
func (l *Loader) Run(conns int, rate float64, last time.Duration) Result {
	l.begin(conns)
	if l.last = last; rate > 0 {
		l.interval = 1e9 / rate
	}
	l.start = time.Now()
	for {
		now := time.Since(l.start)
		wait := l.pump(now)
		if now >= l.last && l.inFlight == 0 || now >= l.last+l.patience {
			break
		}
		l.handle(l.poll.Wait(wait))
	}
	return l.result(min(time.Since(l.start), l.last))
}

// Idle opens connections, sends one request over each, and keeps them.
func (l *Loader) Idle(conns int) Result {
	l.Drop()
	l.begin(conns)
	return l.Burst()
}

// Burst sends one request over each connection that is held, all at once.
func (l *Loader) Burst() Result {
	l.hist.Reset()
	l.res, l.inFlight, l.hold = Result{Errors: map[string]int{}}, 0, true
	l.start = time.Now()
	held := l.conns
	for i, c := range held {
		l.res.Sent++
		if c.fd >= 0 || l.open(c) {
			l.send(c, time.Since(l.start))
		}
		if i%64 == 63 || i == len(held)-1 {
			l.handle(l.poll.Wait(0))
		}
	}
	for l.inFlight > 0 && time.Since(l.start) < 60*time.Second {
		l.handle(l.poll.Wait(time.Second))
	}
	return l.result(time.Since(l.start))
}

// Drop closes all connections.
func (l *Loader) Drop() {
	for _, c := range l.conns {
		if c.fd >= 0 {
			unix.Close(c.fd)
		}
	}
	clear(l.byFile)
	l.conns = nil
}

// Close closes all connections, and the loader.
func (l *Loader) Close() {
	l.Drop()
	l.poll.Close()
}

// begin has as many connections at hand as a run wants. Those of the run before are used again.
func (l *Loader) begin(conns int) {
	if len(l.conns) != conns || l.opt.Close {
		l.Drop()
	}
	for len(l.conns) < conns {
		l.conns = append(l.conns, &conn{fd: -1})
	}
	l.hist.Reset()
	l.res, l.interval, l.hold = Result{Errors: map[string]int{}}, 0, false
	l.blocked, l.inFlight = 0, 0
	l.free, l.head, l.n = make([]*conn, conns), 0, 0
	for _, c := range l.conns {
		if c.busy {
			l.close(c)
		}
		l.release(c)
	}
}

func (l *Loader) release(c *conn) {
	c.busy = false
	i := l.head + l.n
	if i >= len(l.free) {
		i -= len(l.free)
	}
	l.free[i] = c
	l.n++
}

func (l *Loader) nextFree() *conn {
	c := l.free[l.head]
	if l.head++; l.head == len(l.free) {
		l.head = 0
	}
	l.n--
	return c
}

// pump sends what is due as far as there are connections, and returns how long nothing more is.
func (l *Loader) pump(now time.Duration) time.Duration {
	for l.n > 0 && now < l.last+l.patience {
		due := now
		if l.interval > 0 {
			due = time.Duration(float64(l.res.Sent) * l.interval)
		}
		if due >= l.last {
			break
		}
		if due > now {
			if now = time.Since(l.start); due > now {
				return due - now
			}
		}
		if l.interval > 0 && now-due > late && l.res.Sent >= l.blocked {
			l.res.Late++
		}
		c := l.nextFree()
		l.res.Sent++
		if c.fd >= 0 || l.open(c) {
			l.send(c, due)
		} else {
			l.release(c)
		}
		if c.fd < 0 && l.interval == 0 { // failed at once: give others a chance, and do not spin for ever
			return time.Millisecond
		}
	}
	return l.quiet(now)
}

// quiet returns how long nothing is due when no connection is free or all is sent.
func (l *Loader) quiet(now time.Duration) time.Duration {
	if l.n == 0 && l.interval > 0 {
		l.blocked = max(l.blocked, min(int(float64(now)/l.interval), int(float64(l.last)/l.interval))+1)
	}
	if now < l.last && l.inFlight == 0 {
		return l.last - now
	}
	return max(l.last+l.patience-now, 0)
}

func (l *Loader) open(c *conn) bool {
	fd, err := l.target.Start()
	if err != nil {
		l.fail("connect")
		return false
	}
	for len(l.byFile) <= fd {
		l.byFile = append(l.byFile, nil)
	}
	c.fd, c.ending, l.byFile[fd] = fd, false, c
	if err := l.poll.Add(fd, unix.EPOLLIN|unix.EPOLLOUT|unix.EPOLLRDHUP|unix.EPOLLET); err != nil {
		l.close(c)
		l.fail("connect")
		return false
	}
	return true
}

func (l *Loader) close(c *conn) {
	if c.fd >= 0 {
		l.byFile[c.fd] = nil
		unix.Close(c.fd)
		c.fd = -1
	}
}

func (l *Loader) fail(kind string) {
	l.res.Errors[kind]++
	l.res.Failed++
}

func (l *Loader) send(c *conn, due time.Duration) {
	c.due, c.busy = due, true
	l.inFlight++
	c.answer.Reset()
	c.out = l.requests[l.next]
	if l.next++; l.next == len(l.requests) {
		l.next = 0
	}
	l.write(c)
}

func (l *Loader) write(c *conn) {
	n, e := rawnet.Write(c.fd, c.out)
	switch {
	case e == 0:
		c.out = c.out[n:]
	case e != unix.EAGAIN && e != unix.ENOTCONN:
		l.broken(c, "write")
	}
}

// broken gives a connection up, and the request on it if there is one.
func (l *Loader) broken(c *conn, kind string) {
	l.close(c)
	if !c.busy {
		return
	}
	if !c.ending {
		l.fail(kind)
	}
	l.over(c)
}

// over ends a request.
func (l *Loader) over(c *conn) {
	l.inFlight--
	c.busy, c.ending = false, false
	if !l.hold {
		l.release(c)
	}
}

func (l *Loader) handle(events []unix.EpollEvent) {
	for i := range events {
		e := &events[i]
		if int(e.Fd) >= len(l.byFile) || l.byFile[e.Fd] == nil {
			continue
		}
		c := l.byFile[e.Fd]
		if e.Events&unix.EPOLLOUT != 0 && c.busy && len(c.out) > 0 && e.Events&unix.EPOLLERR == 0 {
			if l.write(c); c.fd < 0 {
				continue
			}
		}
		if e.Events&^unix.EPOLLOUT != 0 {
			l.read(c, e.Events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0)
		}
	}
}

// read takes all there is: the set tells of it once. over: nothing comes behind that, not even another event.
func (l *Loader) read(c *conn, over bool) {
	for {
		n, e := rawnet.Read(c.fd, l.buf)
		switch {
		case e == unix.EAGAIN:
			return
		case e != 0:
			l.broken(c, errorKind(e))
			return
		case n == 0:
			if c.busy && !c.ending && c.answer.End() {
				l.finish(c)
			}
			l.broken(c, "closed")
			return
		}
		if !l.feed(c, l.buf[:n]) {
			return
		}
		if n < len(l.buf) && !c.ending && !over {
			return
		}
	}
}

func errorKind(e unix.Errno) string {
	switch e {
	case unix.ECONNREFUSED:
		return "refused"
	case unix.ECONNRESET:
		return "reset"
	}
	return "read"
}

// feed reads a piece of an answer, and reports whether the connection goes on.
func (l *Loader) feed(c *conn, p []byte) bool {
	if !c.busy || c.ending {
		l.fail("unasked")
		l.broken(c, "unasked")
		return false
	}
	n, done, err := c.answer.Feed(p)
	if err != nil {
		l.broken(c, err.Error())
		return false
	}
	if !done {
		return true
	}
	l.finish(c)
	if n < len(p) {
		l.fail("unasked")
		l.broken(c, "unasked")
		return false
	}
	if !c.answer.Close && !l.opt.Close {
		l.over(c)
	}
	return true
}

// finish counts an answer that has come whole. The connection is done with it when it is closed, or by over.
func (l *Loader) finish(c *conn) {
	c.ending = true
	if c.answer.Status != 200 {
		l.fail(statusKind(c.answer.Status))
		return
	}
	l.res.Done++
	l.hist.Add(time.Since(l.start) - c.due)
}

func (l *Loader) result(took time.Duration) Result {
	for _, c := range l.conns {
		if !c.busy {
			continue
		}
		if c.ending {
			l.fail("not-closed")
		} else {
			l.fail("no-answer")
		}
		l.close(c)
		c.busy = false
	}
	r := &l.res
	r.Seconds = took.Seconds()
	fill(r, &l.hist)
	return *r
}

func fill(r *Result, h *Histogram) {
	r.Rate = float64(r.Done) / r.Seconds
	r.P50, r.P90 = int64(h.Quantile(.5)), int64(h.Quantile(.9))
	r.P99, r.P999, r.Max = int64(h.Quantile(.99)), int64(h.Quantile(.999)), int64(h.Max())
}
