package bucket

import "sync"

// Concurrency counts how many of a key are under way. There are never more keys than requests. It is made
// of maps with a lock each: a count that is given back must find the very count that was taken, which a
// table that lets two cores make one key known at once cannot promise.
type Concurrency struct{ shards [64]shard }

type shard struct {
	mu sync.Mutex // guards n
	n  map[Key]int64
	_  [40]byte // the next one has a cache line of its own
}

// NewConcurrency returns a limiter.
func NewConcurrency() *Concurrency {
	c := &Concurrency{}
	for i := range c.shards {
		c.shards[i].n = map[Key]int64{}
	}
	return c
}

func (c *Concurrency) shard(k Key) *shard { return &c.shards[k[0]%uint64(len(c.shards))] }

// Acquire takes one of most places of a key. It returns how many are taken.
func (c *Concurrency) Acquire(k Key, most int64) (ok bool, inFlight int64) {
	s := c.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.n[k]
	if n >= most {
		return false, n
	}
	s.n[k] = n + 1
	return true, n + 1
}

// Release gives a place back.
func (c *Concurrency) Release(k Key) {
	s := c.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := s.n[k]; n > 1 {
		s.n[k] = n - 1
	} else {
		delete(s.n, k)
	}
}

// Keys returns how many keys have something under way.
func (c *Concurrency) Keys() (n int) {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		n += len(s.n)
		s.mu.Unlock()
	}
	return n
}
