package h1

import (
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/clock"
	"github.com/penstock-edge/penstock/edge/lib/poll"
	"github.com/penstock-edge/penstock/edge/lib/splice"
	"github.com/penstock-edge/penstock/edge/lib/wire"
	"github.com/penstock-edge/penstock/pool/transport"
)

// conn is one connection to a target, or room for one that has not been opened; it serves one exchange at a
// time and has one owner at any time: the claimer, until it is released. While an upload runs, its goroutine
// works beside the owner: it is the writer then, else the owner is. The owner of a field may read and write
// it; fields that others may read or change too are marked. It implements transport.Stream and
// transport.Starter.
type conn struct {
	// a is the attempt as the pool knows it. The writer reads X and Settings, which do not change while it
	// writes.
	a transport.Attempt
	t *Target

	// These are set by open, and do not change after that: all users of the connection may read them.
	nc     net.Conn     // TLS or the socket; its methods are for all; nil: not open
	socket *poll.Socket // when a loop waits for it; nil under TLS, and when no loop was at hand
	plain  bool         // bytes may be spliced: not under TLS
	tls    *tls.Conn
	files  [sha256.Size]byte // of the TLS files that it was made with; see clienttls.Settings.Sum
	raw    syscall.RawConn
	header string // of the PROXY protocol, which the connection begins with
	peekFn func(fd uintptr)

	mu sync.Mutex // held while nc is set, and while Interrupt uses it

	// lastUsed is when it became idle; the reaper reads it while another owner may take the connection.
	lastUsed atomic.Int64

	// The writer's.
	wdl int64 // write deadline in force, clock nanoseconds

	// The owner's.
	br      wire.Reader
	checked bool // it has been seen that it can serve the exchange for which it is claimed
	asked   bool // the request has been sent, or a part of it
	reused  bool
	owes    bool  // the header has not been sent
	rdl     int64 // read deadline in force, clock nanoseconds; others may end a wait before (Interrupt)

	looped bool   // reads must not wait: a loop is the owner
	now    int64  // then: when its round began, or the request was sent; clock nanoseconds
	unsent []byte // of a request that the socket did not take at once; nil: none
	// unwritten: the socket took no byte of the request: it failed before.
	unwritten bool
	// awaits: the body of the request is sent when the target has asked for it by a 100, and not
	// before.
	awaits bool

	inBody   bool  // the head of the answer has been read
	lastByte int64 // when the target last sent something, clock nanoseconds

	interims int   // 1xx answers so far that came in quick succession
	worked   int64 // when the target last sent 102 (Processing), clock nanoseconds; 0: never
	mended   bool  // a head of the exchange was not as it should be: no other one follows on c

	m    wire.Response
	body body

	peekByte [1]byte
	peekErr  syscall.Errno
	peekN    int
	pipe     *splice.Pipe // where wait puts bytes; nil: into memory
	pipeMax  int64

	up upload // says itself whose its fields are
}

const (
	answerBuffer = 4 << 10  // first size of the read buffer
	maxAnswer    = 64 << 10 // bytes that the read buffer holds once the head has been read
)

// begin makes c ready for the attempt of its exchange.
func (c *conn) begin() {
	c.asked, c.looped, c.inBody = true, false, false
	c.interims, c.worked, c.mended = 0, 0, false
	c.br.SetMax(c.a.Settings.MaxHeadBytes)
	c.up.reset()
}

// close ends the connection; another one may be opened in its place.
func (c *conn) close() {
	c.mu.Lock()
	_ = c.nc.Close() // nothing is left to be sent on it
	c.nc = nil
	c.mu.Unlock()
	c.br.Release()
	c.t.common.Files.Targets.Give()
}

// trusted reports whether c was made with the files that s has in use: with others, its target may be one
// that is believed no longer, or believe the gateway no longer.
func (c *conn) trusted(s *transport.Settings) bool { return c.tls == nil || c.files == s.TLS.Sum() }

// alive reports whether an idle connection can serve x: still open, and not one byte there that nobody asked
// for.
func (c *conn) alive(x *edge.Exchange) bool {
	if c.raw == nil || len(c.br.Buffered()) > 0 || c.socket != nil && c.socket.HungUp() {
		return false
	}
	if c.watched(x) && c.socket.Fresh() {
		return true
	}
	if c.socket != nil {
		return c.socket.Peek()
	}
	c.peekN, c.peekErr = 0, 0
	if c.raw.Control(c.peekFn) != nil {
		return false
	}
	if c.peekErr == syscall.EAGAIN {
		return true
	}
	return c.peekN > 0 && c.tls != nil && c.onlyTickets()
}

// watched reports whether the kernel need not be asked. epoll reports in the order in which things came (it
// is first in, first out), so the loop that has just been told of x has been told before of what the target
// sent on c, provided that c waited in the same loop and since an earlier round. A close that crosses the
// request is found by RoundTrip; requests that should not be repeated ask all the same.
func (c *conn) watched(x *edge.Exchange) bool {
	if c.socket == nil || x.Loop == nil || !x.Repeatable() {
		return false
	}
	loop, inside := x.Loop.Loop()
	return inside && loop == c.socket.Loop() && c.lastUsed.Load() < loop.Round()
}

// peekFd looks for a byte or the end without taking or waiting.
func (c *conn) peekFd(fd uintptr) {
	n, _, errno := syscall.RawSyscall6(syscall.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(&c.peekByte[0])), 1,
		syscall.MSG_PEEK|syscall.MSG_DONTWAIT, 0, 0)
	c.peekN, c.peekErr = int(n), errno
}

