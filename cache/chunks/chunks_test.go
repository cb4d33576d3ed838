package chunks

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"testing"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/penstock-edge/penstock/cache/cachetest"
	"github.com/penstock-edge/penstock/cache/disk"
	"github.com/penstock-edge/penstock/cache/entry"
	"github.com/penstock-edge/penstock/cache/key"
	"github.com/penstock-edge/penstock/cache/store"
	"github.com/penstock-edge/penstock/edge"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// shelf is a body that is stored in chunks, and a target that has it too.
type shelf struct {
	store  *store.Store
	object store.Object
	entry  *entry.Entry
	body   []byte

	says     func(x *edge.Exchange, from, to int) *edge.Fault // what the target answers
	asked    []string                                         // ranges
	released []*edge.Fault
}

func newShelf(t testing.TB, tag string) *shelf {
	t.Helper()
	s := &shelf{store: store.New(store.MinSize), body: make([]byte, 200_000)}
	for i := range s.body {
		s.body[i] = byte(i % 251)
	}
	s.entry = &entry.Entry{Key: []byte("key"), Status: 200, Lifetime: 1 << 40, ETag: []byte(tag)}
	if _, err := s.store.Put(store.Key{1}, s.entry.Append(nil), [][]byte{s.body}, 1000); err != nil {
		t.Fatal(err)
	}
	var ok bool
	if s.object, _, ok = s.store.Get(store.Key{1}, nil); !ok || s.object.Whole() {
		t.Fatal("the body is not in chunks")
	}
	s.says = s.part
	return s
}

// part is how a target answers that has the same.
func (s *shelf) part(x *edge.Exchange, from, to int) *edge.Fault {
	lines := fmt.Sprintf("ETag: %s\r\nContent-Range: bytes %d-%d/%d\r\n", s.entry.ETag, from, to-1, len(s.body))
	x.SetHead(206, nil, []byte(lines))
	x.Out, x.OutLen = edge.ReaderBody{R: bytes.NewReader(s.body[from:to])}, int64(to-from)
	return nil
}

func (s *shelf) Pick(*edge.Exchange) (edge.Peer, *edge.Fault) { return s, nil }
func (s *shelf) Release(_ *edge.Exchange, f *edge.Fault)      { s.released = append(s.released, f) }

func (s *shelf) RoundTrip(x *edge.Exchange) *edge.Fault {
	span := string(x.Req.Get("Range"))
	s.asked = append(s.asked, span)
	var from, to int
	_, err := fmt.Sscanf(span, "bytes=%d-%d", &from, &to)
	if err != nil || !bytes.Equal(x.Req.Get("If-Range"), s.entry.ETag) || string(x.Method) != "GET" {
		return edge.UpstreamProtocol
	}
	return s.says(x, from, to+1)
}

func (s *shelf) source() Source {
	x := cachetest.Request("/a", "Range: bytes=0-0", "If-None-Match: x", "X-Some: thing")
	x.Plan = &edge.Plan{Upstream: s}
	return Source{Rules: key.New(nil), X: x, Object: &s.object, Entry: s.entry, InParts: true}
}

// TestRead: whatever is read of a body, in whatever way, it is what stands there.
func TestRead(t *testing.T) {
	s := newShelf(t, `"v"`)
	var b Reader
	rapid.Check(t, func(t *rapid.T) {
		at := rapid.IntRange(0, len(s.body))
		from, to := at.Draw(t, "from"), at.Draw(t, "to")
		if from > to {
			from, to = to, from
		}
		b.Reset(s.source(), int64(from), int64(to))
		skip := rapid.SampledFrom([]int{0, 1, 5000, 1 << 20}).Draw(t, "skip")
		if n := b.Skip(int64(skip)); n != int64(min(skip, to-from)) {
			t.Fatalf("%d bytes are left out of %d", n, to-from)
		}
		want := s.body[min(from+skip, to):to]
		var have []byte
		for {
			if rapid.Bool().Draw(t, "piece") {
				piece, err := b.Piece(rapid.Bool().Draw(t, "wait"))
				have = append(have, piece...)
				if errors.Is(err, io.EOF) {
					break
				} else if err != nil || len(piece) == 0 {
					t.Fatal(len(piece), err)
				}
				continue
			}
			p := make([]byte, rapid.SampledFrom([]int{1, 1000, 1024, 100_000}).Draw(t, "room"))
			n, err := b.Read(p)
			have = append(have, p[:n]...)
			if errors.Is(err, io.EOF) {
				break
			} else if err != nil || n == 0 {
				t.Fatal(n, err)
			}
			if len(p) == 1 {
				rest, err := io.ReadAll(&b)
				if have = append(have, rest...); err != nil {
					t.Fatal(err)
				}
				break
			}
		}
		if !bytes.Equal(have, want) {
			t.Fatalf("%d-%d: %d bytes, want %d", from, to, len(have), len(want))
		}
		if err := b.Close(); err != nil || len(s.asked) != 0 {
			t.Fatal(err, s.asked)
		}
		b.Clear()
	})
}

