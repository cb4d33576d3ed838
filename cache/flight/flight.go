// Package flight has the fetches that are under way, each with the body that it brings, which many readers
// follow at their own pace.
package flight

import (
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/penstock-edge/penstock/cache/chunks"
	"github.com/penstock-edge/penstock/cache/entry"
	"github.com/penstock-edge/penstock/cache/outcome"
	"github.com/penstock-edge/penstock/cache/store"
	"github.com/penstock-edge/penstock/edge"
)

// Flight is one fetch that several requests wait for. Its body is collected in memory while it comes, and
// they read it from there at their own pace.
//
// A body that turns out to be larger than what is stored is not kept: what all readers have read is
// dropped, and the fetch waits for the slowest of them.
type Flight struct {
	Head chan struct{} // closed when what follows is set
	// Entry is the answer for all whose key is the same; nil: each has to ask for itself, unless there
	// is fault.
	Entry *entry.Entry
	Fault *edge.Fault
	Cause error
	Why   outcome.Reason // there is neither
	Size  int64          // of the body; -1: not known yet
	// UsesOld reports whether what is stored is the answer, as as says; upside is the status that the target
	// gave.
	UsesOld bool
	As      outcome.Status
	Upside  int
	Number  uint64 // of the body that UsesOld is about
	Nothing bool   // nothing was fetched: what is stored is to be looked at again
	Bad     bool   // the target has failed
	Asked   int64  // when the answer was asked for, in milliseconds since 1970
	Age     int64  // milliseconds that it was old then, by its Age

	Most   int64 // bytes of a body that are kept
	budget *Budget
	held   *atomic.Int64 // of budget, what length counts for

	mu      sync.Mutex
	more    *sync.Cond
	Pieces  [][]byte // of the body, from the one with the number dropped on
	dropped int
	length  int64         // of all pieces that are kept
	Over    bool          // the body is larger than most
	stored  *store.Object // where readers go on when the pieces have been dropped; nil: they have not
	ended   bool
	failure error // why the body did not come to its end; nil otherwise
	readers map[*Reader]struct{}
}

// Budget counts the bytes of bodies that are in memory beside what is stored.
type Budget struct {
	Fetching atomic.Int64 // of bodies that are still coming, or are not stored
	Finished atomic.Int64 // of bodies that are stored, and are still read
	Most     int64        // bound of each
}

// Full reports whether no more may be fetched for the cache now.
func (b *Budget) Full() bool { return b.Fetching.Load() > b.Most }

// New returns a flight that keeps at most so many bytes of a body, and counts them in b.
func New(most int64, b *Budget) *Flight {
	f := &Flight{Head: make(chan struct{}), Most: most, budget: b, held: &b.Fetching,
		readers: map[*Reader]struct{}{}}
	f.more = sync.NewCond(&f.mu)
	return f
}

// Add appends a piece of the body, which is kept. When there is too much of it, it waits for the
// readers, and returns false when there are none.
func (f *Flight) Add(b []byte) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.Pieces = append(f.Pieces, b)
	f.keep(int64(len(b)))
	f.more.Broadcast()
	for most := f.Most; f.length > most; {
		f.Over = true
		most = min(f.Most, window) // it is not stored: no more of it is kept than keeps its readers going
		if len(f.readers) == 0 {
			return false
		}
		if !f.forget() {
			f.more.Wait()
		}
	}
	return true
}

// window is how many bytes of a body that is not stored the fetch is ahead of the slowest reader.
const window = 256 << 10

// forget drops the pieces that all readers have read. f.mu is held.
func (f *Flight) forget() bool {
	slowest := f.dropped + len(f.Pieces)
	for r := range f.readers {
		slowest = min(slowest, r.piece)
	}
	n := slowest - f.dropped
	for _, p := range f.Pieces[:n] {
		f.keep(-int64(len(p)))
	}
	f.Pieces, f.dropped = f.Pieces[n:], slowest
	return n > 0
}

// keep accounts for bytes that are kept from now on. f.mu is held.
func (f *Flight) keep(n int64) {
	f.length += n
	f.held.Add(n)
}

