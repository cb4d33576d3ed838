package flight

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/penstock-edge/penstock/cache/cachetest"
	"github.com/penstock-edge/penstock/cache/chunks"
	"github.com/penstock-edge/penstock/cache/entry"
	"github.com/penstock-edge/penstock/cache/key"
	"github.com/penstock-edge/penstock/cache/store"
	"github.com/penstock-edge/penstock/edge"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pattern is a body that shows where each of its bytes stands.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i % 251)
	}
	return b
}

// none fails unless a budget has nothing left in it.
func none(t interface{ Fatalf(string, ...any) }, b *Budget) {
	if n, m := b.Fetching.Load(), b.Finished.Load(); n != 0 || m != 0 {
		t.Fatalf("%d bytes of what comes and %d of what is stored are held for nobody", n, m)
	}
}

// TestFollow: whenever readers come, however they read and whenever they leave, what they have read is the beginning of
// the body; it is all of it if they were told that it has ended, and that is so only if it has.
func TestFollow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		held := &Budget{Most: 1 << 20}
		f := New(1<<20, held)
		f.Size = -1
		body := pattern(rapid.IntRange(0, 5000).Draw(t, "size"))
		sent := 0
		type one struct {
			r    *Reader
			have []byte
			over bool
		}
		var readers []*one
		ended, failed := false, false
		step := func(o *one) {
			if rapid.Bool().Draw(t, "piece") {
				p, err := o.r.Piece(false)
				o.have = append(o.have, p...)
				switch {
				case errors.Is(err, edge.ErrWait):
					if len(o.have) != sent || ended {
						t.Fatalf("it waits after %d of %d bytes", len(o.have), sent)
					}
				case err == nil:
				case errors.Is(err, io.EOF) && !failed, errors.Is(err, errCut) && failed:
					if o.over = true; !ended || len(o.have) != sent {
						t.Fatalf("it ends after %d of %d bytes", len(o.have), sent)
					}
				default:
					t.Fatal(err, failed)
				}
				return
			}
			if len(o.have) < sent { // else it would wait
				p := make([]byte, rapid.IntRange(1, 2000).Draw(t, "room"))
				n, err := o.r.Read(p)
				if o.have = append(o.have, p[:n]...); err != nil || n == 0 {
					t.Fatal(n, err)
				}
			}
		}
		for range rapid.IntRange(5, 60).Draw(t, "steps") {
			switch rapid.SampledFrom([]string{"join", "add", "add", "read", "read", "read", "leave", "end"}).Draw(t, "step") {
			case "join":
				if r := f.Read(); r != nil {
					readers = append(readers, &one{r: r})
				} else if !ended {
					t.Fatal("nobody may join")
				}
			case "add":
				if n := min(rapid.IntRange(0, 700).Draw(t, "piece"), len(body)-sent); n > 0 && !ended {
					f.Add(body[sent : sent+n])
					sent += n
				}
			case "read":
				if len(readers) > 0 {
					step(readers[rapid.IntRange(0, len(readers)-1).Draw(t, "who")])
				}
			case "leave":
				if len(readers) > 0 {
					if err := readers[0].r.Close(); err != nil {
						t.Fatal(err)
					}
					readers = readers[1:]
				}
			case "end":
				if rapid.IntRange(0, 5).Draw(t, "ends") == 0 && !ended {
					var failure error
					if failed = rapid.Bool().Draw(t, "fails"); failed {
						failure = edge.UpstreamTruncated
					}
					ended = true
					f.End(failure, nil)
				}
			}
		}
		if !ended {
			f.End(nil, nil)
			ended = true
		}
		for _, o := range readers {
			for !o.over {
				step(o)
			}
			if !bytes.Equal(o.have, body[:sent]) {
				t.Fatalf("%d bytes, not the first %d", len(o.have), sent)
			}
			if err := o.r.Close(); err != nil {
				t.Fatal(err)
			}
		}
		none(t, held)
	})
}

