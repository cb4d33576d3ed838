package disk

import (
	"encoding/binary"
	"errors"

	"github.com/zeebo/xxh3"
)

// A segment is a row of records. Each is a head, a meta, and a body, unless its body is the one of an
// earlier record. Numbers are little-endian.
//
//	 0  magic
//	 4  kind
//	 8  key
//	24  until when it is worth keeping, seconds since 1970
//	28  length of the meta
//	32  segment, offset and length of the body
//	44  checksum of the body
//	52  checksum of what is above, of the meta, and of the place where the record stands
const headSize = 60

const magic = 0x6b1d5e05

// Kinds of records.
const (
	kindPut    = 1 // the body follows
	kindRenew  = 2 // another meta for the body of a record before it
	kindDelete = 3 // what is under the key is no more
)

// key is what an object is found by: a hash of its name.
type key [16]byte

// record is one in a segment.
type record struct {
	kind  byte
	key   key
	until uint32
	meta  []byte
	body  place
	sum   uint64 // of the body
}

// place is where a body is.
type place struct{ segment, offset, length uint32 }

var errRecord = errors.New("not a whole record")

// size returns how many bytes of its segment the record takes.
func (r *record) size() int64 {
	n := int64(headSize) + int64(len(r.meta))
	if r.kind == kindPut {
		n += int64(r.body.length)
	}
	return n
}

// appendHead appends head and meta of a record that stands at an offset of a segment.
func (r *record) appendHead(dst []byte, segment, offset uint32) []byte {
	from := len(dst)
	le := binary.LittleEndian
	dst = le.AppendUint32(dst, magic)
	dst = append(dst, r.kind, 0, 0, 0)
	dst = append(dst, r.key[:]...)
	for _, n := range [...]uint32{r.until, uint32(len(r.meta)), r.body.segment, r.body.offset, r.body.length} {
		dst = le.AppendUint32(dst, n)
	}
	dst = le.AppendUint64(dst, r.sum)
	dst = le.AppendUint64(dst, headSum(dst[from:], r.meta, segment, offset))
	return append(dst, r.meta...)
}

// headSum is the checksum of a head and a meta. What stands somewhere else, such as in a file that had
// this one's blocks before, does not have it.
func headSum(head, meta []byte, segment, offset uint32) uint64 {
	var where [8]byte
	binary.LittleEndian.PutUint32(where[:], segment)
	binary.LittleEndian.PutUint32(where[4:], offset)
	h := xxh3.New()
	_, _ = h.Write(where[:]) // a hash takes everything
	_, _ = h.Write(head)
	_, _ = h.Write(meta)
	return h.Sum64()
}

// parse reads a record that stands at an offset of a segment from b, which begins with it and has at
// least its head. need is how many bytes head and meta take, when those of b are too few.
func (r *record) parse(b []byte, segment, offset uint32) (need int, err error) {
	le := binary.LittleEndian
	if len(b) < headSize {
		return headSize, nil
	}
	if le.Uint32(b) != magic {
		return 0, errRecord
	}
	r.kind, r.key = b[4], key(b[8:24])
	r.until = le.Uint32(b[24:])
	meta := int64(le.Uint32(b[28:]))
	r.body = place{le.Uint32(b[32:]), le.Uint32(b[36:]), le.Uint32(b[40:])}
	r.sum = le.Uint64(b[44:])
	if meta > mostMeta {
		return 0, errRecord
	}
	if int64(len(b)) < headSize+meta {
		return headSize + int(meta), nil
	}
	r.meta = b[headSize : headSize+meta : headSize+meta]
	if le.Uint64(b[52:]) != headSum(b[:52], r.meta, segment, offset) {
		return 0, errRecord
	}
	return 0, nil
}

// mostMeta is the largest meta in bytes.
const mostMeta = 1 << 20
