package fleet

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/penstock-edge/penstock/edge/lib/clock"
	"github.com/penstock-edge/penstock/ratelimit/bucket"
)

// Ledger is what this gateway knows of the keys of one limit: what the server answered last, and what it has
// not been told yet. Limits that are fast go by it; exact ones do while the server does not answer.
//
// A key may have spent at most a lease without the server knowing. So over all gateways, and whatever they
// do in the same moment, no more is admitted than the limit and one lease for each gateway.
//
// Without the server each key has one part of the limit here, of as many as there were gateways. What is
// spent meanwhile is sent when it is back, less what would have come back in that time.
type Ledger struct {
	link *Link
	stem string
	rule atomic.Pointer[Rule]

	lease   atomic.Int64
	timeout atomic.Int64 // nanoseconds that telling the server may take
	most    int          // keys in each shard

	setting sync.Mutex // held by Set
	shards  [ledgerShards]shard

	wake   chan struct{} // there is something to send; of size 1
	urgent chan struct{} // and soon; of size 1
	back   atomic.Bool   // the server has returned: look at all keys

	evictions atomic.Uint64
	once      sync.Once // Start
	closing   sync.Once // Close
	running   sync.WaitGroup
	stop      chan struct{}
}

const ledgerShards = 64

// shard is a part of the keys. A lock of one is held for some dozen nanoseconds, and never while anything is
// waited for.
type shard struct {
	mu      sync.Mutex
	rule    *Rule // by which the entries are
	index   map[bucket.Key]uint32
	entries []entry
	free    []uint32
	dirty   []uint32 // entries with something to send
	clock   uint32   // where the search for one to forget goes on
	_       [24]byte
}

// entry is what is known of a key.
type entry struct {
	key  bucket.Key
	left float64 // events that may be spent; less than 0: debt
	gain float64 // events a nanosecond that come back
	at   int64   // when that was so, clock nanoseconds
	full int64   // when all of the limit is there again, clock nanoseconds
	used float64 // events that the server does not know of, those on their way to it included
	sent float64 // of these, on their way
	part int64   // 0: left is of the whole limit; n: of one nth, since the server does not answer
	live bool
	told bool // it is among the dirty ones
	asks bool // the server is asked what is left, though nothing was spent
	// heard is when the server last answered so, clock seconds.
	heard uint32
}

// NewLedger returns a ledger for at most as many keys, whose values on the server have the name as a part of
// theirs. For the last two arguments see Set.
func NewLedger(l *Link, name string, r *Rule, maxKeys int, lease int64, timeout time.Duration) *Ledger {
	w := &Ledger{link: l, stem: l.conf.Prefix + "limit:" + name + ":", most: maxKeys/ledgerShards*9/8 + 8,
		wake: make(chan struct{}, 1), urgent: make(chan struct{}, 1), stop: make(chan struct{})}
	for i := range w.shards {
		w.shards[i].index = map[bucket.Key]uint32{}
	}
	w.Set(r, lease, timeout)
	return w
}

// Set makes another rule of the same kind hold. What was spent stays spent, but no key owes more than the new
// limit. lease is how many events of a key may be spent before the server knows; when it takes longer than
// timeout to be told, it counts as gone.
func (w *Ledger) Set(r *Rule, lease int64, timeout time.Duration) {
	w.lease.Store(max(lease, 1))
	w.timeout.Store(int64(timeout))
	w.setting.Lock()
	defer w.setting.Unlock()
	w.rule.Store(r)
	now := clock.Now()
	up, nodes, full := w.link.Up(), w.link.Nodes(), int64(r.full(time.Now()))
	for i := range w.shards {
		s := &w.shards[i]
		s.mu.Lock()
		if s.rule != nil && !s.rule.same(r) {
			for j := range s.entries {
				if e := &s.entries[j]; e.live {
					e.advance(s.rule, up, nodes, now)
					e.change(s.rule, r, now, full)
				}
			}
		}
		s.rule = r
		s.mu.Unlock()
	}
}

