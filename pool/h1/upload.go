package h1

import (
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/clock"
	"github.com/penstock-edge/penstock/edge/lib/splice"
	"github.com/penstock-edge/penstock/edge/lib/wire"
)

// upload sends a body that is not whole in memory, in a goroutine of its own, while the connection's owner
// waits for the answer: a target may answer before it has read everything, and may stream both ways. From
// start until the token of done has been taken, the goroutine is the connection's writer, and the reader of
// the exchange's body; else the owner is.
type upload struct {
	c *conn // never changes

	// The owner's. What the exchange of c says of the body is read by the goroutine, and does not change while
	// it runs.
	begun bool // the goroutine was started and not yet joined
	timer *time.Timer
	run   func() // bound once: starting the goroutine allocates nothing

	failed bool // not all of the body was sent; the writer's

	// What follows is for both.
	active  atomic.Bool
	stopped atomic.Bool                // nothing more is to be written
	ended   atomic.Int64               // when the request was sent, clock nanoseconds
	fault   atomic.Pointer[edge.Fault] // why the body could not be had; set before the connection is closed
	done    chan struct{}              // one token when the goroutine ends
}

func (u *upload) init(c *conn) {
	u.c = c
	u.done = make(chan struct{}, 1)
	u.run = u.send
	u.timer = time.NewTimer(time.Hour)
	u.timer.Stop()
}

// reset prepares for an exchange without a streamed body.
func (u *upload) reset() {
	u.failed = false
	u.stopped.Store(false)
	u.fault.Store(nil)
}

// start begins to send the body.
func (u *upload) start() {
	u.begun = true
	u.active.Store(true)
	go u.run()
}

// over waits up to d for the goroutine to end and reports whether it has.
func (u *upload) over(d time.Duration) bool {
	if !u.begun {
		return true
	}
	if u.active.Load() {
		u.timer.Reset(d)
		defer u.timer.Stop()
		select {
		case <-u.done:
			u.begun = false
			return true
		case <-u.timer.C:
			return false
		}
	}
	<-u.done
	u.begun = false
	return true
}

// join waits until the goroutine has ended. An upload that goes on after the answer is complete, or after the
// target was lost, is of no use: it is made to end, and its client told to stop.
func (u *upload) join() {
	if u.over(lastWrite) {
		return
	}
	u.c.a.X.Conn.Abort()
	u.stopped.Store(true)                        // before the deadline: see writeWithin
	_ = u.c.nc.SetWriteDeadline(time.Unix(1, 0)) // wakes a blocked write
	<-u.done
	u.begun = false
	u.c.wdl = 0 // not before: until then it was the goroutine's
}

// A target that has read all of an upload can answer before the goroutine that sent it runs again: how long
// the head of the answer waits for it, and how long an upload may still take after the answer is complete.
const (
	answerWaits = 5 * time.Millisecond
	lastWrite   = 50 * time.Millisecond
)

type uploadBuffer [32 << 10]byte

var uploadBuffers = sync.Pool{New: func() any { return new(uploadBuffer) }}

// send copies the body to the target, framed as in the head.
func (u *upload) send() {
	if err := u.guarded(); err != nil {
		u.broke(err)
	}
	u.ended.Store(clock.Now())
	u.active.Store(false)
	u.done <- struct{}{}
}

// guarded copies the body; what panics in a filter that wraps it ends this exchange only.
func (u *upload) guarded() (err error) {
	var f *edge.Fault
	defer func() {
		if f != nil {
			err = f
		}
	}()
	defer edge.Contain(&f)
	buf := uploadBuffers.Get().(*uploadBuffer)
	err = u.copy(buf[:])
	uploadBuffers.Put(buf)
	return err
}

// broke notes that not all of the body was sent.
func (u *upload) broke(err error) {
	u.failed = true
	var f *edge.Fault
	if errors.As(err, &f) {
		// The body broke off: the target must not take it for whole. Closing also wakes the owner.
		u.fault.Store(f)
		_ = u.c.nc.Close()
	}
}

func (u *upload) copy(buf []byte) error {
	if u.c.a.X.InLen >= 0 {
		return u.copyPlain(buf)
	}
	for {
		n, err := u.c.a.X.In.Read(buf[chunkHead : len(buf)-chunkTail])
		out := buf[:0]
		if n > 0 {
			out = wire.AppendChunkHeader(out, n)
			out = append(out, buf[chunkHead:chunkHead+n]...) // moves down by a few bytes
			out = append(out, "\r\n"...)
		}
		if errors.Is(err, io.EOF) {
			out = append(out, "0\r\n"...)
			out = append(out, u.c.a.X.In.Trailer()...)
			out = append(out, "\r\n"...)
		}
		if len(out) > 0 {
			if werr := u.c.write(out); werr != nil {
				return werr
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// Room kept around a chunk's data for its size line, and for CRLF and the last chunk.
const (
	chunkHead = 10
	chunkTail = 8
)

// spliceMin is from where on moving bytes socket to socket is cheaper than copying them.
const spliceMin = 64 << 10

func (u *upload) copyPlain(buf []byte) error {
	for sent := int64(0); sent < u.c.a.X.InLen; {
		if u.c.a.X.InLen-sent >= spliceMin {
			n, err := u.splice(u.c.a.X.InLen - sent)
			sent += n
			if errors.Is(err, io.EOF) {
				return nil
			}
			if !errors.Is(err, edge.ErrNoSplice) {
				return err
			}
		}
		n, err := u.c.a.X.In.Read(buf)
		if n > 0 {
			if werr := u.c.write(buf[:n]); werr != nil {
				return werr
			}
			sent += int64(n)
		}
		if errors.Is(err, io.EOF) && sent < u.c.a.X.InLen {
			return edge.ClientGone // a filter shortened the body and not its length
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
	}
	return nil
}

// splice moves up to left bytes of the body without copying them; io.EOF means that all were.
func (u *upload) splice(left int64) (int64, error) {
	if !u.c.plain {
		return 0, edge.ErrNoSplice
	}
	p, err := splice.Acquire()
	if err != nil {
		return 0, edge.ErrNoSplice // out of descriptors: copying needs none
	}
	defer p.Release()
	for sent := int64(0); ; {
		n, err := u.c.a.X.In.Splice(p, left-sent)
		if werr := u.c.drainPipe(p); werr != nil {
			return sent, werr
		}
		sent += int64(n)
		if err != nil {
			return sent, err
		}
	}
}

// drainPipe sends what is in p to the target, which must take some of it within the response timeout.
func (c *conn) drainPipe(p *splice.Pipe) error {
	for p.Len() > 0 {
		if err := c.writeWithin(c.a.Settings.ResponseTimeout); err != nil {
			return err
		}
		if n, err := p.Drain(c.raw); err != nil && (n == 0 || !isTimeout(err)) {
			return err
		}
	}
	return nil
}

// write sends b to the target, which must take it within the response timeout.
func (c *conn) write(b []byte) error {
	_, err := c.writeSome(b)
	return err
}

// writeSome is write that returns how much was sent.
func (c *conn) writeSome(b []byte) (int, error) {
	if err := c.writeWithin(c.a.Settings.ResponseTimeout); err != nil {
		return 0, err
	}
	return c.nc.Write(b)
}
