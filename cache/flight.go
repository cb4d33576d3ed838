package cache

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

// flight is one fetch that several requests wait for. Its body is collected in memory while it comes, and
// they read it from there at their own pace.
//
// A body that turns out to be larger than what is stored is not kept: what all readers have read is
// dropped, and the fetch waits for the slowest of them.
type flight struct {
	head chan struct{} // closed when what follows is set
	// what is the answer for all whose key is the same; nil: each has to ask for itself, unless there
	// is fault.
	what  *entry.Entry
	fault *edge.Fault
	cause error
	why   outcome.Reason // there is neither
	size  int64          // of the body; -1: not known yet
	// usesOld tells that what is stored is the answer, as as says; upside is the status that the target
	// gave.
	usesOld bool
	as      outcome.Status
	upside  int
	number  uint64 // of the body that usesOld is about
	bad     bool   // the target has failed
	asked   int64  // when the answer was asked for, in milliseconds since 1970
	age     int64  // milliseconds that it was old then, by its Age

	most   int64 // bytes of a body that are kept
	budget *budget
	held   *atomic.Int64 // of budget, what length counts for

	mu      sync.Mutex
	more    *sync.Cond
	pieces  [][]byte // of the body, from the one with the number dropped on
	dropped int
	length  int64         // of all pieces that are kept
	over    bool          // the body is larger than most
	stored  *store.Object // where readers go on when the pieces have been dropped; nil: they have not
	ended   bool
	failure error // why the body did not come to its end; nil otherwise
	readers map[*body]struct{}
}

// budget counts the bytes of bodies that are in memory beside what is stored.
type budget struct {
	fetching atomic.Int64 // of bodies that are still coming, or are not stored
	finished atomic.Int64 // of bodies that are stored, and are still read
	most     int64        // bound of each
}

// full reports whether no more may be fetched for the cache now.
func (b *budget) full() bool { return b.fetching.Load() > b.most }

func newFlight(most int64, b *budget) *flight {
	f := &flight{head: make(chan struct{}), most: most, budget: b, held: &b.fetching,
		readers: map[*body]struct{}{}}
	f.more = sync.NewCond(&f.mu)
	return f
}

