package quota

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/zeebo/xxh3"

	"github.com/penstock-edge/penstock/ratelimit/bucket"
)

// The file is a line of text, the records, and a checksum (XXH3, 64 bits) of all before it. Numbers are
// little-endian.
const (
	fileMagic   = "penstock quota "
	fileVersion = "1"
	headSize    = len(fileMagic) + len(fileVersion)
	recordSize  = 40
	sumSize     = 8
)

// longest is more than any window lasts: a month of 31 days in a zone that moved by a day.
const longest = int64(33 * 24 * time.Hour)

// record is what the file keeps of a key.
type record struct {
	span
	key  bucket.Key
	used int64
}

// errFile is what all errors of decode are that are due to the content.
var errFile = errors.New("not a whole quota file")

// encode writes a file with the records that all calls its argument with.
func encode(w io.Writer, all func(func(record) bool)) error {
	sum := xxh3.New()
	b := bufio.NewWriterSize(io.MultiWriter(w, sum), 64<<10)
	_, err := b.WriteString(fileMagic + fileVersion)
	raw := make([]byte, 0, recordSize)
	all(func(r record) bool {
		raw = raw[:0]
		for _, n := range [...]uint64{r.key[0], r.key[1], uint64(r.start), uint64(r.end), uint64(r.used)} {
			raw = binary.LittleEndian.AppendUint64(raw, n)
		}
		if err == nil {
			_, err = b.Write(raw)
		}
		return err == nil
	})
	if err == nil {
		err = b.Flush()
	}
	if err == nil {
		_, err = w.Write(binary.LittleEndian.AppendUint64(nil, sum.Sum64()))
	}
	return err
}

// decode calls each with the records of a file of size bytes, when all of it was found right. It takes no
// memory for what is no file of ours, however large. Errors are errFile, or those of reading.
func decode(f io.ReaderAt, size int64, each func(record)) error {
	head := make([]byte, headSize)
	if _, err := f.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	body := size - int64(headSize) - sumSize
	switch {
	case string(head[:len(fileMagic)]) != fileMagic:
		return fmt.Errorf("%w: it begins otherwise", errFile)
	case string(head[len(fileMagic):]) != fileVersion:
		return fmt.Errorf("%w: its version is %q, known is %s", errFile, head[len(fileMagic):], fileVersion)
	case body < 0 || body%recordSize != 0:
		return fmt.Errorf("%w: it ends in the middle of a record", errFile)
	}
	sum := xxh3.New()
	if _, err := io.Copy(sum, io.NewSectionReader(f, 0, size-sumSize)); err != nil {
		return err
	}
	var want [sumSize]byte
	if n, err := f.ReadAt(want[:], size-sumSize); n < sumSize && !errors.Is(err, io.EOF) {
		return err
	}
	if binary.LittleEndian.Uint64(want[:]) != sum.Sum64() {
		return fmt.Errorf("%w: its checksum is wrong", errFile)
	}
	// Once to see that all of it makes sense, once to take it.
	for _, take := range []func(record){func(record) {}, each} {
		if err := readRecords(io.NewSectionReader(f, int64(headSize), body), body/recordSize, take); err != nil {
			return err
		}
	}
	return nil
}

func readRecords(f io.Reader, n int64, each func(record)) error {
	b := bufio.NewReaderSize(f, 64<<10)
	var raw [recordSize]byte
	for range n {
		if _, err := io.ReadFull(b, raw[:]); err != nil {
			return err
		}
		number := func(i int) uint64 { return binary.LittleEndian.Uint64(raw[8*i:]) }
		w := span{int64(number(2)), int64(number(3))}
		r := record{w, bucket.Key{number(0), number(1)}, int64(number(4))}
		if w.start < -longest || w.end <= w.start || w.end-w.start > longest || r.used <= 0 {
			return fmt.Errorf("%w: a record makes no sense", errFile)
		}
		each(r)
	}
	return nil
}