// change makes another rule that of an entry. full is after how long all of the limit is there again.
func (e *entry) change(old, r *Rule, now, full int64) {
	e.asks = e.part == 0 && e.full > now
	share := 1 / float64(max(e.part, 1))
	e.left += (r.limit - old.limit) * share
	if r.kind != "q" { // of a quota nobody waits longer than until its window ends
		e.left, e.used = max(e.left, 0), min(e.used, e.sent+r.limit)
	}
	if r.kind == "g" || e.part > 0 {
		e.gain = r.rate() * share
	}
	if e.full = min(e.full, now+full); r.kind == "g" {
		e.full = now + nanoseconds(max(r.limit*share-e.left, 0)/e.gain)
	}
}

// nanoseconds bounds what is practically for ever.
func nanoseconds(f float64) int64 { return int64(min(f, 1<<61)) }

// Start tells the server what is spent, until Close. Only the first call does something.
func (w *Ledger) Start() {
	w.once.Do(func() {
		w.link.watch(w, true)
		w.running.Go(w.run)
	})
}

// Close tells the server what it does not know yet, if it answers, and ends what Start began. Calling it
// again only waits for that.
func (w *Ledger) Close() {
	w.closing.Do(func() {
		w.link.watch(w, false)
		close(w.stop)
	})
	w.running.Wait()
}

// Link returns the way to the server.
func (w *Ledger) Link() *Link { return w.link }

// Up reports whether the server answers.
func (w *Ledger) Up() bool { return w.link.Up() }

func (w *Ledger) name(k bucket.Key) string {
	return string(appendName(make([]byte, 0, 128), w.stem, w.rule.Load(), k))
}

func (w *Ledger) shard(k bucket.Key) *shard { return &w.shards[k[1]%ledgerShards] }

// entry returns the entry of a key; one that is new has all of the limit. The lock of s is held.
func (w *Ledger) entry(s *shard, k bucket.Key, r *Rule, now int64) (*entry, uint32) {
	if i, ok := s.index[k]; ok {
		return &s.entries[i], i
	}
	var i uint32
	switch n := len(s.free); {
	case n > 0:
		i = s.free[n-1]
		s.free = s.free[:n-1]
	case len(s.entries) < w.most:
		i = uint32(len(s.entries))
		s.entries = append(s.entries, entry{})
	default:
		i = w.evict(s, now)
	}
	// One that takes the place of another which had something to send stands among the dirty ones already.
	s.entries[i] = entry{key: k, left: r.limit, gain: r.gain, at: now, full: now, live: true,
		told: s.entries[i].told, heard: uint32(now / int64(time.Second))}
	s.index[k] = i
	return &s.entries[i], i
}

// evict makes room: of some entries in turn the one goes that would have all of the limit again soonest, and
// one with something to send only if all of them have.
func (w *Ledger) evict(s *shard, now int64) uint32 {
	best, soonest := uint32(0), int64(math.MaxInt64)
	for range 8 {
		s.clock = (s.clock + 1) % uint32(len(s.entries))
		if e := &s.entries[s.clock]; !e.told && e.full < soonest {
			best, soonest = s.clock, e.full
		}
	}
	if soonest == math.MaxInt64 {
		best = s.clock
	}
	e := &s.entries[best]
	if e.used != 0 || e.full > now {
		w.evictions.Add(1)
	}
	delete(s.index, e.key)
	return best
}

// advance brings an entry to a moment, and into the state of the link.
func (e *entry) advance(r *Rule, up bool, nodes, now int64) {
	if passed := now - e.at; passed > 0 {
		back := e.gain * float64(passed)
		whole := r.limit
		if e.part > 0 {
			whole /= float64(e.part)
			if e.used > 0 { // it would have come back on the server as well
				e.used = max(e.used-back, 0)
			}
		}
		e.left = min(e.left+back, whole)
		if now >= e.full && e.left < whole {
			e.left = whole
		}
		e.at = now
	}
	if up || e.part > 0 {
		return
	}
	e.part = max(nodes, 1)
	share := 1 / float64(e.part)
	e.left *= share
	e.gain = r.rate() * share
}