// End tells the readers that there is no more. stored is where the body is now besides; nil: nowhere. Readers
// of such a body are no fetch any more. They keep its pieces, as long as the budget has room, and else go on
// from what is stored.
func (f *Flight) End(failure error, stored *store.Object) {
	f.mu.Lock()
	f.ended, f.failure = true, failure
	switch n := f.length; {
	case stored == nil || len(f.readers) == 0:
	case f.budget.Finished.Load()+n <= f.room() || stored.Whole():
		f.held = &f.budget.Finished
		f.budget.Fetching.Add(-n)
		f.held.Add(n)
	default:
		f.stored = stored
		f.drop()
	}
	f.letGo()
	f.mu.Unlock()
	f.more.Broadcast()
}

// room returns how many bytes of finished bodies there may be for this one to stay. One without a strong tag
// has twice the room: when a part of what is stored is forgotten, the rest of it cannot be asked for
// (chunks).
func (f *Flight) room() int64 {
	if f.Entry != nil && f.Entry.Strong() {
		return f.budget.Most
	}
	return 2 * f.budget.Most
}

// letGo drops the body when nobody reads it any more. f.mu is held.
func (f *Flight) letGo() {
	if f.ended && len(f.readers) == 0 {
		f.drop()
	}
}

// drop drops all pieces. f.mu is held.
func (f *Flight) drop() {
	f.dropped += len(f.Pieces)
	f.Pieces = nil
	f.keep(-f.length)
}

// AgeFor returns how old the answer of the flight counts as for a request that came at a time. The time that
// it has waited does not count: by itself it would have waited as well.
func (f *Flight) AgeFor(came int64) int64 { return f.Age + max(came-f.Asked, 0) }

// Await waits for the head. It returns false when the client has left or the time is over.
func (f *Flight) Await(x *edge.Exchange, timeout time.Duration) bool {
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	look := time.NewTicker(lookEach)
	defer look.Stop()
	for {
		select {
		case <-f.Head:
			return true
		case <-timer.C:
			return false
		case <-look.C:
			if x.Conn.Gone() {
				return false
			}
		}
	}
}

// lookEach is how often it is looked whether a waiting client is still there.
const lookEach = 100 * time.Millisecond

// Reader reads the body of a flight.
type Reader struct {
	edge.Opaque
	f      *Flight
	piece  int // the number of the one it stands in
	offset int
	at     int64          // bytes that were read
	rest   *chunks.Reader // reads on from what is stored; nil: the pieces are there
	Source chunks.Source  // of rest, without the object
}

// Read returns a reader of the body from its beginning; nil: that has been dropped already.
func (f *Flight) Read() *Reader {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.dropped > 0 {
		return nil
	}
	b := &Reader{f: f}
	f.readers[b] = struct{}{}
	return b
}

var errCut = errors.New("the fetch that this answer came from has broken off")

// Read implements edge.Body: it waits for more of the body.
func (b *Reader) Read(p []byte) (n int, err error) {
	rest := b.piecewise(true, func(piece []byte) int {
		n = copy(p, piece)
		return n
	}, &err)
	if rest != nil {
		return rest.Read(p)
	}
	return n, err
}

// Piece implements edge.Body.
func (b *Reader) Piece(wait bool) (piece []byte, err error) {
	rest := b.piecewise(wait, func(all []byte) int {
		piece = all
		return len(all)
	}, &err)
	if rest != nil {
		return rest.Piece(wait)
	}
	return piece, err
}

// discard goes on by what is there, up to n bytes.
func (b *Reader) discard(n int64, wait bool) (done int64, err error) {
	rest := b.piecewise(wait, func(piece []byte) int {
		done = min(n, int64(len(piece)))
		return int(done)
	}, &err)
	if rest != nil {
		return rest.Skip(n), nil
	}
	return done, err
}

// piecewise gives use what is there, and goes on by as many bytes as that returns. It returns the reader of
// what is stored when the pieces have gone: use was not called then.
func (b *Reader) piecewise(wait bool, use func(piece []byte) int, err *error) (rest *chunks.Reader) {
	f := b.f
	f.mu.Lock()
	defer f.mu.Unlock()
	var piece []byte
	if f.stored == nil {
		piece, *err = b.next(wait)
	}
	if f.stored != nil { // now, or since next has waited
		if b.rest == nil {
			b.Source.Object = f.stored
			b.rest = chunks.New(b.Source, b.at, f.stored.Len)
		}
		*err = nil
		return b.rest
	}
	b.advance(use(piece))
	return nil
}