// TestManyAtOnce: readers that come, read, leave and come late at the same time as the body comes, which is too large
// to be kept, and breaks off or not.
func TestManyAtOnce(t *testing.T) {
	for round := range 20 {
		held := &Budget{Most: 1 << 20}
		f := New(4000, held)
		body, failed := pattern(60_000), round%3 == 0
		var wg sync.WaitGroup
		var whole atomic.Int32
		read := func(r *Reader, seed int) {
			defer func() { _ = r.Close() }() // never fails
			random := rand.New(rand.NewPCG(uint64(round), uint64(seed)))
			leaves := seed%3 == 2
			have, p := 0, make([]byte, 3000)
			for {
				n, err := r.Read(p[:1+random.IntN(2999)])
				if !bytes.Equal(p[:n], body[have:have+n]) {
					t.Errorf("round %d: other bytes from %d on", round, have)
					return
				}
				if have += n; err != nil {
					if whole.Add(1); (errors.Is(err, io.EOF)) == failed || have != len(body) {
						t.Errorf("round %d: %d bytes of %d, %v", round, have, len(body), err)
					}
					return
				}
				if leaves && random.IntN(10) == 0 {
					return
				}
			}
		}
		for i := range 8 { // those that are there from the beginning
			r := f.Read()
			wg.Go(func() { read(r, i) })
		}
		for i := range 8 { // those that come at any time
			wg.Go(func() {
				if r := f.Read(); r != nil {
					read(r, i)
				}
			})
		}
		for rest := body; len(rest) > 0; {
			n := min(1000, len(rest))
			if !f.Add(rest[:n:n]) {
				t.Fatalf("round %d: nobody reads", round)
			}
			rest = rest[n:]
		}
		var failure error
		if failed {
			failure = edge.UpstreamTruncated
		}
		f.End(failure, nil)
		wg.Wait()
		if none(t, held); whole.Load() < 5 || !f.Over {
			t.Errorf("round %d: %d have read to the end", round, whole.Load())
		}
	}
}

// TestAllLeave: the fetch of a body that is too large ends when nobody reads it any more, also if it waits for the last
// one; one that may be stored goes on.
func TestAllLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		held := &Budget{Most: 1 << 20}
		f := New(1000, held)
		a, b := f.Read(), f.Read()
		over := make(chan bool)
		go func() {
			more := true
			for range 3 {
				more = more && f.Add(make([]byte, 600))
			}
			over <- more
		}()
		synctest.Wait()
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		select {
		case <-over:
			t.Fatal("it does not wait for the one who reads")
		default:
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		if <-over {
			t.Error("it goes on for nobody")
		}
		f.End(edge.ClientGone, nil)
		none(t, held)
		f = New(1000, held)
		r := f.Read()
		f.Add(make([]byte, 400))
		_ = r.Close() // never fails
		if !f.Add(make([]byte, 400)) {
			t.Error("what may be stored is given up")
		}
		f.End(nil, nil)
		none(t, held)
	})
}

// TestAwait: whoever waits goes on with the head, with the end of his time, or when his client has left.
func TestAwait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		f := New(1, &Budget{})
		f2 := func(what string, gone bool, timeout time.Duration, want bool, after time.Duration) {
			t.Helper()
			x := cachetest.Request("/a")
			x.Conn = client(gone)
			begin = time.Now()
			if got := f.Await(x, timeout); got != want || time.Since(begin) > after {
				t.Errorf("%s: %v after %s", what, got, time.Since(begin))
			}
		}
		f2("the time is over", false, time.Second, false, time.Second)
		f2("no time at all", false, -time.Second, false, 0)
		f2("the client has left", true, time.Hour, false, lookEach)
		time.AfterFunc(time.Minute, func() { close(f.Head) })
		f2("the head comes", false, time.Hour, true, time.Minute)
		f2("the head is there", false, time.Hour, true, 0)
	})
}

// client is one that has left, or not.
type client bool

func (c client) Gone() bool { return bool(c) }
func (client) Abort()       {}