// Peek returns what TryCharge would, and charges nothing.
func (w *Ledger) Peek(k bucket.Key, now, cost int64) bucket.Result {
	s := w.shard(k)
	s.mu.Lock()
	r := s.rule
	i, ok := s.index[k]
	if !ok {
		s.mu.Unlock()
		c := float64(cost)
		return bucket.Result{OK: c <= r.limit, Remaining: int64(r.limit), Retry: -1}
	}
	e := &s.entries[i]
	e.advance(r, w.link.Up(), w.link.Nodes(), now)
	res := w.judge(e, r, now, cost)
	e.ask(now, !res.OK)
	first := w.note(s, e, i)
	s.mu.Unlock()
	w.signal(first, false)
	return res
}

// judge reports whether a cost may be charged to an entry.
func (w *Ledger) judge(e *entry, r *Rule, now, cost int64) bucket.Result {
	c := float64(cost)
	need := c
	if e.part > 0 && c <= r.limit { // what costs more than the part has to wait until all of that is there
		need = min(c, r.limit/float64(e.part))
	}
	res := bucket.Result{OK: e.left+epsilon >= need, Remaining: int64(math.Floor(e.left + epsilon))}
	if e.left < r.limit && e.full > now {
		res.Reset = time.Duration(e.full - now)
	}
	if res.OK {
		if e.part == 0 && e.used > 0 && e.used+c > float64(w.lease.Load()) {
			res.OK, res.Retry = false, leaseRetry // the server has to be told first
		}
		return res
	}
	res.Retry = -1
	if c <= r.limit {
		res.Retry = res.Reset
		if e.gain > 0 {
			res.Retry = min(time.Duration(nanoseconds(math.Ceil((need-e.left)/e.gain))), max(res.Reset, 1))
		}
		if r.kind == "w" && e.left+epsilon >= 0 { // at the latest so far into the next window
			res.Retry = min(res.Retry, time.Duration(float64(r.per)*(1+c/r.limit)))
		}
	}
	return res
}

// epsilon is what sums of fractions may be off by.
const epsilon = 1e-6

// leaseRetry is about how long the server takes to be told.
const leaseRetry = 10 * time.Millisecond

// TryCharge charges the cost if, by what is known here, the key has as much left.
func (w *Ledger) TryCharge(k bucket.Key, now, cost int64) bucket.Result {
	s := w.shard(k)
	s.mu.Lock()
	r := s.rule
	e, i := w.entry(s, k, r, now)
	e.advance(r, w.link.Up(), w.link.Nodes(), now)
	res := w.judge(e, r, now, cost)
	if res.OK {
		w.spend(e, r, now, cost)
		res.Remaining = int64(math.Floor(e.left + epsilon))
		res.Reset = time.Duration(max(e.full-now, 0))
	}
	e.ask(now, !res.OK)
	first := w.note(s, e, i)
	hurry := e.part == 0 && 2*e.used >= float64(w.lease.Load())
	s.mu.Unlock()
	w.signal(first, hurry)
	return res
}

// Charge charges the cost whatever is left, but no more than the limit; a negative one is given back.
func (w *Ledger) Charge(k bucket.Key, now, cost int64) {
	s := w.shard(k)
	s.mu.Lock()
	r := s.rule
	e, i := w.entry(s, k, r, now)
	e.advance(r, w.link.Up(), w.link.Nodes(), now)
	w.spend(e, r, now, min(cost, int64(r.limit)))
	first := w.note(s, e, i)
	s.mu.Unlock()
	w.signal(first, false)
}

// Allow charges the cost, but no more than is left. It is for limits that admit all while the server does
// not answer.
func (w *Ledger) Allow(k bucket.Key, now, cost int64) {
	left := w.Peek(k, now, cost).Remaining
	w.Charge(k, now, min(cost, max(left, 0)))
}

func (w *Ledger) spend(e *entry, r *Rule, now, cost int64) {
	c := float64(cost)
	e.left -= c
	e.used += c
	switch {
	case r.kind == "g" || r.kind == "w" && e.part > 0:
		e.full = now + nanoseconds((r.limit/float64(max(e.part, 1))-e.left)/e.gain)
	case e.full <= now:
		e.full = now + int64(r.full(time.Now()))
	}
}

