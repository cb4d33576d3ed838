package front

import (
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/clock"
	"github.com/penstock-edge/penstock/edge/lib/wire"
)

// conn is one client connection: a goroutine that reads a head, has it served, and starts over.
type conn struct {
	l      *Listener
	nc     net.Conn        // bytes are read from and written to it: the socket, or TLS on it
	socket net.Conn        // the socket itself
	tcp    *net.TCPConn    // the socket when bytes may be spliced: plain TCP; else nil
	raw    syscall.RawConn // of the socket; nil when it has none
	lane   uint32
	peer   netip.Addr
	scheme string
	// counted: the connection counts against its address' cap.
	counted bool

	br     wire.Reader
	in     requestBody
	pace   pace  // of what the client sends
	outflo pace  // of what the client takes
	rdl    int64 // read deadline in force, clock nanoseconds; 0: none
	until  int64 // when the body being gathered is given up, likewise; 0: never
	wdl    int64 // write deadline in force

	// state tells the drain what the connection is doing.
	state atomic.Uint32
	// aborted is set when the body's reader was told to stop: nothing more can be read.
	aborted atomic.Bool
	// sendMu orders an interim answer (100) of the uploading goroutine before the final one.
	sendMu sync.Mutex
	begun  bool // guarded by sendMu: the final answer has begun
	reset  bool // close with RST: the client must not take what it got for whole

	tunnel atomic.Pointer[tunnel]

	poll    [1]unix.PollFd
	pollFn  func(fd uintptr)
	unsent  int // set by queueFn
	queueFn func(fd uintptr)
}

const (
	stateIdle uint32 = iota // waiting for a request
	stateBusy
	stateTunnel
)

// Minimum sizes of the read buffer: most heads fit in the first.
const readBuffer = 4 << 10

func newConn(l *Listener, socket net.Conn, peer netip.Addr) *conn {
	c := &conn{l: l, nc: socket, socket: socket, peer: peer, scheme: "http", lane: l.front.nextLane()}
	c.tcp, _ = socket.(*net.TCPConn)
	if sc, ok := socket.(syscall.Conn); ok {
		c.raw, _ = sc.SyscallConn()
	}
	c.pollFn, c.queueFn = c.pollFd, c.queueFd
	return c
}

// serve runs the connection until it ends.
func (c *conn) serve() {
	defer c.l.forget(c)
	defer c.close()
	var f *edge.Fault
	defer edge.Contain(&f) // ends this connection only
	set := c.l.settings.Load()
	c.br.Reset(c, readBuffer, set.headBuffer)
	if !c.greet(set) {
		return
	}
	for first := true; ; first = false {
		c.br.SetMax(c.l.settings.Load().headBuffer)
		if !c.await(first) {
			return
		}
		if !c.exchange() {
			return
		}
	}
}

// await waits for the first byte of a request. It returns false when none comes.
func (c *conn) await(first bool) bool {
	if len(c.br.Buffered()) > 0 {
		c.state.Store(stateBusy)
		return true
	}
	c.br.Release()
	set := c.l.settings.Load()
	wait := set.idleTimeout
	if first {
		wait = set.headerTimeout
	}
	c.state.Store(stateIdle)
	c.readBy(clock.Now(), wait)
	if c.l.draining() {
		// A drain that began before the line above has set its own, earlier deadline; it must not be lost.
		c.lastCall()
	}
	_, err := c.br.Fill()
	c.state.Store(stateBusy)
	return err == nil
}

// lastCall shortens the wait of an idle connection: the client may have sent a request that is still on its
// way, so the connection is not closed at once, and a request that comes is answered with Connection: close.
func (c *conn) lastCall() {
	// Not c.nc, which another goroutine may be replacing; a closed socket ends the wait by itself.
	_ = c.socket.SetReadDeadline(time.Now().Add(time.Duration(c.l.front.drainGrace.Load())))
}

// exchange reads one head and has it served. It returns false when the connection must end.
func (c *conn) exchange() bool {
	w := acquireWork()
	w.c = c
	x := &w.x
	x.Times.Start = clock.Now()
	c.begun = false
	c.pace, c.outflo = pace{}, pace{}
	set := c.l.settings.Load()
	x.Lane, x.Peer, x.Client, x.Listener, x.Scheme, x.Conn = c.lane, c.peer, c.peer, set.name, c.scheme, c
	if quiet := c.readHead(w, set); quiet {
		w.release()
		return false
	}
	g := c.l.front.current.Pin(c.lane)
	if c.l.draining() {
		x.Close = true
	}
	edge.Serve(g, x, w)
	g.Unpin(c.lane)
	alive := !x.Close && c.settle()
	w.release()
	return alive
}

// settle makes the connection ready for the next head: what is left of the request's body is read, if it is
// little; false when the connection must end instead.
func (c *conn) settle() bool {
	if c.aborted.Load() || c.in.failed() {
		return false
	}
	return c.in.drain()
}

// Read is the source of the connection's read buffer: it keeps the pace of a body.
func (c *conn) Read(p []byte) (int, error) {
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

// overdue tells that the exchange's own time is over.
func (c *conn) overdue() bool { return c.until > 0 && clock.Now() >= c.until }

// write sends b to the client; a client that takes it too slowly is cut.
func (c *conn) write(b []byte) error {
	var err error
	if c.nc == c.socket {
		_, err = c.push(b)
	} else {
		_, err = c.nc.Write(b) // which pushes its records
	}
	return err
}

// readBy lets reads block for at least wait and at most a quarter more: a deadline is only moved when it
// must.
func (c *conn) readBy(now int64, wait time.Duration) {
	if c.rdl-now < int64(wait) || c.rdl-now > int64(wait)+int64(wait)/2 {
		c.setReadDeadline(now + int64(wait) + int64(wait)/4)
	}
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

// Gone implements edge.ClientConn: a poll for RDHUP sees a close even behind unread bytes, TLS or not.
func (c *conn) Gone() bool {
	if c.raw == nil {
		return false
	}
	c.poll[0].Revents = 0
	if c.raw.Control(c.pollFn) != nil {
		return true
	}
	return c.poll[0].Revents&(unix.POLLRDHUP|unix.POLLHUP|unix.POLLERR) != 0
}

func (c *conn) pollFd(fd uintptr) {
	c.poll[0] = unix.PollFd{Fd: int32(fd), Events: unix.POLLRDHUP}
	_, _ = unix.Poll(c.poll[:], 0) // an error leaves Revents zero: not known to be gone
}

// Abort implements edge.ClientConn.
func (c *conn) Abort() {
	c.aborted.Store(true)
	_ = c.nc.SetReadDeadline(time.Unix(1, 0)) // wakes a blocked read
}

// close ends the connection so that the client can still read what was sent to it: closing a socket with
// unread bytes would reset it and destroy the answer on its way (RFC 9112 9.6).
func (c *conn) close() {
	switch {
	case c.reset:
		if t, ok := c.socket.(*net.TCPConn); ok {
			_ = t.SetLinger(0) // the next close sends RST
		}
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
	return c.aborted.Load() || len(c.br.Buffered()) > 0 || !c.in.finished()
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
