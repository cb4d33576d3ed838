package front

import (
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/front/clientauth"
	"github.com/penstock-edge/penstock/edge/lib/clock"
	"github.com/penstock-edge/penstock/edge/lib/poll"
	"github.com/penstock-edge/penstock/edge/lib/wire"
)

// conn is one client connection. It has one owner at any time: the loop while it waits for a request or for
// the upstream, else whoever runs on from there, which is the loop as long as nobody has to be waited for
// and a goroutine (serve) from there to the end of the exchange.
type conn struct {
	l      *Listener
	socket poll.Socket
	nc     net.Conn // bytes are read from and written to it: the socket, or TLS on it
	work   *work    // the request being served; nil: none
	lane   uint32
	port   uint16     // of peer
	peer   netip.Addr // other end of the socket, or what a PROXY header said
	scheme string
	client *clientauth.Client // nil: not asked for a certificate

	br      wire.Reader
	pace    pace  // of what the client sends
	outflo  pace  // of what the client takes
	started int64 // when the first byte of a head was seen, clock nanoseconds; 0: none yet
	rdl     int64 // read deadline in force, likewise; 0: none
	until   int64 // when the body being gathered is given up, likewise; 0: never
	wdl     int64 // write deadline in force

	counted bool // the connection counts against its address' cap
	greeted bool // PROXY header and TLS handshake are done, or not asked for
	looped  bool // reads must not wait: the loop is the owner, or serve does its work
	inside  bool // served in the loop of the socket
	served  bool // a request has been answered
	unread  bool // the client has sent, or may yet send, what nobody reads
	last    bool // the connection ends with the answer that is due
	begun   bool // guarded by sendMu: the final answer has begun
	reset   bool // close with RST: the client must not take what it got for whole

	// idleSince is since when it has been idle, or greeting; milliseconds of the clock, which may have wrapped.
	idleSince atomic.Uint32

	serving func() // serve, for hand; nil: not needed yet

	// state tells others than the owner what the connection is doing.
	state atomic.Uint32
	// aborted is set when the body's reader was told to stop: nothing more can be read.
	aborted atomic.Bool
	// sendMu orders interim answers before the final one: an uploading goroutine sends a 100.
	sendMu sync.Mutex

	local    atomic.Pointer[netip.AddrPort] // this end of the socket; nil: nobody has asked for it
	tunnel   atomic.Pointer[tunnel]
	upstream atomic.Pointer[poll.Socket] // waited for, now or not long ago: see Watch
}

const (
	stateIdle uint32 = iota // waiting for a request
	stateBusy
	stateTunnel
	stateGreeting // before the first request: PROXY header and TLS handshake
	stateParting  // as idle or greeting, and to be closed
)

// Minimum sizes of the read buffer: most heads fit in the first.
const readBuffer = 4 << 10

// newConn makes a connection and gives it to the loop, or to a goroutine when it does not begin with a
// request.
func (l *Listener) newConn(a poll.Accepted, peer netip.Addr, counted bool) {
	set := l.settings.Load()
	c := &conn{l: l, peer: peer, port: a.Remote.Port(), scheme: "http", lane: l.front.nextLane(),
		counted: counted, greeted: set.tls == nil && !set.proxyProtocol}
	c.nc = &c.socket
	c.br.Reset(c, readBuffer, set.headBuffer)
	c.idleSince.Store(millis(clock.Now()))
	if !c.greeted {
		c.state.Store(stateGreeting)
	}
	err := l.front.loops.Hold(&c.socket, a, c)
	l.enter(c) // from here on a drain may find it
	if err == nil {
		if c.greeted {
			c.idleUntil(clock.Now() + int64(set.headerTimeout))
		}
		err = c.socket.Begin(c.greeted)
	}
	if err != nil {
		slog.Error("cannot wait for a connection", "listener", l.key, "error", err)
		l.forget(c)
		return
	}
	if !c.greeted {
		c.hand()
	}
}

