package store

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

// read returns the meta and the body of an object.
func read(s *Store, k Key) (meta, body []byte, err error) {
	o, _, ok := s.Get(k, nil)
	if !ok {
		return nil, nil, ErrGone
	}
	if o.Whole() {
		return o.Meta, o.Body, nil
	}
	for at := int64(0); at < o.Len; {
		b, err := o.ChunkAt(at, nil)
		if err != nil {
			return nil, nil, err
		}
		body = append(body, b...)
		at += int64(len(b))
	}
	return o.Meta, body, nil
}

// pieces cuts a body as a network would.
func pieces(b []byte, size int) (list [][]byte) {
	for len(b) > 0 {
		n := min(size, len(b))
		list = append(list, b[:n])
		b = b[n:]
	}
	return list
}

// TestAgainstMap: what is found is what was stored last, whole, or nothing.
func TestAgainstMap(t *testing.T) {
	s := New(MinSize)
	rapid.Check(t, func(t *rapid.T) {
		s.Clear()
		twin := map[Key][]byte{}
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			k := Key{byte(rapid.IntRange(0, 5).Draw(t, "key"))}
			switch rapid.SampledFrom([]string{"put", "put", "get", "delete", "large"}).Draw(t, "step") {
			case "put":
				size := rapid.SampledFrom([]int{0, 1, 100, 4000, 4040, 4072, 5000, 70_000}).Draw(t, "size")
				body := make([]byte, size)
				for i := range body {
					body[i] = byte(rand.Uint32())
				}
				meta := []byte(fmt.Sprint("meta of ", size))
				if _, err := s.Put(k, meta, pieces(body, rapid.SampledFrom([]int{1000, 4096, 1 << 20}).Draw(t, "piece")), 100); err != nil {
					t.Fatal(err)
				}
				twin[k] = append(meta, body...)
			case "large":
				if _, err := s.Put(k, nil, [][]byte{make([]byte, MinSize/2)}, 100); !errors.Is(err, ErrLarge) {
					t.Fatal(err)
				}
			case "delete":
				s.Delete(k)
				delete(twin, k)
			case "get":
				meta, body, err := read(s, k)
				if err == nil && !bytes.Equal(append(bytes.Clone(meta), body...), twin[k]) || err == nil && twin[k] == nil {
					t.Fatalf("%d bytes, want %d", len(body), len(twin[k]))
				}
				// A store of this size forgets under pressure; with so few it does not.
				if err != nil && twin[k] != nil && len(twin) < 4 {
					t.Fatalf("%d bytes were forgotten", len(twin[k]))
				}
			}
		}
	})
}

// TestNothingTorn replaces objects while others read them, in a store too small for all: a body is whole or not
// there.
func TestNothingTorn(t *testing.T) {
	s := New(MinSize)
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(w), 1))
			for range 300 {
				k := Key{byte(r.IntN(40))}
				if r.IntN(2) == 0 {
					body := bytes.Repeat([]byte{byte(r.IntN(256))}, 1+r.IntN(200_000))
					if _, err := s.Put(k, []byte{body[0]}, pieces(body, 30_000), 100); err != nil {
						t.Error(err)
					}
					continue
				}
				meta, body, err := read(s, k)
				if err != nil {
					continue
				}
				if n := bytes.Count(body, meta); n != len(body) {
					t.Errorf("%d of %d bytes are those of the object", n, len(body))
				}
			}
		})
	}
	wg.Wait()
	if s.Evictions() == 0 {
		t.Error("the store was large enough for all")
	}
}

// TestAt: what has expired by the time that the store was told is not found.
func TestAt(t *testing.T) {
	s := New(MinSize)
	s.At(1000)
	k := Key{'k'}
	if _, err := s.Put(k, []byte("m"), [][]byte{make([]byte, 10_000)}, 10); err != nil {
		t.Fatal(err)
	}
	s.At(1009)
	if o, _, ok := s.Get(k, nil); !ok || !o.Complete() {
		t.Error("it has expired too early")
	}
	if s.At(1010); s.Has(k) {
		t.Error("it has not expired")
	}
}

// TestLarge: the parts of a large object do not drive each other out.
func TestLarge(t *testing.T) {
	for _, size := range []int64{16 << 20, 64 << 20, 256 << 20} {
		s := New(size)
		for i := range 8 {
			s.Clear()
			k := Key{byte(i)}
			if _, err := s.Put(k, nil, [][]byte{make([]byte, size/8)}, 100); err != nil {
				t.Fatal(err)
			}
			if o, _, ok := s.Get(k, nil); !ok || !o.Complete() {
				t.Errorf("%d bytes: an eighth of it is not whole", size)
			}
		}
	}
}

// TestOffsets reads a body in chunks from anywhere.
func TestOffsets(t *testing.T) {
	s := New(64 << 20)
	body := make([]byte, 300_000)
	for i := range body {
		body[i] = byte(i * 7)
	}
	k := Key{'k'}
	if _, err := s.Put(k, []byte("m"), [][]byte{body}, 100); err != nil {
		t.Fatal(err)
	}
	o, _, ok := s.Get(k, nil)
	if !ok || o.Whole() || !o.Complete() || o.Len != int64(len(body)) {
		t.Fatalf("%+v %v", o, ok)
	}
	for _, at := range []int64{0, 1, 4095, 65_000, 65_535, 65_536, 299_999} {
		b, err := o.ChunkAt(at, nil)
		if err != nil || len(b) == 0 || !bytes.Equal(b, body[at:at+int64(len(b))]) {
			t.Errorf("at %d: %d bytes, %v", at, len(b), err)
		}
	}
	g := o
	buf, ok := g.Gather([]byte("before"))
	if !ok || !g.Whole() || !bytes.Equal(g.Body, body) || string(buf[:6]) != "before" || len(buf) != 6+len(body) {
		t.Errorf("gathered are %d bytes, %v", len(g.Body), ok)
	}
	s.Clear()
	if g = o; true {
		if buf, ok = g.Gather(nil); ok || len(buf) > 0 || g.Whole() {
			t.Error("gathered, though all was forgotten")
		}
	}
	if o.Complete() {
		t.Error("complete, though all was forgotten")
	}
	if _, err := o.ChunkAt(0, nil); !errors.Is(err, ErrGone) {
		t.Error(err)
	}
}