// onlyTickets reads what a TLS target sent on an idle connection: session tickets are the connection's own
// business, anything else is not.
func (c *conn) onlyTickets() bool {
	c.rdl = 0
	_ = c.nc.SetReadDeadline(time.Now()) // what is there is read, nothing is waited for
	var b [1]byte
	n, err := c.nc.Read(b[:])
	return n == 0 && isTimeout(err)
}

// readUntil lets reads block until at, in clock nanoseconds; a deadline that stands a little before it stays.
func (c *conn) readUntil(now, at int64) {
	if c.rdl > at || c.rdl <= now+(at-now)/4 {
		c.rdl = at
		_ = c.nc.SetReadDeadline(clock.At(at)) // a closed socket fails the read
	}
}

// writeWithin lets writes block for wait, or up to a quarter of it or a second less: a deadline is only moved
// when it must. It fails when nothing more is to be written: whoever stops an upload says so before he ends
// its wait, so one of the two is seen here.
func (c *conn) writeWithin(wait time.Duration) error {
	at := clock.Now() + int64(wait)
	if c.wdl > at || at-c.wdl > int64(min(wait/4, time.Second)) {
		c.wdl = at
		_ = c.nc.SetWriteDeadline(clock.At(at)) // a closed socket fails the write
	}
	if c.up.stopped.Load() {
		return os.ErrDeadlineExceeded
	}
	return nil
}

// Read slices: how long the gateway waits for a target before it looks whether the client is still there.
const (
	firstSlice = 100 * time.Millisecond
	lastSlice  = time.Second
)

// Read is the source of the connection's buffer: it waits for the target in slices and looks between them
// whether the client is still there. Errors are *edge.Fault values. For a loop it does not wait, and fails
// with errNothing.
func (c *conn) Read(p []byte) (int, error) {
	if c.looped {
		return c.readNow(p)
	}
	return c.wait(p)
}

// readNow is Read for a loop.
func (c *conn) readNow(p []byte) (int, error) {
	if c.socket.Fresh() {
		return 0, errNothing
	}
	n, err := c.socket.TryRead(p)
	switch {
	case n > 0:
		return n, nil
	case err == nil:
		return 0, errNothing
	}
	c.a.X.Cause = err
	return 0, c.readFault(err)
}

// errNothing: nothing more has come that a loop could read.
var errNothing = &edge.Fault{Status: 504, Side: edge.SideUpstream, Code: "nothing_yet"}

// wait reads into p, or into c.pipe when one is set.
func (c *conn) wait(p []byte) (int, error) {
	for slice := firstSlice; ; slice = min(2*slice, lastSlice) {
		now := clock.Now()
		c.readUntil(now, min(now+int64(slice), c.limit()))
		if c.a.Raced && c.a.X.Conn.Gone() { // after the deadline was set: Interrupt comes after the client has gone
			return 0, edge.ClientGone
		}
		n, err := c.readOrSplice(p)
		if n > 0 {
			c.lastByte = clock.Now()
			return n, nil
		}
		if err == nil {
			continue
		}
		if !isTimeout(err) {
			c.a.X.Cause = err
			return 0, c.readFault(err)
		}
		if now = clock.Now(); now < c.rdl {
			c.rdl = 0 // the wait was ended from outside, perhaps for the exchange before
		}
		if c.unasked(now) {
			continue
		}
		if now >= c.limit() {
			return 0, edge.UpstreamTimeout
		}
		if !c.up.active.Load() && c.a.X.Conn.Gone() {
			return 0, edge.ClientGone
		}
	}
}

func (c *conn) readOrSplice(p []byte) (int, error) {
	if c.pipe != nil {
		return c.pipe.Fill(c.raw, c.pipeMax)
	}
	return c.nc.Read(p)
}

func (c *conn) readFault(err error) *edge.Fault {
	if errors.Is(err, io.EOF) {
		return errEnded
	}
	return edge.UpstreamReset
}

var (
	answerTooLarge = &edge.Fault{Status: 502, Side: edge.SideUpstream, Code: "upstream_protocol",
		Detail: "The head of the upstream's answer is too large."}
	// errEnded: the target closed in order; what that means depends on what was awaited.
	errEnded = &edge.Fault{Status: 502, Side: edge.SideUpstream, Retry: edge.RetryIdempotent,
		Code: "upstream_reset", Detail: "The upstream closed the connection."}
)

const forever = int64(1) << 62

// limit is when to give up waiting, in clock nanoseconds: for the head response_timeout after the request was
// sent or last said to be worked on, for the body stream_idle_timeout after its last byte; never beyond the
// exchange's deadline.
func (c *conn) limit() int64 {
	limit := forever
	switch {
	case c.inBody:
		limit = c.lastByte + int64(c.a.Settings.StreamIdleTimeout)
	case c.awaits:
		limit = c.up.ended.Load() + int64(askWithin)
	case !c.up.active.Load():
		limit = max(c.up.ended.Load(), c.worked) + int64(c.a.Settings.ResponseTimeout)
	}
	if c.a.X.TryDeadline > 0 && !c.inBody {
		limit = min(limit, c.a.X.TryDeadline)
	}
	if c.a.X.Deadline > 0 {
		limit = min(limit, c.a.X.Deadline)
	}
	return limit
}

// Interrupt implements transport.Stream: it ends the wait of another goroutine for c. What is waited for has
// been called off before.
func (c *conn) Interrupt() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.nc != nil {
		_ = c.nc.SetReadDeadline(time.Unix(1, 0)) // a closed socket has ended the wait already
	}
}