// plain reports whether bytes can be moved without being looked at: there is no TLS.
func (c *conn) plain() bool { return c.nc == net.Conn(&c.socket) }

// Ready implements poll.Handler: a request begins or goes on, or the client has left.
func (c *conn) Ready() {
	c.inside = true
	if c.plain() {
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

// Ends implements edge.Ends. The kernel is asked once: most requests go where nobody wants to know.
func (c *conn) Ends() (peer, local netip.AddrPort) {
	p := c.local.Load()
	if p == nil {
		at, err := c.socket.Local()
		if err != nil { // the client has left: where it came in is still known
			at = c.l.at()
		}
		at = netip.AddrPortFrom(addressOf(at), at.Port())
		p = &at
		c.local.Store(p)
	}
	return netip.AddrPortFrom(c.peer, c.port), *p
}

// Loop implements edge.LoopConn.
func (c *conn) Loop() (l *poll.Loop, inside bool) { return c.socket.Loop(), c.inside }

// Watch implements edge.LoopConn.
func (c *conn) Watch(up *poll.Socket) { c.upstream.Store(up) }

// Resume implements edge.LoopConn.
func (c *conn) Resume(on *poll.Loop) {
	w := c.work
	c.inside = on == c.socket.Loop()
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
	if !c.greeted {
		c.greeted = true
		if !c.greet(c.l.settings.Load()) {
			c.finish()
			return
		}
		c.state.CompareAndSwap(stateGreeting, stateIdle) // else it is parting
	}
	for {
		if w := c.work; w != nil {
			c.looped = false
			if c.after(edge.Resume(&w.x, w, true)) == edge.Pending {
				return
			}
		}
		if c.plain() {
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
		if turn > loopShare && (len(c.br.Buffered()) > 0 || !c.socket.Fresh()) {
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
		n, v, err := c.collect(c.l.settings.Load())
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
	set := c.l.settings.Load()
	if len(c.br.Buffered()) > 0 {
		c.socket.SetDue(c.started + int64(set.headerTimeout))
		return c.socket.Await()
	}
	c.br.Release()
	wait := set.idleTimeout
	if !c.served {
		wait = set.headerTimeout
	}
	c.idle()
	c.idleUntil(poll.Coarse(c.now() + int64(wait)))
	return c.socket.Await()
}

// idleUntil says how long the loop waits for a request.
func (c *conn) idleUntil(at int64) {
	c.socket.SetDue(at)
	if c.l.draining() {
		// A drain that began before the line above has set its own, earlier moment; it must not be lost.
		c.lastCall()
	}
	if c.state.Load() == stateParting { // likewise
		c.socket.SetDue(clock.Now())
	}
}

// lastCall shortens the wait of an idle connection: the client may have sent a request that is still on its
// way, so the connection is not closed at once, and a request that comes is answered with Connection: close.
func (c *conn) lastCall() {
	grace := c.l.front.drainGrace.Load()
	c.socket.SetDue(clock.Now() + grace)
	// Under TLS a goroutine may be reading. A closed socket ends that by itself.
	_ = c.socket.SetReadDeadline(time.Now().Add(time.Duration(grace)))
}

// pin returns the generation that serves w.
func (c *conn) pin(w *work) *edge.Generation {
	if c.last || c.l.draining() {
		w.x.Close = true
	}
	return c.l.front.current.Pin(c.lane)
}

// after looks what became of the request in c.work, and ends it when it has been served.
func (c *conn) after(o edge.Outcome) edge.Outcome {
	if o != edge.Ended {
		return o
	}
	w := c.work
	w.x.Gen.Unpin(c.lane)
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
	if !c.pace.on {
		return c.nc.Read(p)
	}
	now := clock.Now()
	allowed := c.pace.allowed(c.l.settings.Load().minReceive)
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
	n, err := c.nc.Read(p)
	c.pace.add(int64(n), clock.Now()-now)
	return n, err
}

func (c *conn) readNow(p []byte) (int, error) {
	if c.socket.Fresh() {
		return 0, errNothing
	}
	n, err := c.socket.TryRead(p)
	if n == 0 && err == nil {
		err = errNothing
	}
	return n, err
}

// now is the time: in the loop when its round began, which costs nothing to know. A request's time then
// counts from when it was there to be read, not from when its turn came.
func (c *conn) now() int64 {
	if c.inside {
		return c.socket.Loop().Round()
	}
	return clock.Now()
}

// overdue reports whether the exchange's own time is over.
func (c *conn) overdue() bool { return c.until > 0 && clock.Now() >= c.until }

// write sends b to the client; a client that takes it too slowly is cut.
func (c *conn) write(b []byte) error {
	var err error
	if c.plain() {
		_, err = c.push(b)
	} else {
		_, err = c.nc.Write(b) // which pushes its records
	}
	return err
}

// moveReadDeadline lets a read block for wait, or up to a second less.
func (c *conn) moveReadDeadline(now, wait int64) {
	if c.rdl <= now || c.rdl > now+wait || now+wait-c.rdl > int64(time.Second) {
		c.setReadDeadline(now + wait)
	}
}

func (c *conn) setReadDeadline(at int64) {
	c.rdl = at
	_ = c.nc.SetReadDeadline(clock.At(at)) // fails only on a closed socket, which the read will tell
}

// moveWriteDeadline lets a write block for wait, or up to a second less.
func (c *conn) moveWriteDeadline(now, wait int64) {
	if c.wdl <= now || c.wdl > now+wait || now+wait-c.wdl > int64(time.Second) {
		c.wdl = now + wait
		_ = c.socket.SetWriteDeadline(clock.At(c.wdl)) // as above
	}
}

// Gone implements edge.ClientConn: the loop has seen the end even behind unread bytes, TLS or not.
func (c *conn) Gone() bool { return c.socket.HungUp() }

// Abort implements edge.ClientConn.
func (c *conn) Abort() {
	c.aborted.Store(true)
	_ = c.nc.SetReadDeadline(time.Unix(1, 0)) // wakes a blocked read
}

// finish ends the connection. What that has to wait for is done by a goroutine.
func (c *conn) finish() {
	if w := c.work; w != nil && w.x.Gen != nil { // after a panic
		w.x.Gen.Unpin(c.lane)
	}
	if c.looped && c.lingers() && !c.reset {
		go c.end()
		return
	}
	c.end()
}

func (c *conn) end() {
	c.close()
	c.l.forget(c)
}

// close ends the connection so that the client can still read what was sent to it: closing a socket with
// unread bytes would reset it and destroy the answer on its way (RFC 9112 9.6).
func (c *conn) close() {
	switch {
	case c.reset:
		c.socket.SetReset()
		_ = c.socket.Close()
	case c.lingers():
		c.linger()
		_ = c.socket.Close()
	default:
		_ = c.nc.Close()
	}
	c.br.Release()
}

func (c *conn) lingers() bool {
	return c.aborted.Load() || len(c.br.Buffered()) > 0 || c.unread
}

// linger sends FIN and reads what is still on its way, for a short while and a bounded amount.
func (c *conn) linger() {
	cw, ok := c.nc.(interface{ CloseWrite() error })
	if !ok || cw.CloseWrite() != nil {
		return
	}
	_ = c.socket.SetReadDeadline(time.Now().Add(lingerTime)) // a closed socket ends the loop below
	buf := acquireBuffer()
	defer releaseBuffer(buf)
	for left := lingerBytes; left > 0; {
		n, err := c.socket.Read(buf[:])
		if err != nil {
			return
		}
		left -= n
	}
}

const (
	lingerTime  = 2 * time.Second
	lingerBytes = 4 << 20
)
