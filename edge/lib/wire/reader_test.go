package wire

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestReaderModel does random operations on a Reader and on a plain slice.
func TestReaderModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		data := make([]byte, 96<<10)
		for i := range data {
			data[i] = byte(i * 7 >> 3)
		}
		src := &portions{t: t, data: data}
		var r Reader
		limit := rapid.IntRange(1, 80<<10).Draw(t, "max")
		r.Reset(src, rapid.IntRange(1, limit).Draw(t, "min"), limit)
		read := 0 // bytes taken out of r
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			held := len(r.Buffered())
			switch rapid.IntRange(0, 3).Draw(t, "step") {
			case 0, 1:
				n, err := r.Fill()
				switch {
				case errors.Is(err, ErrFull) && held < limit, err == nil && (n == 0 || held >= limit):
					t.Fatalf("%d of %d held: Fill %d %v", held, limit, n, err)
				case len(r.Buffered()) != held+n:
					t.Fatalf("Fill %d: %d held, then %d", n, held, len(r.Buffered()))
				case len(r.Buffered()) > max(limit, held):
					t.Fatalf("%d held, limit %d", len(r.Buffered()), limit)
				}
			case 2:
				n := rapid.IntRange(0, held).Draw(t, "discard")
				r.Discard(n)
				read += n
			case 3:
				p := make([]byte, rapid.IntRange(0, 9000).Draw(t, "read"))
				n, _ := r.Read(p)
				if !bytes.Equal(p[:n], data[read:read+n]) {
					t.Fatal("Read brought other bytes")
				}
				read += n
			}
			if !bytes.Equal(r.Buffered(), data[read:src.at]) {
				t.Fatalf("buffer holds other bytes than [%d:%d]", read, src.at)
			}
		}
		r.Release()
	})
}

// portions is a source that brings data in drawn portions.
type portions struct {
	t    *rapid.T
	data []byte
	at   int
}

func (s *portions) Read(p []byte) (int, error) {
	if s.at == len(s.data) {
		return 0, io.EOF
	}
	n := rapid.IntRange(0, 9000).Draw(s.t, "portion")
	n = copy(p[:min(n, len(p))], s.data[s.at:])
	s.at += n
	return n, nil
}

func TestReaderErrors(t *testing.T) {
	var r Reader
	r.Reset(emptySource{}, 1, 1)
	if _, err := r.Fill(); !errors.Is(err, io.ErrNoProgress) {
		t.Fatal(err)
	}
	if _, err := r.Read(make([]byte, 1)); !errors.Is(err, io.ErrNoProgress) {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	f := func(step func() (int, error), wantN int, want error) {
		t.Helper()
		if n, err := step(); n != wantN || !errors.Is(err, want) {
			t.Fatalf("got %d %v, want %d %v", n, err, wantN, want)
		}
	}
	read := func() (int, error) { return r.Read(make([]byte, 4)) }
	r.Reset(&both{"abcdef", broken}, 4, 4)
	f(r.Fill, 4, nil)
	f(r.Fill, 0, ErrFull)
	f(read, 4, nil)
	f(r.Fill, 2, nil)
	f(r.Fill, 0, broken) // came with the last bytes, which are still there
	f(read, 2, nil)
	r.Reset(&both{"abcd", broken}, 4, 4)
	f(read, 4, nil)
	f(read, 0, broken)
	r.Reset(strings.NewReader("abcdef"), 4, 4)
	f(r.Fill, 4, nil)
	r.SetMax(6)
	f(r.Fill, 2, nil)
	r.SetMax(2)
	f(r.Fill, 0, ErrFull)
	if string(r.Buffered()) != "abcdef" {
		t.Fatalf("%q", r.Buffered())
	}
	r.Release()
	if len(r.Buffered()) != 0 {
		t.Fatal("bytes after Release")
	}
	f(r.Fill, 0, io.EOF)
}

type emptySource struct{}

func (emptySource) Read([]byte) (int, error) { return 0, nil }

// both is a source that brings its error together with its last bytes, once.
type both struct {
	data string
	err  error
}

func (s *both) Read(p []byte) (int, error) {
	if s.data == "" {
		return 0, io.EOF
	}
	n := copy(p, s.data)
	s.data = s.data[n:]
	if s.data == "" {
		return n, s.err
	}
	return n, nil
}

// TestReaderKeepsBuffer checks which buffers a Reset keeps.
func TestReaderKeepsBuffer(t *testing.T) {
	var r Reader
	f := func(minSize, maxSize int, kept bool) {
		t.Helper()
		r.Reset(strings.NewReader("x"), 5000, 70<<10)
		if _, err := r.Fill(); err != nil {
			t.Fatal(err)
		}
		r.Reset(strings.NewReader("y"), minSize, maxSize)
		if (r.blk != nil) != kept || len(r.Buffered()) != 0 {
			t.Fatalf("%d to %d: kept %v", minSize, maxSize, r.blk != nil)
		}
		if _, err := r.Fill(); err != nil || string(r.Buffered()) != "y" {
			t.Fatal(err)
		}
		r.Release()
	}
	f(16<<10, 16<<10, true)
	f(4<<10, 64<<10, true)
	f(17<<10, 64<<10, false)
	f(1<<10, 4<<10, false)
	f(2<<20, 3<<20, false)
}

func TestReaderGrowsPastPool(t *testing.T) {
	var r Reader
	data := strings.Repeat("0123456789", 300<<10)
	r.Reset(strings.NewReader(data), 1, 4<<20)
	for len(r.Buffered()) < len(data) {
		if _, err := r.Fill(); err != nil {
			t.Fatal(err)
		}
	}
	if string(r.Buffered()) != data {
		t.Fatal("other bytes")
	}
	r.Release()
}

func TestReaderMisuse(t *testing.T) {
	f := func(n int) {
		t.Helper()
		defer func() {
			if s, _ := recover().(string); !strings.HasPrefix(s, "BUG: ") {
				t.Fatalf("Discard(%d): %q", n, s)
			}
		}()
		var r Reader
		r.Reset(strings.NewReader("ab"), 1, 8)
		_, _ = r.Fill()
		r.Discard(n)
	}
	f(3)
	f(-1)
}