// readAll reads a body whose chunks go when some bytes have been read.
func (s *shelf) readAll(t *testing.T, b *Reader, after int) (have []byte, err error) {
	t.Helper()
	first := make([]byte, after)
	if _, err := io.ReadFull(b, first); err != nil {
		t.Fatal(err)
	}
	s.store.Clear()
	rest, err := io.ReadAll(b)
	return slices.Concat(first, rest), err
}

// TestTail: when the chunks are gone, the target brings what is missing, and no more than that.
func TestTail(t *testing.T) {
	for _, after := range []int{0, 1, 50_000, 199_999} {
		for _, to := range []int{len(newShelf(t, `"v"`).body), 199_999} {
			s := newShelf(t, `"v"`)
			b := New(s.source(), 0, int64(to))
			have, err := s.readAll(t, b, min(after, to))
			if err != nil || !bytes.Equal(have, s.body[:to]) {
				t.Errorf("gone after %d of %d: %d bytes, %v", after, to, len(have), err)
			}
			if err := b.Close(); err != nil {
				t.Error(err)
			}
			if len(s.asked) > 1 || len(s.asked) != len(s.released) || len(s.released) == 1 && s.released[0] != nil {
				t.Errorf("gone after %d of %d: asked for %q, let go of with %v", after, to, s.asked, s.released)
			}
		}
	}
}