// TestAgeFor: the time that a request has waited does not make the answer older for it.
func TestAgeFor(t *testing.T) {
	f := &Flight{Asked: 10_000, Age: 3000}
	for came, want := range map[int64]int64{5000: 3000, 10_000: 3000, 10_500: 3500, 20_000: 13_000} {
		if got := f.AgeFor(came); got != want {
			t.Errorf("for one that came at %d: %d, want %d", came, got, want)
		}
	}
}

// TestPart: a part of a body that comes has those bytes, in whatever way it is read, and ends where it ends.
func TestPart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		held := &Budget{Most: 1 << 20}
		f := New(1<<20, held)
		body := pattern(3000)
		from := rapid.IntRange(0, 2999).Draw(t, "from")
		n := rapid.IntRange(1, 3000-from).Draw(t, "length")
		p := &Part{B: f.Read(), Skip: int64(from), Left: int64(n)}
		var have []byte
		cut := rapid.IntRange(0, 3000).Draw(t, "cut at") // where the fetch breaks off
		take := func() error {
			for {
				piece, err := p.Piece(false)
				if have = append(have, piece...); err != nil {
					return err
				}
			}
		}
		for at := 0; at < cut; {
			size := min(rapid.IntRange(1, 900).Draw(t, "piece"), cut-at)
			f.Add(body[at : at+size])
			at += size
			if rapid.Bool().Draw(t, "reads") {
				if err := take(); !errors.Is(err, edge.ErrWait) && !(errors.Is(err, io.EOF) && len(have) == n) {
					t.Fatal(err)
				}
			}
		}
		f.End(edge.UpstreamTruncated, nil)
		rest, err := io.ReadAll(p)
		have = append(have, rest...)
		if whole := from+n <= cut; (err == nil) != whole || whole && len(have) != n {
			t.Fatalf("%d bytes of %d, cut at %d: %v", len(have), n, cut, err)
		}
		if !bytes.Equal(have, body[from:from+len(have)]) {
			t.Fatal("other bytes")
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		none(t, held)
	})
}

// kept stores a body and returns what is kept of it; large ones are in chunks.
func kept(t *testing.T, body []byte) (*store.Store, *store.Object) {
	t.Helper()
	s := store.New(store.MinSize)
	e := &entry.Entry{Key: []byte("k"), Status: 200}
	o, err := s.Put(store.Key{1}, e.Append(nil), [][]byte{body}, 100)
	if err != nil {
		t.Fatal(err)
	}
	return s, &o
}

// TestFinished: readers of a body that is stored keep its pieces as long as there is room for those, and else go on
// from what is stored, where they stand; nobody begins there.
func TestFinished(t *testing.T) {
	body := pattern(100_000)
	f := func(name, tag string, finished, size int, stays bool) {
		t.Helper()
		held := &Budget{Most: 150_000}
		held.Finished.Add(int64(finished))
		fl := New(1<<20, held)
		fl.Entry = &entry.Entry{Key: []byte("k"), ETag: []byte(tag)}
		_, o := kept(t, body[:size])
		readers := []*Reader{fl.Read(), fl.Read(), fl.Read()}
		for _, r := range readers {
			r.Source = chunks.Source{Rules: key.New(nil), X: cachetest.Request("/a"), Entry: fl.Entry}
		}
		fl.Add(body[:size/2])
		first := make([]byte, 10)
		if _, err := io.ReadFull(readers[1], first); err != nil {
			t.Fatal(err)
		}
		fl.Add(body[size/2 : size])
		fl.End(nil, o)
		if held.Fetching.Load() != 0 {
			t.Errorf("%s: %d bytes are still coming", name, held.Fetching.Load())
		}
		if got := held.Finished.Load() > int64(finished); got != stays || (fl.Read() != nil) != stays {
			t.Errorf("%s: %d bytes are held, %d of before", name, held.Finished.Load(), finished)
		}
		all := &Part{B: readers[2], Skip: 7, Left: int64(size) - 7}
		for i, b := range []edge.Body{readers[0], readers[1], all} {
			want := body[[]int{0, 10, 7}[i]:size]
			have, err := io.ReadAll(b)
			if err != nil || !bytes.Equal(have, want) {
				t.Errorf("%s: reader %d has %d bytes of %d, %v", name, i, len(have), len(want), err)
			}
			if err := b.Close(); err != nil {
				t.Error(err)
			}
		}
		if stays { // one more has come
			fl.mu.Lock()
			clear(fl.readers)
			fl.letGo()
			fl.mu.Unlock()
		}
		if n := held.Finished.Load(); n != int64(finished) || fl.Read() != nil {
			t.Errorf("%s: %d bytes are held for nobody", name, n-int64(finished))
		}
	}
	f("there is room", `"v"`, 0, 100_000, true)
	f("there is none", `"v"`, 100_000, 100_000, false)
	f("none for what has a tag that is weak", `W/"v"`, 100_000, 100_000, true)
	f("none for what has no tag", ``, 100_000, 100_000, true)
	f("none for that either", ``, 250_000, 100_000, false)
	f("small ones stay", `"v"`, 150_000, 500, true)
}

