package h1

import (
	"errors"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/front/client"
	"github.com/penstock-edge/penstock/edge/lib/clock"
	"github.com/penstock-edge/penstock/edge/lib/lanes"
	"github.com/penstock-edge/penstock/edge/lib/poll"
	"github.com/penstock-edge/penstock/edge/lib/wire"
)

// Protocol is HTTP/1.1, and 1.0, as a front speaks it with clients.
type Protocol struct {
	current *edge.Current
	tunnels *lanes.Gauge
	clock   clock.Coarse // for Date
}

// New returns a protocol whose requests the generations of current serve. It counts open tunnels.
func New(current *edge.Current, tunnels *lanes.Gauge) *Protocol {
	return &Protocol{current: current, tunnels: tunnels}
}

// Open implements client.Protocol.
func (p *Protocol) Open(cc *client.Conn) client.Served {
	c := &conn{Conn: cc, p: p}
	c.br.Reset(c, readBuffer, cc.Settings().HeadBuffer)
	return c
}

// conn is one client connection. It has one owner at any time: the loop while it waits for a request or for
// the upstream, else whoever runs on from there, which is the loop as long as nobody has to be waited for
// and a goroutine (serve) from there to the end of the exchange.
type conn struct {
	*client.Conn
	p    *Protocol
	work *work // the request being served; nil: none

	br      wire.Reader
	pace    client.Pace // of what the client sends
	started int64       // when the first byte of a head was seen, clock nanoseconds; 0: none yet
	rdl     int64       // read deadline in force, likewise; 0: none
	until   int64       // when the body being gathered is given up, likewise; 0: never

	looped bool // reads must not wait: the loop is the owner, or serve does its work
	inside bool // served in the loop of the socket
	served bool // a request has been answered
	unread bool // the client has sent, or may yet send, what nobody reads
	begun  bool // guarded by sendMu: the final answer has begun
	reset  bool // close with RST: the client must not take what it got for whole

	serving func() // serve, for hand; nil: not needed yet

	// aborted is set when the body's reader was told to stop: nothing more can be read.
	aborted atomic.Bool
	// sendMu orders interim answers before the final one: an uploading goroutine sends a 100.
	sendMu sync.Mutex

	upstream atomic.Pointer[poll.Socket] // waited for, now or not long ago: see Watch
}

// readBuffer is the minimum size of the read buffer: most heads fit in it.
const readBuffer = 4 << 10

// Ready implements poll.Handler: a request begins or goes on, or the client has left.
func (c *conn) Ready() {
	c.inside = true
	if c.Plain() {
		c.loop()
	} else {
		c.hand()
	}
}

// Expired implements poll.Handler: nothing has come in time.
func (c *conn) Expired() {
	c.inside = true
	if !wire.Begun(c.br.Buffered()) {
		c.finish()
		return
	}
	c.take(0, nil, edge.RequestTimeout)
	c.loop()
}

// Hangup implements poll.Handler: an upstream that the client does not wait for any more is looked after
// soon.
func (c *conn) Hangup() {
	if up := c.upstream.Load(); up != nil {
		up.SetDue(clock.Now() + int64(gonePatience))
	}
}

// gonePatience is how long a request may go on whose client has closed its side: it may only have said that
// it sends nothing more.
const gonePatience = 100 * time.Millisecond

// Cut implements client.Served.
func (c *conn) Cut() {
	if t := c.Tunnel(); t != nil {
		t.End()
	}
	if up := c.upstream.Load(); up != nil {
		up.SetDue(clock.Now()) // nobody waits for its answer
	}
}

// Loop implements edge.LoopConn.
func (c *conn) Loop() (l *poll.Loop, inside bool) { return c.Socket.Loop(), c.inside }

// Watch implements edge.LoopConn.
func (c *conn) Watch(up *poll.Socket) { c.upstream.Store(up) }

