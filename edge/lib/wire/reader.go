package wire

import (
	"errors"
	"io"
	"sync"
)

// ErrFull means that Fill found no room: as many bytes as the Reader may hold are unread.
var ErrFull = errors.New("read buffer is full")

// maxEmptyReads bounds the reads in a row that bring neither a byte nor an error.
const maxEmptyReads = 64

// Reader is a growing read buffer over a connection. The zero value is usable after Reset. It takes
// its buffer from a pool when the first byte is read and gives it back on Release, so an idle
// connection need not hold one. One goroutine at a time.
type Reader struct {
	src  io.Reader
	blk  *block // owner of buf; nil while no buffer is held
	buf  []byte // all of the block
	r, w int    // buf[r:w] is unread
	min  int    // bytes of the first buffer
	max  int    // most bytes that may be unread at a time
	err  error  // came with the last bytes of src; reported once they are read
}

// Reset makes r read from src, holding at first minSize and at most maxSize bytes. A buffer r already
// has is kept when it is no smaller and no larger than asked; unread bytes are dropped.
func (r *Reader) Reset(src io.Reader, minSize, maxSize int) {
	minSize = max(minSize, 1)
	r.src, r.min, r.max = src, minSize, max(maxSize, minSize)
	r.r, r.w, r.err = 0, 0, nil
	if len(r.buf) < minSize || len(r.buf) > sizeFor(r.max) {
		r.Release()
	}
}

// SetMax changes how many bytes r may hold. Bytes already held stay, even if they are more.
func (r *Reader) SetMax(maxSize int) { r.max = max(maxSize, 1) }

// Buffered returns the unread bytes. They are valid until the next Fill, Read, Discard or Release.
func (r *Reader) Buffered() []byte { return r.buf[r.r:r.w] }

// Discard skips n unread bytes; n must not be more than Buffered has.
func (r *Reader) Discard(n int) {
	if n < 0 || n > r.w-r.r {
		panic("BUG: Discard of bytes that are not buffered")
	}
	r.r += n
	if r.r == r.w {
		r.r, r.w = 0, 0
	}
}

// Fill appends what one Read of the source brings to the unread bytes and returns how many came. It is
// ErrFull when maxSize bytes are unread already, io.ErrNoProgress when the source keeps bringing
// nothing, else the error of the source. An error never comes together with bytes.
func (r *Reader) Fill() (int, error) {
	if err := r.takeErr(); err != nil {
		return 0, err
	}
	end, err := r.room()
	if err != nil {
		return 0, err
	}
	n, err := r.readSource(r.buf[r.w:end])
	r.w += n
	return n, err
}

// readSource reads the source into p, which has room, until it brings a byte or an error.
func (r *Reader) readSource(p []byte) (int, error) {
	for range maxEmptyReads {
		n, err := r.src.Read(p)
		if n < 0 || n > len(p) {
			panic("BUG: source of a Reader returned an impossible count")
		}
		if n > 0 {
			r.err = err
			return n, nil
		}
		if err != nil {
			return 0, err
		}
	}
	return 0, io.ErrNoProgress
}

// Read copies unread bytes into p; when there are none it reads the source straight into p. Errors are
// those of Fill, but for ErrFull.
func (r *Reader) Read(p []byte) (int, error) {
	if r.r < r.w {
		n := copy(p, r.buf[r.r:r.w])
		r.Discard(n)
		return n, nil
	}
	if len(p) == 0 {
		return 0, nil
	}
	if err := r.takeErr(); err != nil {
		return 0, err
	}
	return r.readSource(p)
}

// Release gives the buffer back to the pool; unread bytes are dropped. r stays usable.
// Not after Release: the slices of Buffered.
func (r *Reader) Release() {
	if r.blk != nil {
		releaseBlock(r.blk)
	}
	r.blk, r.buf, r.r, r.w = nil, nil, 0, 0
}

func (r *Reader) takeErr() error {
	err := r.err
	r.err = nil
	return err
}

// room makes place behind the unread bytes and returns where it ends.
func (r *Reader) room() (int, error) {
	unread := r.w - r.r
	if unread >= r.max {
		return 0, ErrFull
	}
	switch {
	case r.blk == nil:
		r.move(r.min)
	case unread == len(r.buf):
		r.move(len(r.buf) + 1)
	case r.w == len(r.buf):
		copy(r.buf, r.buf[r.r:r.w])
		r.r, r.w = 0, unread
	}
	return min(len(r.buf), r.r+r.max), nil
}

// move takes a block of at least size bytes, carries the unread bytes over and gives the old one back.
func (r *Reader) move(size int) {
	old := r.blk
	blk := acquireBlock(size)
	n := copy(blk.buf, r.buf[r.r:r.w])
	r.blk, r.buf, r.r, r.w = blk, blk.buf, 0, n
	if old != nil {
		releaseBlock(old)
	}
}

// block is a pooled buffer, of exactly one size of the ladder or larger than its top.
type block struct{ buf []byte }

const (
	smallestBlock = 4 << 10
	blockSizes    = 5 // 4, 16, 64, 256 KiB, 1 MiB
)

// blocks holds unused blocks by size.
var blocks [blockSizes]sync.Pool

// rung returns which pool holds blocks of at least size bytes and their size. Blocks larger than the
// largest pooled size have exactly the size asked for, and rung blockSizes.
func rung(size int) (int, int) {
	have := smallestBlock
	for i := range blockSizes {
		if size <= have {
			return i, have
		}
		have *= 4
	}
	return blockSizes, size
}

func sizeFor(size int) int {
	_, have := rung(size)
	return have
}

func acquireBlock(size int) *block {
	i, have := rung(size)
	if i < blockSizes {
		if blk, ok := blocks[i].Get().(*block); ok {
			return blk
		}
		return &block{buf: make([]byte, have)}
	}
	return &block{buf: make([]byte, have+have/2)}
}

func releaseBlock(blk *block) {
	if i, have := rung(len(blk.buf)); i < blockSizes && have == len(blk.buf) {
		blocks[i].Put(blk)
	}
}
