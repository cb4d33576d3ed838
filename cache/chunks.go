package cache

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

// source is where a stored body comes from.
type source struct {
	tier   *disk.Tier // nil: none
	rules  *key.Rules
	x      *edge.Exchange // of the client who reads
	object *store.Object
	entry  *entry.Entry
	// inParts reports whether the target can be asked for a part of it: parts are of what GET brings.
	inParts bool
}

// chunks reads a part of a body that is not in one piece.
type chunks struct {
	edge.Opaque
	source
	at, to int64  // what is still to be read from the store
	buf    []byte // a chunk, of which rest is still to be given out
	rest   []byte
	tail   *edge.Exchange // brings what is no longer in the store; nil: all is
}

// Read implements edge.Body.
func (b *chunks) Read(p []byte) (int, error) {
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
func (b *chunks) Piece(wait bool) ([]byte, error) {
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
func (b *chunks) next(wait bool) error {
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
		buf, err = b.object.ChunkAt(at, buf)
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
	b.take(buf)
	return nil
}

// take makes the beginning of buf what is given out next.
func (b *chunks) take(buf []byte) {
	b.rest = buf[:min(int64(len(buf)), b.to-b.at)]
	b.at += int64(len(b.rest))
}

// fromDisk takes all that is missing from what is on disk, if that is the same.
func (b *chunks) fromDisk() bool {
	if b.tier == nil {
		return false
	}
	o := b.tier.Get(b.entry.Key)
	if o == nil || !bytes.Equal(o.Meta, b.object.Meta) {
		return false
	}
	b.take(o.Body[b.at:])
	return true
}

// fetchTail asks the target for what is missing, under the condition that it is still the same answer (RFC
// 9110 section 13.1.5). nil: it does not have that.
func (b *chunks) fetchTail() *edge.Exchange {
	e := b.entry
	if !b.inParts || !e.Strong() {
		return nil // only a strong tag says that each byte is the same
	}
	y := b.rules.Copy(b.x)
	span := append(strconv.AppendInt([]byte("bytes="), b.at, 10), '-')
	y.Req.SetBytes("Range", strconv.AppendInt(span, b.to-1, 10))
	y.Req.SetBytes("If-Range", e.Etag)
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

// fits tells that an answer is the part that was asked for.
func (b *chunks) fits(y *edge.Exchange) bool {
	d := entry.Describe(y)
	want := appendContentRange(nil, fresh.Span{From: b.at, To: b.to}, b.object.Len)
	part, _ := entry.CutField(nil, d.Lines, "content-range")
	_, got, _ := bytes.Cut(part, []byte{':'})
	return bytes.Equal(d.Etag, b.entry.Etag) && bytes.Equal(bytes.TrimSpace(got), want)
}

func (b *chunks) fromTail() error {
	if cap(b.buf) < pieceSize {
		b.buf = make([]byte, pieceSize)
	}
	n, err := b.tail.Out.Read(b.buf[:pieceSize])
	if n > 0 {
		b.take(b.buf[:n])
		return nil
	}
	return err
}

// Close implements edge.Body.
func (b *chunks) Close() error {
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
