package disk

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/zeebo/xxh3"
)

// file is what a segment needs of its file.
type file interface { //nolint:interfacebloat // an *os.File is one
	io.ReaderAt
	io.WriterAt
	io.Closer
	Sync() error
}

// segment is one file of records, written from its beginning to its end and never changed.
type segment struct {
	number uint32
	path   string
	f      file
	size   int64 // of the records in it
	synced bool  // all of it is known to be on disk
}

const segmentEnd = ".segment"

func segmentPath(dir string, number uint32) string {
	return filepath.Join(dir, fmt.Sprintf("%08x%s", number, segmentEnd))
}

// segmentNumber reads the name of a file; 0: it is not that of a segment.
func segmentNumber(name string) uint32 {
	var n uint32
	hex, ok := strings.CutSuffix(name, segmentEnd)
	if _, err := fmt.Sscanf(hex, "%08x", &n); !ok || err != nil || len(hex) != 8 {
		return 0
	}
	return n
}

// append writes a record behind the last one, through w. Where that fails, the next record takes its place.
func (s *segment) append(w *bufio.Writer, r *record, body [][]byte) error {
	offset := uint32(s.size)
	if r.kind == kindPut {
		sum := xxh3.New()
		n := 0
		for _, b := range body {
			_, _ = sum.Write(b) // a hash takes everything
			n += len(b)
		}
		r.sum = sum.Sum64()
		r.body = place{s.number, offset + headSize + uint32(len(r.meta)), uint32(n)}
	}
	w.Reset(io.NewOffsetWriter(s.f, s.size))
	_, err := w.Write(r.appendHead(nil, s.number, offset))
	for _, b := range body {
		if err == nil {
			_, err = w.Write(b)
		}
	}
	if err == nil {
		err = w.Flush()
	}
	if err == nil {
		s.size += r.size()
	}
	return err
}

const writeSize = 64 << 10

// read reads the record at an offset, of which all that is in the segment takes size bytes.
func (s *segment) read(offset, size uint32) (r record, inline []byte, err error) {
	b := make([]byte, size)
	if _, err := s.f.ReadAt(b, int64(offset)); err != nil {
		return r, nil, err
	}
	need, err := r.parse(b, s.number, offset)
	if err == nil && need > 0 {
		err = errRecord
	}
	if err != nil {
		return r, nil, err
	}
	return r, b[headSize+len(r.meta):], nil
}

// readHead is read without the body that follows.
func (s *segment) readHead(offset, size uint32) (r record, err error) {
	b := make([]byte, min(size, pageSize))
	for {
		if _, err := s.f.ReadAt(b, int64(offset)); err != nil {
			return r, err
		}
		need, err := r.parse(b, s.number, offset)
		if err != nil || need == 0 {
			return r, err
		}
		if need > int(size) {
			return r, errRecord
		}
		b = make([]byte, need)
	}
}

// scan calls each for the records in the first bytes of the segment in their order, up to the first one that
// is not whole, and returns where that would be. Bodies are not read, and metas are gone after each.
func (s *segment) scan(length int64, each func(r *record, offset uint32)) (offset int64, err error) {
	buf := make([]byte, scanSize)
	var window []byte // what has been read from at on
	at := int64(0)
	for offset+headSize <= length {
		var r record
		need := headSize
		for {
			if from := offset - at; from+int64(need) <= int64(len(window)) && from >= 0 {
				if need, err = r.parse(window[from:], s.number, uint32(offset)); err != nil {
					return offset, nil //nolint:nilerr // what follows was never finished, or is not ours
				}
				if need == 0 {
					break
				}
			}
			if need > len(buf) {
				buf = make([]byte, need)
			}
			n, err := s.f.ReadAt(buf, offset)
			if err != nil && !errors.Is(err, io.EOF) {
				return offset, err
			}
			if window, at = buf[:n], offset; n < need {
				return offset, nil
			}
		}
		if offset+r.size() > length {
			return offset, nil
		}
		each(&r, uint32(offset))
		offset += r.size()
	}
	return offset, nil
}

const (
	scanSize = 64 << 10
	pageSize = 4 << 10
)

// remove removes the file. Who is reading it gets an error.
func (s *segment) remove() error {
	return errors.Join(os.Remove(s.path), s.f.Close())
}
