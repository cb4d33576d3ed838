package flight

import (
	"bytes"
	"errors"
	"github.com/penstock-edge/penstock/edge"
	"io"
	"sync"
	"testing"
)

// TestFlightOver: a body that is too large to be kept goes through as fast as its slowest reader reads.
func TestFlightOver(t *testing.T) {
	held := Budget{Most: 1000}
	f := New(1000, &held)
	const pieces, size = 50, 100
	f.Size = -1
	readers := make([]*Reader, 3)
	for i := range readers {
		readers[i] = f.Read()
	}
	var wg sync.WaitGroup
	for i, r := range readers {
		wg.Go(func() {
			if i == 2 { // one that leaves in the middle
				_, _ = io.CopyN(io.Discard, r, 700) // what it reads is the others' business
				_ = r.Close()                       // never fails
				return
			}
			b, err := io.ReadAll(r)
			if err != nil || len(b) != pieces*size {
				t.Errorf("%d bytes, %v", len(b), err)
			}
			for j := range b {
				if b[j] != byte(j/size) {
					t.Errorf("byte %d is %d", j, b[j])
					break
				}
			}
			_ = r.Close() // never fails
		})
	}
	for i := range pieces {
		if !f.Add(bytes.Repeat([]byte{byte(i)}, size)) {
			t.Error("nobody reads any more")
		}
		if f.length > 1000+size {
			t.Errorf("%d bytes are kept", f.length)
		}
	}
	f.End(nil, nil)
	wg.Wait()
	if n := held.Fetching.Load() + held.Finished.Load(); n != 0 {
		t.Errorf("%d bytes are kept for nobody", n)
	}
	if f.Read() != nil {
		t.Error("somebody may read from the beginning, which is gone")
	}
	if f.length = 1001; f.Add([]byte("x")) {
		t.Error("more is kept for nobody")
	}
	g := New(1000, &held)
	r := g.Read()
	g.Add([]byte("half"))
	g.End(edge.UpstreamTruncated, nil)
	if b, err := io.ReadAll(r); string(b) != "half" || !errors.Is(err, errCut) {
		t.Errorf("%q %v", b, err)
	}
}

// TestPieceOfFlight: nor may it wait for a fetch.
func TestPieceOfFlight(t *testing.T) {
	f := New(1000, &Budget{Most: 1 << 20})
	b := f.Read()
	want := func(piece string, err error) {
		t.Helper()
		if got, e := b.Piece(false); string(got) != piece || !errors.Is(e, err) {
			t.Errorf("%q %v, want %q %v", got, e, piece, err)
		}
	}
	want("", edge.ErrWait)
	f.Add([]byte("one"))
	want("one", nil)
	want("", edge.ErrWait)
	f.Add([]byte("two"))
	f.End(nil, nil)
	want("two", nil)
	want("", io.EOF)
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}