// next returns what is there; with wait, when there is something. f.mu is held.
func (b *Reader) next(wait bool) ([]byte, error) {
	f := b.f
	for b.piece >= f.dropped+len(f.Pieces) || f.stored != nil {
		switch {
		case f.stored != nil:
			return nil, nil // it goes on there
		case f.ended && f.failure == nil:
			return nil, io.EOF
		case f.ended:
			return nil, errCut
		case !wait:
			return nil, edge.ErrWait
		}
		f.more.Wait()
	}
	return f.Pieces[b.piece-f.dropped][b.offset:], nil
}

// advance goes on by n bytes, which are there. f.mu is held.
func (b *Reader) advance(n int) {
	f := b.f
	if n == 0 {
		return
	}
	b.at += int64(n)
	if b.offset += n; b.offset == len(f.Pieces[b.piece-f.dropped]) {
		b.piece, b.offset = b.piece+1, 0
		if f.Over {
			f.more.Broadcast()
		}
	}
}

// Close implements edge.Body. The fetch goes on, as long as what comes is kept or read.
func (b *Reader) Close() error {
	b.f.mu.Lock()
	delete(b.f.readers, b)
	b.f.letGo()
	b.f.mu.Unlock()
	b.f.more.Broadcast()
	if b.rest != nil {
		return b.rest.Close()
	}
	return nil
}

// Part is a part of the body of a flight.
type Part struct {
	edge.Opaque
	B          *Reader
	Skip, Left int64
}

// Read implements edge.Body.
func (p *Part) Read(into []byte) (int, error) {
	if err := p.begin(true); err != nil {
		return 0, err
	}
	n, err := p.B.Read(into[:min(int64(len(into)), p.Left)])
	p.Left -= int64(n)
	return n, err
}

// Piece implements edge.Body.
func (p *Part) Piece(wait bool) ([]byte, error) {
	if err := p.begin(wait); err != nil {
		return nil, err
	}
	b, err := p.B.Piece(wait)
	b = b[:min(int64(len(b)), p.Left)]
	p.Left -= int64(len(b))
	return b, err
}

// begin leaves out what comes before the part; io.EOF: all of the part was read.
func (p *Part) begin(wait bool) error {
	for p.Skip > 0 {
		n, err := p.B.discard(p.Skip, wait)
		if err != nil {
			return err
		}
		p.Skip -= n
	}
	if p.Left == 0 {
		return io.EOF
	}
	return nil
}

// Close implements edge.Body.
func (p *Part) Close() error { return p.B.Close() }

// Group are the fetches under way, by what is fetched.
type Group struct {
	Mu sync.Mutex
	By map[store.Key]*Flight
}

// Join returns the flight for a key; first reports whether it is new, and the caller has to fetch.
func (fs *Group) Join(k store.Key, most int64, b *Budget) (f *Flight, first bool) {
	fs.Mu.Lock()
	defer fs.Mu.Unlock()
	if f = fs.By[k]; f != nil {
		return f, false
	}
	f = New(most, b)
	if fs.By == nil {
		fs.By = map[store.Key]*Flight{}
	}
	fs.By[k] = f
	return f, true
}

// Also makes f, which is known by the key first, known by k too. It does nothing when f is no longer known by
// first, or another flight is by k.
func (fs *Group) Also(k, first store.Key, f *Flight) {
	fs.Mu.Lock()
	defer fs.Mu.Unlock()
	if fs.By[first] == f && fs.By[k] == nil {
		fs.By[k] = f
	}
}

// Scatter removes all flights: what they bring was asked for before something was purged.
func (fs *Group) Scatter() {
	fs.Mu.Lock()
	defer fs.Mu.Unlock()
	clear(fs.By)
}

// Land removes a flight: who comes from now on finds its answer stored, or begins another.
func (fs *Group) Land(k store.Key, f *Flight) {
	fs.Mu.Lock()
	defer fs.Mu.Unlock()
	if fs.By[k] == f {
		delete(fs.By, k)
	}
}
