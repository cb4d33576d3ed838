// Package splice moves bytes from socket to socket through a kernel pipe (splice(2)), without copying them to
// user memory. Unlike io.Copy it keeps both halves apart: each side waits under its own deadline, and bytes
// that are in the pipe when a deadline passes stay there.
package splice

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// Pipe is a kernel pipe between two sockets. One goroutine at a time.
type Pipe struct {
	r, w int // descriptors
	n    int // bytes inside

	cleanup runtime.Cleanup

	// What the two closures below work on: bound once, so that moving bytes allocates nothing.
	want  int
	moved int
	err   error
	fill  func(fd uintptr) bool
	drain func(fd uintptr) bool
}

// pipeSize is what a pipe is asked to hold, in bytes; the system may give less.
const pipeSize = 256 << 10

var pipes sync.Pool

var (
	made atomic.Int64 // pipes that there are
	most atomic.Int64 // that there may be; 0: no bound
)

// Bound sets how many pipes there may be at a time, each with two descriptors; 0: as many as are wanted.
func Bound(n int64) { most.Store(n) }

var errMost = errors.New("there are as many pipes to splice through as there may be")

// Acquire returns an empty pipe. The error means that the process has no descriptor left for one.
func Acquire() (*Pipe, error) {
	if p, ok := pipes.Get().(*Pipe); ok {
		return p, nil
	}
	if n := most.Load(); made.Add(1) > n && n > 0 {
		made.Add(-1)
		return nil, errMost
	}
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		made.Add(-1)
		return nil, fmt.Errorf("cannot make a pipe to splice through: %w", err)
	}
	// Fails beyond the user's limit of pipe memory: the pipe then has its default size.
	_, _ = unix.FcntlInt(uintptr(fds[0]), unix.F_SETPIPE_SZ, pipeSize)
	p := &Pipe{r: fds[0], w: fds[1]}
	p.fill, p.drain = p.fillFrom, p.drainTo
	p.closeWhenUnreachable()
	return p, nil
}

// Release gives the pipe back; one that still holds bytes is closed. Not after Release.
func (p *Pipe) Release() {
	if p.n == 0 {
		pipes.Put(p)
		return
	}
	p.close()
}

// Len returns how many bytes are in the pipe.
func (p *Pipe) Len() int { return p.n }

// Fill moves up to limit bytes of src into the pipe, waiting under src's read deadline until there is at
// least one. It returns io.EOF when src has ended. The pipe must be empty.
func (p *Pipe) Fill(src syscall.RawConn, limit int64) (int, error) {
	p.want, p.moved, p.err = int(min(limit, pipeSize)), 0, nil
	if err := src.Read(p.fill); err != nil {
		return p.moved, err // the deadline, or a closed socket
	}
	p.n += p.moved
	if p.err == nil && p.moved == 0 {
		return 0, io.EOF
	}
	return p.moved, p.err
}

// Drain moves what is in the pipe into dst, waiting under dst's write deadline. What a deadline or an error
// leaves behind stays in the pipe.
func (p *Pipe) Drain(dst syscall.RawConn) (int, error) {
	p.moved, p.err = 0, nil
	before := p.n
	err := dst.Write(p.drain)
	if err == nil {
		err = p.err
	}
	return before - p.n, err
}

const flags = unix.SPLICE_F_MOVE | unix.SPLICE_F_NONBLOCK

// fillFrom is one try of Fill; false waits until fd is readable.
func (p *Pipe) fillFrom(fd uintptr) bool {
	for {
		n, err := unix.Splice(int(fd), nil, p.w, nil, p.want, flags)
		switch err {
		case nil:
			p.moved = int(n)
		case unix.EINTR:
			continue
		case unix.EAGAIN: // the pipe is empty, so the socket is
			return false
		default:
			p.err = fmt.Errorf("cannot splice from a socket: %w", err)
		}
		return true
	}
}

// drainTo is one try of Drain; false waits until fd is writable.
func (p *Pipe) drainTo(fd uintptr) bool {
	for p.n > 0 {
		n, err := unix.Splice(p.r, nil, int(fd), nil, p.n, flags)
		switch err {
		case nil:
			p.n -= int(n)
		case unix.EINTR:
		case unix.EAGAIN:
			return false
		default:
			p.err = fmt.Errorf("cannot splice to a socket: %w", err)
			return true
		}
	}
	return true
}