// TestWaitsForEnd: whoever waits for more when the pieces go reads on from what is stored.
func TestWaitsForEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		held := &Budget{Most: 10}
		fl := New(1<<20, held)
		body := pattern(100_000)
		_, o := kept(t, body)
		var wg sync.WaitGroup
		for range 3 {
			r := fl.Read()
			r.Source = chunks.Source{Rules: key.New(nil), X: cachetest.Request("/a"), Entry: &entry.Entry{Key: []byte("k")}}
			wg.Go(func() {
				have, err := io.ReadAll(r)
				if err != nil || !bytes.Equal(have, body) {
					t.Errorf("%d bytes, %v", len(have), err)
				}
				_ = r.Close() // never fails
			})
		}
		synctest.Wait()
		fl.Add(body[:30])
		synctest.Wait()
		fl.mu.Lock()
		fl.Pieces = append(fl.Pieces, body[30:]) // without waking anybody
		fl.keep(int64(len(body) - 30))
		fl.mu.Unlock()
		fl.End(nil, o)
		wg.Wait()
		none(t, held)
	})
}

// TestGroup: of those that ask at once for the same one is first; after it has landed, or all were scattered, there is a
// first one again, and who lands late takes nothing away from him.
func TestGroup(t *testing.T) {
	var g Group
	var held Budget
	k := store.Key{1}
	var firsts atomic.Int32
	var wg sync.WaitGroup
	flights := make([]*Flight, 50)
	for i := range flights {
		wg.Go(func() {
			f, first := g.Join(k, 10, &held)
			if flights[i] = f; first {
				firsts.Add(1)
			}
		})
	}
	wg.Wait()
	for _, f := range flights {
		if f != flights[0] {
			t.Fatal("there are two fetches")
		}
	}
	if firsts.Load() != 1 {
		t.Fatalf("%d are first", firsts.Load())
	}
	if _, first := g.Join(store.Key{2}, 10, &held); !first {
		t.Error("another key is the same fetch")
	}
	g.Scatter()
	next, first := g.Join(k, 10, &held)
	if !first || next == flights[0] {
		t.Error("a fetch from before a purge is joined")
	}
	g.Land(k, flights[0])
	if f, first := g.Join(k, 10, &held); first || f != next {
		t.Error("a fetch was taken away by another one's end")
	}
	g.Land(k, next)
	if _, first := g.Join(k, 10, &held); !first {
		t.Error("what has ended is joined")
	}
}

// TestFull: a budget is full when more than its bound is being fetched; what is stored does not count.
func TestFull(t *testing.T) {
	b := &Budget{Most: 100}
	f := New(1000, b)
	for i, want := range []bool{false, false, true} {
		if f.Add(make([]byte, 50)); b.Full() != want {
			t.Errorf("after %d pieces: %v", i+1, b.Full())
		}
	}
	_, o := kept(t, []byte("abc"))
	r := f.Read()
	if f.End(nil, o); b.Full() || b.Finished.Load() != 150 {
		t.Error(fmt.Sprint(b.Fetching.Load(), b.Finished.Load()))
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	none(t, b)
}
