// Package chunks reads stored bodies that are not in one piece: from memory and, where parts of them have
// gone meanwhile, from disk or from the target.
package chunks

import (
	"bytes"
	"io"
	"strconv"

	"github.com/penstock-edge/penstock/cache/disk"
	"github.com/penstock-edge/penstock/cache/entry"
	"github.com/penstock-edge/penstock/cache/fresh"
	"github.com/penstock-edge/penstock/cache/key"
	"github.com/penstock-edge/penstock/cache/store"
	"github.com/penstock-edge/penstock/edge"
)

// leastPiece is how much is written at once, unless less is left.
const leastPiece = 48 << 10

// Source is where a stored body comes from.
type Source struct {
	Tier   *disk.Tier // nil: none
	Rules  *key.Rules
	X      *edge.Exchange // of the client who reads
	Object *store.Object
	Entry  *entry.Entry
	// InParts reports whether the target can be asked for a part of it: parts are of what GET brings.
	InParts bool
}

// tailPiece is how much is read at once of what the target brings.
const tailPiece = 32 << 10

// Reader reads a part of a body that is not in one piece.
type Reader struct {
	edge.Opaque
	Source
	at, to int64  // what is still to be read from the store
	buf    []byte // a chunk, of which rest is still to be given out
	rest   []byte
	tail   *edge.Exchange // brings what is no longer in the store; nil: all is
}

// New returns a reader of what is in a body from one byte up to another.
func New(s Source, from, to int64) *Reader { return &Reader{Source: s, at: from, to: to} }

// Reset makes b a reader as New does. It keeps its memory.
func (b *Reader) Reset(s Source, from, to int64) {
	*b = Reader{Source: s, at: from, to: to, buf: b.buf[:0]}
}

// Clear makes b a reader of nothing. It keeps its memory.
func (b *Reader) Clear() { *b = Reader{buf: b.buf[:0]} }

// Skip leaves out up to n bytes, of which none was read, and returns how many these are.
func (b *Reader) Skip(n int64) int64 {
	n = min(n, b.to-b.at)
	b.at += n
	return n
}

// Read implements edge.Body.
func (b *Reader) Read(p []byte) (int, error) {
	if len(b.rest) == 0 {
		if err := b.next(true); err != nil {
			return 0, err
		}
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

// Piece implements edge.Body.
func (b *Reader) Piece(wait bool) ([]byte, error) {
	if len(b.rest) == 0 {
		if err := b.next(wait); err != nil {
			return nil, err
		}
	}
	piece := b.rest
	b.rest = nil
	return piece, nil
}

// next fills rest. The head with the length is on its way: when a chunk is gone, the rest has to come from
// somewhere else, for which it may have to wait, or the connection is cut.
func (b *Reader) next(wait bool) error {
	if b.at == b.to {
		return io.EOF
	}
	if b.tail != nil {
		if !wait {
			return edge.ErrWait
		}
		return b.fromTail()
	}
	if cap(b.buf) == 0 {
		b.buf = make([]byte, 0, leastPiece+store.MostChunk)
	}
	buf, err := b.buf[:0], error(nil)
	for at := b.at; at < b.to && len(buf) < leastPiece && err == nil; at = b.at + int64(len(buf)) {
		buf, err = b.Object.ChunkAt(at, buf)
	}
	if len(buf) == 0 {
		if !wait {
			return edge.ErrWait
		}
		if b.fromDisk() {
			return nil
		}
		if b.tail = b.fetchTail(); b.tail != nil {
			return b.fromTail()
		}
		return err
	}
	b.buf = buf
	b.give(buf)
	return nil
}

// give makes the beginning of buf what is given out next.
func (b *Reader) give(buf []byte) {
	b.rest = buf[:min(int64(len(buf)), b.to-b.at)]
	b.at += int64(len(b.rest))
}

// fromDisk takes all that is missing from what is on disk, if that is the same.
func (b *Reader) fromDisk() bool {
	if b.Tier == nil {
		return false
	}
	o := b.Tier.Get(b.Entry.Key)
	if o == nil || !bytes.Equal(o.Meta, b.Object.Meta) {
		return false
	}
	b.give(o.Body[b.at:])
	return true
}

// fetchTail asks the target for what is missing, under the condition that it is still the same answer (RFC
// 9110 section 13.1.5). nil: it does not have that.
func (b *Reader) fetchTail() *edge.Exchange {
	e := b.Entry
	if !b.InParts || !e.Strong() {
		return nil // only a strong tag stands for the same bytes
	}
	y := b.Rules.Copy(b.X)
	span := append(strconv.AppendInt([]byte("bytes="), b.at, 10), '-')
	y.Req.SetBytes("Range", strconv.AppendInt(span, b.to-1, 10))
	y.Req.SetBytes("If-Range", e.ETag)
	if f := edge.Fetch(y); f != nil {
		y.Finish(f)
		return nil
	}
	if y.Status() != 206 || y.OutLen != b.to-b.at || y.Out == nil || !b.fits(y) {
		y.Finish(edge.ClientGone) // it is not read
		return nil
	}
	return y
}

// fits reports whether an answer is the part that was asked for.
func (b *Reader) fits(y *edge.Exchange) bool {
	d := entry.Describe(y)
	want := entry.AppendContentRange(nil, fresh.Span{From: b.at, To: b.to}, b.Object.Len)
	part, _ := entry.CutField(nil, d.Lines, "content-range")
	_, got, _ := bytes.Cut(part, []byte{':'})
	return bytes.Equal(d.ETag, b.Entry.ETag) && bytes.Equal(bytes.TrimSpace(got), want)
}

func (b *Reader) fromTail() error {
	if cap(b.buf) < tailPiece {
		b.buf = make([]byte, tailPiece)
	}
	n, err := b.tail.Out.Read(b.buf[:tailPiece])
	if n > 0 {
		b.give(b.buf[:n])
		return nil
	}
	return err
}

// Close implements edge.Body.
func (b *Reader) Close() error {
	if b.tail != nil {
		var f *edge.Fault
		if b.at < b.to {
			f = edge.ClientGone // the target's answer was not read to its end
		}
		b.tail.Finish(f)
		b.tail = nil
	}
	return nil
}
