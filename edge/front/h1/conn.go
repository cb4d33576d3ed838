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

// Protocol is HTTP/1.1 and 1.0 with clients. It implements client.Protocol.
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

// conn is one client connection. It has one owner at any time, which its state names.
type conn struct {
	*client.Conn
	p       *Protocol
	request *request // being served; nil: none

	br      wire.Reader
	started int64 // when the first byte of a head was seen, clock nanoseconds; 0: none yet
	rdl     int64 // read deadline in force, likewise; 0: none

	state  state
	served bool           // a request has been answered
	ending client.Closing // how it is closed, unless unread bytes want more

	serving func() // Serve, for handOff; nil: not needed yet

	// aborted is set when the body's reader was told to stop: nothing more can be read.
	aborted atomic.Bool
	// sendMu orders interim answers before the final one: an uploading goroutine sends a 100.
	sendMu sync.Mutex

	upstream atomic.Pointer[poll.Socket] // waited for, now or not long ago: see Watch
}

// readBuffer is the minimum size of the read buffer: most heads fit in it.
const readBuffer = 4 << 10

// Ready implements poll.Handler: bytes of a request have come, or the client has left.
func (c *conn) Ready() {
	if c.Plain() {
		c.loop(looped)
	} else {
		c.handOff()
	}
}

// Expired implements poll.Handler: nothing has come in time.
func (c *conn) Expired() {
	if !wire.Begun(c.br.Buffered()) {
		c.finish()
		return
	}
	c.startRequest(0, nil, edge.RequestTimeout)
	c.loop(looped)
}

// Hangup implements poll.Handler: the upstream that the request waits for becomes due soon.
func (c *conn) Hangup() {
	if up := c.upstream.Load(); up != nil {
		up.SetDue(clock.Now() + int64(gonePatience))
	}
}

// gonePatience is how long a request may go on after its client has closed its side, which may only mean that
// it sends nothing more.
const gonePatience = 100 * time.Millisecond

// Cut implements client.Served.
func (c *conn) Cut() {
	if t := c.Tunnel(); t != nil {
		t.End()
	}
	if up := c.upstream.Load(); up != nil {
		up.SetDue(clock.Now()) // its answer is not wanted any more
	}
}

// Loop implements edge.LoopConn.
func (c *conn) Loop() (l *poll.Loop, inside bool) { return c.Socket.Loop(), c.state == looped }

// Watch implements edge.LoopConn.
func (c *conn) Watch(up *poll.Socket) { c.upstream.Store(up) }

// Resume implements edge.LoopConn.
func (c *conn) Resume(on *poll.Loop) {
	if on == c.Socket.Loop() {
		c.loop(looped)
	} else {
		c.loop(moved)
	}
}

// loop serves requests in a loop, and hands the connection off to a goroutine when it has to wait.
func (c *conn) loop(s state) {
	if c.run(s) == edge.Blocked {
		c.handOff()
	}
}

// handOff gives the connection to a goroutine. It keeps the function value, since a go statement with a
// method value allocates one each time.
func (c *conn) handOff() {
	if c.serving == nil {
		c.serving = c.Serve
	}
	go c.serving()
}

// Serve implements client.Served. It is the goroutine of a connection: it does what has to wait, and returns
// when nothing has to any more.
func (c *conn) Serve() {
	var f *edge.Fault
	defer func() {
		if f != nil { // a panic ends this connection only
			c.abandon()
		}
	}()
	defer edge.Contain(&f)
	c.enter(blocking)
	for {
		if r := c.request; r != nil {
			if c.afterRequest(edge.Resume(&r.x, r, true)) == edge.Pending {
				return
			}
		}
		if c.Plain() {
			if c.run(moved) == edge.Pending {
				return
			}
			c.enter(blocking)
			if c.request == nil { // its turn is over
				runtime.Gosched()
			}
		} else if c.serveTLS() == edge.Pending {
			return
		}
	}
}

// What an edge.Outcome means for a connection. Ended: its next request can be read. Blocked: a goroutine goes
// on, with c.request if that is set, or with the next one. Pending: it waits in a loop or has ended, and the
// caller does not own it any more.

// run serves requests in the state s, without waiting. A client that sends many in one go, or asks for much,
// gets a turn and then a goroutine, which other connections need not wait for.
func (c *conn) run(s state) (o edge.Outcome) {
	var f *edge.Fault
	defer func() {
		if f != nil { // as in Serve
			c.abandon()
			o = edge.Pending
		}
	}()
	defer edge.Contain(&f)
	c.enter(s)
	for turn := int64(0); ; turn += requestShare {
		if turn > loopShare && (len(c.br.Buffered()) > 0 || !c.Socket.Fresh()) {
			return edge.Blocked
		}
		if c.request == nil && c.read() == edge.Pending {
			return edge.Pending
		}
		r := c.request
		if r.x.Gen == nil {
			o = edge.Serve(c.pin(r), &r.x, r, false)
		} else {
			o = edge.Resume(&r.x, r, false)
		}
		if o == edge.Ended {
			turn += r.x.OutBytes
		}
		if o = c.afterRequest(o); o != edge.Ended {
			return o
		}
	}
}

// serveTLS reads and serves one request under TLS. The loop gets the connection when none comes soon.
func (c *conn) serveTLS() edge.Outcome {
	if c.read() == edge.Pending {
		return edge.Pending
	}
	r := c.request
	return c.afterRequest(edge.Serve(c.pin(r), &r.x, r, true))
}