// add appends a piece of the body, which is kept. When there is too much of it, it waits for the
// readers, and returns false when there are none.
func (f *flight) add(b []byte) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pieces = append(f.pieces, b)
	f.keep(int64(len(b)))
	f.more.Broadcast()
	for most := f.most; f.length > most; {
		f.over = true
		most = min(f.most, window) // it is not stored: no more of it is kept than keeps its readers going
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
func (f *flight) forget() bool {
	slowest := f.dropped + len(f.pieces)
	for r := range f.readers {
		slowest = min(slowest, r.piece)
	}
	n := slowest - f.dropped
	for _, p := range f.pieces[:n] {
		f.keep(-int64(len(p)))
	}
	f.pieces, f.dropped = f.pieces[n:], slowest
	return n > 0
}

// keep accounts for bytes that are kept from now on. f.mu is held.
func (f *flight) keep(n int64) {
	f.length += n
	f.held.Add(n)
}

// end tells the readers that there is no more. stored is where the body is now besides; nil: nowhere. Readers
// of such a body are no fetch any more. They keep its pieces, as long as the budget has room, and else go on
// from what is stored.
func (f *flight) end(failure error, stored *store.Object) {
	f.mu.Lock()
	f.ended, f.failure = true, failure
	switch n := f.length; {
	case stored == nil || len(f.readers) == 0:
	case f.budget.finished.Load()+n <= f.room() || stored.Whole():
		f.held = &f.budget.finished
		f.budget.fetching.Add(-n)
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
func (f *flight) room() int64 {
	if f.what != nil && f.what.Strong() {
		return f.budget.most
	}
	return 2 * f.budget.most
}

// letGo drops the body when nobody reads it any more. f.mu is held.
func (f *flight) letGo() {
	if f.ended && len(f.readers) == 0 {
		f.drop()
	}
}

// drop drops all pieces. f.mu is held.
func (f *flight) drop() {
	f.dropped += len(f.pieces)
	f.pieces = nil
	f.keep(-f.length)
}

// ageFor returns how old the answer of the flight counts as for a request that came at a time. The time that
// it has waited does not count: by itself it would have waited as well.
func (f *flight) ageFor(came int64) int64 { return f.age + max(came-f.asked, 0) }

// await waits for the head. It returns false when the client has left or the time is over.
func (f *flight) await(x *edge.Exchange, timeout time.Duration) bool {
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	look := time.NewTicker(lookEach)
	defer look.Stop()
	for {
		select {
		case <-f.head:
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

// body reads the body of a flight.
type body struct {
	edge.Opaque
	f      *flight
	piece  int // the number of the one it stands in
	offset int
	at     int64          // bytes that were read
	rest   *chunks.Reader // reads on from what is stored; nil: the pieces are there
	source chunks.Source  // of rest, without the object
}

// read returns a reader of the body from its beginning; nil: that has been dropped already.
func (f *flight) read() *body {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.dropped > 0 {
		return nil
	}
	b := &body{f: f}
	f.readers[b] = struct{}{}
	return b
}

var errCut = errors.New("the fetch that this answer came from has broken off")

// Read implements edge.Body: it waits for more of the body.
func (b *body) Read(p []byte) (n int, err error) {
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
func (b *body) Piece(wait bool) (piece []byte, err error) {
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
func (b *body) discard(n int64, wait bool) (done int64, err error) {
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
func (b *body) piecewise(wait bool, use func(piece []byte) int, err *error) (rest *chunks.Reader) {
	f := b.f
	f.mu.Lock()
	defer f.mu.Unlock()
	var piece []byte
	if f.stored == nil {
		piece, *err = b.next(wait)
	}
	if f.stored != nil { // now, or since next has waited
		if b.rest == nil {
			b.source.Object = f.stored
			b.rest = chunks.New(b.source, b.at, f.stored.Len)
		}
		*err = nil
		return b.rest
	}
	b.advance(use(piece))
	return nil
}

// next returns what is there; with wait, when there is something. f.mu is held.
func (b *body) next(wait bool) ([]byte, error) {
	f := b.f
	for b.piece >= f.dropped+len(f.pieces) || f.stored != nil {
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
	return f.pieces[b.piece-f.dropped][b.offset:], nil
}

// advance goes on by n bytes, which are there. f.mu is held.
func (b *body) advance(n int) {
	f := b.f
	if n == 0 {
		return
	}
	b.at += int64(n)
	if b.offset += n; b.offset == len(f.pieces[b.piece-f.dropped]) {
		b.piece, b.offset = b.piece+1, 0
		if f.over {
			f.more.Broadcast()
		}
	}
}

// Close implements edge.Body. The fetch goes on, as long as what comes is kept or read.
func (b *body) Close() error {
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

// part is a part of the body of a flight.
type part struct {
	edge.Opaque
	b          *body
	skip, left int64
}

// Read implements edge.Body.
func (p *part) Read(into []byte) (int, error) {
	if err := p.begin(true); err != nil {
		return 0, err
	}
	n, err := p.b.Read(into[:min(int64(len(into)), p.left)])
	p.left -= int64(n)
	return n, err
}

// Piece implements edge.Body.
func (p *part) Piece(wait bool) ([]byte, error) {
	if err := p.begin(wait); err != nil {
		return nil, err
	}
	b, err := p.b.Piece(wait)
	b = b[:min(int64(len(b)), p.left)]
	p.left -= int64(len(b))
	return b, err
}

// begin leaves out what comes before the part; io.EOF: all of the part was read.
func (p *part) begin(wait bool) error {
	for p.skip > 0 {
		n, err := p.b.discard(p.skip, wait)
		if err != nil {
			return err
		}
		p.skip -= n
	}
	if p.left == 0 {
		return io.EOF
	}
	return nil
}

// Close implements edge.Body.
func (p *part) Close() error { return p.b.Close() }

// flights are the fetches under way, by what is fetched.
type flights struct {
	mu sync.Mutex
	by map[store.Key]*flight
}

// join returns the flight for a key; first tells that it is new, and the caller has to fetch.
func (fs *flights) join(k store.Key, most int64, b *budget) (f *flight, first bool) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if f = fs.by[k]; f != nil {
		return f, false
	}
	f = newFlight(most, b)
	if fs.by == nil {
		fs.by = map[store.Key]*flight{}
	}
	fs.by[k] = f
	return f, true
}

// scatter removes all flights: what they bring was asked for before something was purged.
func (fs *flights) scatter() {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	clear(fs.by)
}

// land removes a flight: who comes from now on finds its answer stored, or begins another.
func (fs *flights) land(k store.Key, f *flight) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if fs.by[k] == f {
		delete(fs.by, k)
	}
}