// Resume implements edge.LoopConn.
func (c *conn) Resume(on *poll.Loop) {
	w := c.work
	c.inside = on == c.Socket.Loop()
	switch c.after(edge.Resume(&w.x, w, false)) {
	case edge.Ended:
		c.loop()
	case edge.Blocked:
		c.hand()
	}
}

// loop serves requests in the loop, and hands over to a goroutine what has to wait.
func (c *conn) loop() {
	if c.run() == edge.Blocked {
		c.hand()
	}
}

// hand gives the connection to a goroutine. The function value is kept: a go statement with a method makes
// a new one each time.
func (c *conn) hand() {
	c.inside = false
	if c.serving == nil {
		c.serving = c.serve
	}
	go c.serving()
}

// Serve implements client.Served.
func (c *conn) Serve() { c.serve() }

// serve is the goroutine of a connection: it does what has to wait, and ends when there is nothing of that
// kind.
func (c *conn) serve() {
	var f *edge.Fault
	defer func() {
		if f != nil { // a panic ends this connection only
			c.finish()
		}
	}()
	defer edge.Contain(&f)
	c.looped = false
	for {
		if w := c.work; w != nil {
			c.looped = false
			if c.after(edge.Resume(&w.x, w, true)) == edge.Pending {
				return
			}
		}
		if c.Plain() {
			if c.run() == edge.Pending {
				return
			}
			if c.work == nil { // its turn is over
				runtime.Gosched()
			}
		} else if c.secured() == edge.Pending {
			return
		}
	}
}

// What an edge.Outcome says of a connection: Ended, its next request can be read; Blocked, the request in
// c.work, if there is one, or the next one goes on in a goroutine; Pending, it waits in the loop, or has
// ended.

// run serves requests without waiting. Whoever sends many in one go, or asks for much, gets a turn and then a
// goroutine, which other connections need not wait for.
func (c *conn) run() (o edge.Outcome) {
	var f *edge.Fault
	defer func() {
		if f != nil { // a panic ends this connection only
			c.finish()
			o = edge.Pending
		}
	}()
	defer edge.Contain(&f)
	c.looped = true
	for turn := int64(0); ; turn += requestShare {
		if turn > loopShare && (len(c.br.Buffered()) > 0 || !c.Socket.Fresh()) {
			return edge.Blocked
		}
		if c.work == nil && c.read() == edge.Pending {
			return edge.Pending
		}
		w := c.work
		served := edge.Serve(c.pin(w), &w.x, w, false)
		if served == edge.Ended {
			turn += w.x.OutBytes
		}
		if o := c.after(served); o != edge.Ended {
			return o
		}
	}
}

// secured reads and serves one request under TLS; the connection goes to the loop when none comes soon.
func (c *conn) secured() edge.Outcome {
	if c.read() == edge.Pending {
		return edge.Pending
	}
	w := c.work
	return c.after(edge.Serve(c.pin(w), &w.x, w, true))
}

// read reads a head into c.work, unless the connection waits for it in the loop, or has ended.
func (c *conn) read() edge.Outcome {
	for {
		n, v, err := c.collect(c.Settings())
		late := errors.Is(err, os.ErrDeadlineExceeded)
		switch {
		case err == nil:
			c.take(n, v, nil)
			return edge.Ended
		case late && wire.Begun(c.br.Buffered()):
			c.take(0, nil, edge.RequestTimeout)
			return edge.Ended
		case late || errors.Is(err, errNothing):
			if c.rest() {
				return edge.Pending
			}
		default:
			c.finish()
			return edge.Pending
		}
	}
}

// rest gives the connection to the loop until more has come; false: it has, and the caller goes on.
func (c *conn) rest() bool {
	set := c.Settings()
	if len(c.br.Buffered()) > 0 {
		c.Socket.SetDue(c.started + int64(set.HeaderTimeout))
		return c.Socket.Await()
	}
	c.br.Release()
	wait := set.IdleTimeout
	if !c.served {
		wait = set.HeaderTimeout
	}
	c.Idle(c.now())
	c.IdleUntil(poll.Coarse(c.now() + int64(wait)))
	return c.Socket.Await()
}

