package client

import (
	"sync"
	"time"
)

// Closing is how a connection is closed. Of two ways the greater one wins.
type Closing uint8

// The ways.
const (
	// Orderly: all that the client has sent was read.
	Orderly Closing = iota
	// Linger: the client has sent, or may yet send, bytes that are not read. Closing the socket would reset it
	// then and destroy the answer on its way (RFC 9112 9.6), so they are read for a short while.
	Linger
	// Reset: the client must not take what it has received for the whole answer.
	Reset
)

// Close ends the connection. With Linger it waits for the client.
func (c *Conn) Close(how Closing) {
	switch how {
	case Reset:
		c.Socket.SetReset()
		_ = c.Socket.Close()
	case Linger:
		c.linger()
		_ = c.Socket.Close()
	default:
		_ = c.Net.Close()
	}
	if c.state.Swap(busy) == evicted {
		c.Listener.Group.Evicting.Add(-1)
	}
	c.Owner.Closed()
}

// linger sends FIN and reads what is still on its way, up to a bounded time and amount.
func (c *Conn) linger() {
	cw, ok := c.Net.(interface{ CloseWrite() error })
	if !ok || cw.CloseWrite() != nil {
		return
	}
	_ = c.Socket.SetReadDeadline(time.Now().Add(LingerTime)) // a closed socket ends the loop below
	buf := AcquireBuffer()
	defer ReleaseBuffer(buf)
	for left := lingerBytes; left > 0; {
		n, err := c.Socket.Read(buf[:])
		if err != nil {
			return
		}
		left -= n
	}
}

// LingerTime is how long a connection that lingers takes to close at most.
const LingerTime = 2 * time.Second

const lingerBytes = 4 << 20

// BufferSize is how much of a body is moved at a time.
const BufferSize = 32 << 10

// Buffer is room for bytes on their way.
type Buffer [BufferSize]byte

var buffers = sync.Pool{New: func() any { return new(Buffer) }}

// AcquireBuffer returns a buffer that is the caller's until ReleaseBuffer.
func AcquireBuffer() *Buffer { return buffers.Get().(*Buffer) }

// ReleaseBuffer gives b back; it must not be used afterwards.
func ReleaseBuffer(b *Buffer) { buffers.Put(b) }