// TestTailWaits: a loop may not wait for the target, and whoever leaves in the middle lets go of it as such.
func TestTailWaits(t *testing.T) {
	s := newShelf(t, `"v"`)
	b := New(s.source(), 100, 100_100)
	s.store.Clear()
	for range 2 {
		if p, err := b.Piece(false); !errors.Is(err, edge.ErrWait) || len(s.asked) != 0 {
			t.Fatal(len(p), err, s.asked)
		}
	}
	p, err := b.Piece(true)
	if err != nil || !bytes.Equal(p, s.body[100:100+len(p)]) || fmt.Sprint(s.asked) != "[bytes=100-100099]" {
		t.Fatal(len(p), err, s.asked)
	}
	if p, err := b.Piece(false); !errors.Is(err, edge.ErrWait) {
		t.Fatal(len(p), err)
	}
	for range 2 {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
	if len(s.released) != 1 || s.released[0] != edge.ClientGone {
		t.Error(s.released)
	}
}

// TestOtherTail: what the target brings is used only if it is the part that was asked for, of the same bytes; otherwise
// the answer breaks off, since its beginning is on its way.
func TestOtherTail(t *testing.T) {
	f := func(name string, change func(s *shelf)) {
		t.Helper()
		s := newShelf(t, `"v"`)
		change(s)
		b := New(s.source(), 0, int64(len(s.body)))
		have, err := s.readAll(t, b, 60_000)
		if err == nil || !bytes.HasPrefix(s.body, have) {
			t.Errorf("%s: %d bytes, %v", name, len(have), err)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
		if n := len(s.asked); n == 0 || len(s.released) < n {
			t.Errorf("%s: asked %d times, let go of %d times", name, n, len(s.released))
		}
	}
	head := func(change func(x *edge.Exchange, from, to int)) func(s *shelf) {
		return func(s *shelf) {
			s.says = func(x *edge.Exchange, from, to int) *edge.Fault {
				_ = s.part(x, from, to) // never fails
				change(x, from, to)
				return nil
			}
		}
	}
	span := func(text string) []byte { return []byte("ETag: \"v\"\r\nContent-Range: " + text + "\r\n") }
	f("all of it", head(func(x *edge.Exchange, _, _ int) { x.SetHead(200, nil, []byte("ETag: \"v\"\r\n")) }))
	f("none of it", head(func(x *edge.Exchange, _, _ int) { x.SetHead(416, nil, span("bytes */200000")) }))
	f("another tag", head(func(x *edge.Exchange, from, to int) {
		x.SetHead(206, nil, fmt.Appendf(nil, "ETag: \"w\"\r\nContent-Range: bytes %d-%d/200000\r\n", from, to-1))
	}))
	f("no tag", head(func(x *edge.Exchange, from, to int) {
		x.SetHead(206, nil, fmt.Appendf(nil, "Content-Range: bytes %d-%d/200000\r\n", from, to-1))
	}))
	f("another place", head(func(x *edge.Exchange, from, to int) {
		x.SetHead(206, nil, span(fmt.Sprintf("bytes %d-%d/200000", from+1, to)))
	}))
	f("of another length", head(func(x *edge.Exchange, from, to int) {
		x.SetHead(206, nil, span(fmt.Sprintf("bytes %d-%d/200001", from, to-1)))
	}))
	f("of unknown length", head(func(x *edge.Exchange, from, to int) {
		x.SetHead(206, nil, span(fmt.Sprintf("bytes %d-%d/*", from, to-1)))
	}))
	f("without a place", head(func(x *edge.Exchange, _, _ int) { x.SetHead(206, nil, []byte("ETag: \"v\"\r\n")) }))
	f("a body of another length", head(func(x *edge.Exchange, _, _ int) { x.OutLen-- }))
	f("a body of no known length", head(func(x *edge.Exchange, _, _ int) { x.OutLen = -1 }))
	f("no body", head(func(x *edge.Exchange, _, _ int) { x.Out = nil }))
	f("a fault", func(s *shelf) { s.says = func(*edge.Exchange, int, int) *edge.Fault { return edge.UpstreamTimeout } })
	f("a body that breaks off", head(func(x *edge.Exchange, from, _ int) {
		x.Out = edge.ReaderBody{R: io.MultiReader(bytes.NewReader([]byte{byte(from % 251)}), broken{})}
	}))
}

// broken is a connection that is gone.
type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// TestNoTail: without a strong tag, and for what GET does not bring, the target is not asked.
func TestNoTail(t *testing.T) {
	for _, tag := range []string{`"v"`, `W/"v"`, ""} {
		s := newShelf(t, tag)
		from := s.source()
		from.InParts = tag != `"v"`
		b := New(from, 0, int64(len(s.body)))
		have, err := s.readAll(t, b, 60_000)
		if !errors.Is(err, store.ErrGone) || !bytes.HasPrefix(s.body, have) || len(s.asked) != 0 {
			t.Errorf("%q: %d bytes, %v, asked for %q", tag, len(have), err, s.asked)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestFromDisk: what is on disk is read from there if it is the same answer, and else from the target.
func TestFromDisk(t *testing.T) {
	for _, same := range []bool{true, false} {
		s := newShelf(t, `"v"`)
		dir := t.TempDir()
		if err := disk.Probe(dir); err != nil {
			t.Fatal(err)
		}
		tier := disk.Open(disk.Options{Dir: dir, Size: disk.MinSize, Largest: 1 << 20})
		defer tier.Close()
		for !tier.Loaded() {
			runtime.Gosched()
		}
		other := *s.entry
		if !same {
			other.At++ // it was asked for at another time
		}
		tier.Put(s.entry.Key, other.Append(nil), [][]byte{s.body}, 1<<40)
		for !tier.Has(s.entry.Key) {
			runtime.Gosched()
		}
		from := s.source()
		from.Tier = tier
		b := New(from, 10, int64(len(s.body))-10)
		have, err := s.readAll(t, b, 60_000)
		if err != nil || !bytes.Equal(have, s.body[10:len(s.body)-10]) || (len(s.asked) == 0) != same {
			t.Errorf("the same %v: %d bytes, %v, asked for %q", same, len(have), err, s.asked)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
}