// read reads a head into c.request. It returns Pending when the loop waits for one, or the connection has
// ended.
func (c *conn) read() edge.Outcome {
	for {
		n, v, err := c.collect(c.Settings())
		late := errors.Is(err, os.ErrDeadlineExceeded)
		switch {
		case err == nil:
			c.startRequest(n, v, nil)
			return edge.Ended
		case late && wire.Begun(c.br.Buffered()):
			c.startRequest(0, nil, edge.RequestTimeout)
			return edge.Ended
		case late || errors.Is(err, errNothing):
			if c.park() {
				return edge.Pending
			}
		default:
			c.finish()
			return edge.Pending
		}
	}
}

// park gives the connection to the loop until more bytes come. It returns false when some have: the caller
// goes on.
func (c *conn) park() bool {
	set := c.Settings()
	if len(c.br.Buffered()) > 0 {
		c.Socket.SetDue(c.started + int64(set.HeaderTimeout))
		return c.await()
	}
	c.br.Release()
	wait := set.IdleTimeout
	if !c.served {
		wait = set.HeaderTimeout
	}
	c.Idle(c.now())
	c.IdleUntil(poll.Coarse(c.now() + int64(wait)))
	return c.await()
}

// await makes the loop the owner. It returns false when there is something to read: the caller remains the
// owner.
func (c *conn) await() bool {
	s := c.state
	c.enter(resting) // before the loop may become the owner
	if c.Socket.Await() {
		return true
	}
	c.enter(s)
	return false
}

// pin returns the generation that serves r.
func (c *conn) pin(r *request) *edge.Generation {
	if c.Last() {
		r.x.Close = true
	}
	return c.p.current.Pin(c.Lane)
}

// afterRequest ends the request once it has been served.
func (c *conn) afterRequest(o edge.Outcome) edge.Outcome {
	if o != edge.Ended {
		return o
	}
	r := c.request
	r.x.Gen.Unpin(c.Lane)
	alive := !r.x.Close && c.drainBody(r)
	if !r.in.finished() { // the client has sent, or may yet send, bytes that are not read
		c.ending = max(c.ending, client.Linger)
	}
	c.request, c.served = nil, true
	r.release()
	if !alive {
		c.finish()
		return edge.Pending
	}
	return edge.Ended
}

// drainBody reads what is left of the request's body, if it is little. It returns false when the connection
// cannot serve another request.
func (c *conn) drainBody(r *request) bool {
	if c.aborted.Load() || r.in.failed() {
		return false
	}
	return r.in.drain()
}

// errNothing means that nothing more has come, in a state that must not wait.
var errNothing = errors.New("nothing to read yet")

// Read is the source of the connection's read buffer. It waits only in state blocking, and enforces the
// minimum rate while a body is read.
func (c *conn) Read(p []byte) (int, error) {
	if len(c.Early) > 0 {
		n := copy(p, c.Early)
		c.Early = c.Early[n:]
		return n, nil
	}
	if c.state != blocking {
		return c.readNow(p)
	}
	if c.request == nil || !c.request.in.reading {
		return c.Net.Read(p)
	}
	b := &c.request.in
	now := clock.Now()
	allowed := b.recvRate.Allowed(c.Settings().MinReceive)
	if b.until > 0 {
		allowed = min(allowed, b.until-now)
	}
	if allowed <= 0 {
		return 0, os.ErrDeadlineExceeded
	}
	c.moveReadDeadline(now, allowed)
	if c.aborted.Load() {
		return 0, os.ErrDeadlineExceeded
	}
	n, err := c.Net.Read(p)
	b.recvRate.Add(int64(n), clock.Now()-now)
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

// now returns the time. In the loop that is when its round began, which costs nothing: a request's time then
// counts from when it could be read, not from when its turn came.
func (c *conn) now() int64 {
	if c.state == looped {
		return c.Socket.Loop().Round()
	}
	return clock.Now()
}

// moveReadDeadline lets a read block for wait, or up to a second less.
func (c *conn) moveReadDeadline(now, wait int64) {
	if c.rdl <= now || c.rdl > now+wait || now+wait-c.rdl > int64(time.Second) {
		c.setReadDeadline(now + wait)
	}
}

func (c *conn) setReadDeadline(at int64) {
	c.rdl = at
	_ = c.Net.SetReadDeadline(clock.At(at)) // fails only on a closed socket, as the read will
}

// Gone implements edge.ClientConn. The loop sees the end even behind unread bytes, and under TLS too.
func (c *conn) Gone() bool { return c.Socket.HungUp() }

// Abort implements edge.ClientConn.
func (c *conn) Abort() {
	c.aborted.Store(true)
	_ = c.Net.SetReadDeadline(time.Unix(1, 0)) // wakes a blocked read
}

// finish ends the connection, in a goroutine if it has to wait for that and may not.
func (c *conn) finish() {
	if r := c.request; r != nil && r.x.Gen != nil { // after a panic
		r.x.Gen.Unpin(c.Lane)
	}
	waits := c.state == blocking
	c.enter(closed)
	if c.ending == client.Orderly && (c.aborted.Load() || len(c.br.Buffered()) > 0) {
		c.ending = client.Linger
	}
	if c.ending == client.Linger && !waits {
		go c.end()
		return
	}
	c.end()
}

// abandon ends the connection after a panic.
func (c *conn) abandon() {
	if c.state != closed {
		c.finish()
	}
}

func (c *conn) end() {
	c.br.Release()
	c.Close(c.ending)
}
