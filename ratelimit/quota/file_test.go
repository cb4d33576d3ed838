package quota

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/zeebo/xxh3"

	"github.com/penstock-edge/penstock/ratelimit/bucket"
)

func encoded(t testing.TB, list []record) []byte {
	t.Helper()
	var b bytes.Buffer
	err := encode(&b, func(each func(record) bool) {
		for _, r := range list {
			if !each(r) {
				return
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func decoded(b []byte) (list []record, err error) {
	err = decode(bytes.NewReader(b), int64(len(b)), func(r record) { list = append(list, r) })
	return list, err
}

// sample is a file with two keys.
func sample(t testing.TB) []byte {
	t.Helper()
	start := moment(t, "2026-02-01 00:00")
	w := span{start, start + 28*24*int64(time.Hour)}
	return encoded(t, []record{{w, key(0), 10}, {w, key(1), 1 << 40}})
}

// sealed is content with the checksum that it needs.
func sealed(content []byte) []byte {
	return binary.LittleEndian.AppendUint64(bytes.Clone(content), xxh3.Hash(content))
}

// The format is one that files on disk have: it may not change without another version.
func TestFormat(t *testing.T) {
	got := encoded(t, []record{{span{1, 2}, bucket.Key{3, 4}, 5}})
	want := []byte("penstock quota 1" +
		"\x03\x00\x00\x00\x00\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00" +
		"\x01\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x05\x00\x00\x00\x00\x00\x00\x00")
	if !bytes.Equal(got, sealed(want)) {
		t.Errorf("%q", got)
	}
}

func TestDecode(t *testing.T) {
	f := func(r record, ok bool) {
		t.Helper()
		b := encoded(t, []record{{span{1, 2}, key(1), 1}, r})
		list, err := decoded(b)
		if ok && (err != nil || len(list) != 2 || list[1] != r) || !ok && (!errors.Is(err, errFile) || list != nil) {
			t.Errorf("%+v is read as %+v, %v", r, list, err)
		}
	}
	f(record{span{1, 2}, key(2), 1}, true)
	f(record{span{1, 2}, key(2), math.MaxInt64}, true)
	f(record{span{0, longest}, key(2), 1}, true)
	f(record{span{-1, 1}, key(2), 1}, true)
	f(record{span{0, longest + 1}, key(2), 1}, false)
	f(record{span{2, 2}, key(2), 1}, false)
	f(record{span{3, 2}, key(2), 1}, false)
	f(record{span{1, 2}, key(2), 0}, false)
	f(record{span{1, 2}, key(2), -1}, false)
	f(record{span{math.MaxInt64 - 1, math.MinInt64 + 1}, key(2), 1}, false)
	f(record{span{math.MinInt64, math.MaxInt64}, key(2), 1}, false)
	f(record{span{math.MinInt64, math.MinInt64 + 1}, key(2), 1}, false)
	b := sample(t)
	for i := range b {
		if list, err := decoded(b[:i]); !errors.Is(err, errFile) || list != nil {
			t.Errorf("the first %d bytes are read as %+v, %v", i, list, err)
		}
	}
	if list, err := decoded(encoded(t, nil)); err != nil || list != nil {
		t.Errorf("nothing is read as %+v, %v", list, err)
	}
}

// A file that is taken in is what would be written of what was read; and nothing in it harms a table.
func FuzzDecode(f *testing.F) {
	b := sample(f)
	f.Add(b)
	f.Add(b[:len(b)-sumSize])
	f.Add([]byte(fileMagic))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, b := range [][]byte{b, sealed(b)} {
			list, err := decoded(b)
			if err != nil && (!errors.Is(err, errFile) || list != nil) {
				t.Errorf("%d records, %v", len(list), err)
			}
			if err != nil {
				continue
			}
			if again := encoded(t, list); !bytes.Equal(again, b) {
				t.Errorf("%q is written as %q", b, again)
			}
			s := memory(t, 10)
			for _, r := range list {
				s.absorb(r, 0)
				s.TryCharge(r.key, r.start, 1, monthly)
				s.TryCharge(r.key, 0, 1, monthly)
			}
			s.Len()
		}
	})
}