// note puts an entry among those with something to send; true: it is the first one of its shard.
func (w *Ledger) note(s *shard, e *entry, i uint32) bool {
	if e.told || e.used == 0 && !e.asks {
		return false
	}
	e.told = true
	s.dirty = append(s.dirty, i)
	return len(s.dirty) == 1
}

// signal wakes run, which sends to the server.
func (w *Ledger) signal(first, hurry bool) {
	if hurry {
		ring(w.urgent)
	} else if first {
		ring(w.wake)
	}
}

func ring(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// learn takes in the server's answer about a key, and returns what has not been sent it of yet. What is on
// its way there it may have known.
func (w *Ledger) learn(k bucket.Key, what said) (untold float64) {
	s, now := w.shard(k), clock.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	e, _ := w.entry(s, k, s.rule, now)
	e.update(s.rule, what, now)
	return e.used - e.sent
}

// update sets an entry to what the server has, less what the server does not know yet.
func (e *entry) update(r *Rule, what said, now int64) {
	e.part = 0
	e.left, e.gain, e.at = what.left-e.used, what.gain, now
	if r.kind == "g" {
		e.gain = r.gain
	}
	e.full = now + int64(what.full)
	if r.kind == "g" && e.used > 0 {
		e.full += nanoseconds(e.used / r.gain)
	}
	e.heard = uint32(now / int64(time.Second))
}

// doubt is for how long a refusal goes by the last answer of the server.
const doubt = 5 // seconds

// ask makes a key that is refused one to ask the server about, when nothing was heard of it for a while: it
// may have been reset elsewhere.
func (e *entry) ask(now int64, refused bool) {
	if refused && e.part == 0 && now/int64(time.Second) >= int64(e.heard)+doubt {
		e.asks = true
	}
}

// Reset forgets what a key has spent, here and on the server, and reports whether that was anything. The
// error is that of the server, which is waited for; what it does not know here is forgotten nevertheless.
// Other gateways that are fast learn of it some seconds later.
func (w *Ledger) Reset(k bucket.Key, now int64) (spent bool, err error) {
	s := w.shard(k)
	s.mu.Lock()
	if i, ok := s.index[k]; ok {
		e := &s.entries[i]
		e.advance(s.rule, w.link.Up(), w.link.Nodes(), now)
		whole := s.rule.limit / float64(max(e.part, 1))
		spent = e.left+epsilon < whole
		e.left, e.used, e.full = whole, 0, now // what is on its way there is given back when it has arrived
	}
	s.mu.Unlock()
	n, err := w.link.forget(w.name(k))
	return spent || n > 0, err
}

func (s said) result() bucket.Result {
	return bucket.Result{OK: s.ok, Remaining: int64(math.Floor(s.left + epsilon)), Reset: s.full,
		Retry: max(s.wait, -1)}
}

// less is the result for a cost when more was spent than the server knows.
func (s said) less(untold, cost float64) bucket.Result {
	s.left -= untold
	if s.ok && s.left+epsilon < cost {
		if s.ok, s.wait = false, s.full; s.gain > 0 {
			s.wait = time.Duration(nanoseconds((cost - s.left) / s.gain))
		}
	}
	return s.result()
}

// Keys returns of how many keys something is known.
func (w *Ledger) Keys(now int64) int {
	n := 0
	for i := range w.shards {
		s := &w.shards[i]
		s.mu.Lock()
		for j := range s.entries {
			if e := &s.entries[j]; e.live && (e.full > now || e.used != 0) {
				n++
			}
		}
		s.mu.Unlock()
	}
	return n
}

// Evictions returns how often a key was forgotten to make room.
func (w *Ledger) Evictions() uint64 { return w.evictions.Load() }

// Bytes returns how much memory the keys take here, about.
func (w *Ledger) Bytes() int64 {
	n := int64(0)
	for i := range w.shards {
		s := &w.shards[i]
		s.mu.Lock()
		n += int64(cap(s.entries))*entryBytes + int64(cap(s.dirty)+cap(s.free))*4 + int64(len(s.index))*mapBytes
		s.mu.Unlock()
	}
	return n
}

const (
	entryBytes = 80
	mapBytes   = 24 // of the index, a key
)