// pin returns the generation that serves w.
func (c *conn) pin(w *work) *edge.Generation {
	if c.Last() {
		w.x.Close = true
	}
	return c.p.current.Pin(c.Lane)
}

// after looks what became of the request in c.work, and ends it when it has been served.
func (c *conn) after(o edge.Outcome) edge.Outcome {
	if o != edge.Ended {
		return o
	}
	w := c.work
	w.x.Gen.Unpin(c.Lane)
	alive := !w.x.Close && c.settle(w)
	c.unread = !w.in.finished()
	c.work, c.served = nil, true
	w.release()
	if !alive {
		c.finish()
		return edge.Pending
	}
	return edge.Ended
}

// settle makes the connection ready for the next head: what is left of the request's body is read, if it is
// little; false when the connection must end instead.
func (c *conn) settle(w *work) bool {
	if c.aborted.Load() || w.in.failed() {
		return false
	}
	return w.in.drain()
}

// errNothing tells the loop that nothing more has come.
var errNothing = errors.New("nothing to read yet")

// Read is the source of the connection's read buffer: it keeps the pace of a body. For the loop it does not
// wait.
func (c *conn) Read(p []byte) (int, error) {
	if c.looped {
		return c.readNow(p)
	}
	if !c.pace.On {
		return c.Net.Read(p)
	}
	now := clock.Now()
	allowed := c.pace.Allowed(c.Settings().MinReceive)
	if c.until > 0 {
		allowed = min(allowed, c.until-now)
	}
	if allowed <= 0 {
		return 0, os.ErrDeadlineExceeded
	}
	c.moveReadDeadline(now, allowed)
	if c.aborted.Load() {
		return 0, os.ErrDeadlineExceeded
	}
	n, err := c.Net.Read(p)
	c.pace.Add(int64(n), clock.Now()-now)
	return n, err
}

func (c *conn) readNow(p []byte) (int, error) {
	if c.Socket.Fresh() {
		return 0, errNothing
	}
	n, err := c.Socket.TryRead(p)
	if n == 0 && err == nil {
		err = errNothing
	}
	return n, err
}

// now is the time: in the loop when its round began, which costs nothing to know. A request's time then
// counts from when it was there to be read, not from when its turn came.
func (c *conn) now() int64 {
	if c.inside {
		return c.Socket.Loop().Round()
	}
	return clock.Now()
}

// overdue reports whether the exchange's own time is over.
func (c *conn) overdue() bool { return c.until > 0 && clock.Now() >= c.until }

// moveReadDeadline lets a read block for wait, or up to a second less.
func (c *conn) moveReadDeadline(now, wait int64) {
	if c.rdl <= now || c.rdl > now+wait || now+wait-c.rdl > int64(time.Second) {
		c.setReadDeadline(now + wait)
	}
}

func (c *conn) setReadDeadline(at int64) {
	c.rdl = at
	_ = c.Net.SetReadDeadline(clock.At(at)) // fails only on a closed socket, which the read will tell
}

// Gone implements edge.ClientConn: the loop has seen the end even behind unread bytes, TLS or not.
func (c *conn) Gone() bool { return c.Socket.HungUp() }

// Abort implements edge.ClientConn.
func (c *conn) Abort() {
	c.aborted.Store(true)
	_ = c.Net.SetReadDeadline(time.Unix(1, 0)) // wakes a blocked read
}

// finish ends the connection. What that has to wait for is done by a goroutine.
func (c *conn) finish() {
	if w := c.work; w != nil && w.x.Gen != nil { // after a panic
		w.x.Gen.Unpin(c.Lane)
	}
	how := client.Orderly
	switch {
	case c.reset:
		how = client.Reset
	case c.aborted.Load() || len(c.br.Buffered()) > 0 || c.unread:
		how = client.Linger
	}
	if c.looped && how == client.Linger {
		go c.end(how)
		return
	}
	c.end(how)
}

func (c *conn) end(how client.Closing) {
	c.br.Release()
	c.Close(how)
}
