package logline

import "sync"

const (
	minChunk = 4 << 10
	maxChunk = 64 << 10
)

// chunk is a piece of log of whole lines.
type chunk struct {
	b     []byte // never grows beyond the capacity it was made with
	lines uint64
}

// chunks is the memory of a sink: what it has given out never exceeds max bytes.
type chunks struct {
	size int // bytes of an ordinary chunk
	max  int // bytes of all of them
	keep int // ordinary chunks kept for use again

	mu   sync.Mutex // guards what follows; held for a few instructions only
	used int        // bytes given out
	free []*chunk
}

// newChunks lets each of n lanes have a quarter of its share in one chunk, so that a
// lane that is filled finds room while others are being written.
func newChunks(maxBytes, n int) *chunks {
	maxBytes = max(maxBytes, 2*minChunk*n)
	size := min(max(maxBytes/(4*n), minChunk), maxChunk)
	return &chunks{size: size, max: maxBytes, keep: 2 * n}
}

// acquire returns an empty chunk with room for n bytes, nil if that would be too much.
func (p *chunks) acquire(n int) *chunk {
	n = max(n, p.size)
	p.mu.Lock()
	if p.used+n > p.max {
		p.mu.Unlock()
		return nil
	}
	p.used += n
	if last := len(p.free) - 1; n == p.size && last >= 0 {
		c := p.free[last]
		p.free[last], p.free = nil, p.free[:last]
		p.mu.Unlock()
		return c
	}
	p.mu.Unlock()
	return &chunk{b: make([]byte, 0, n)}
}

// give takes a chunk back, which its user must not touch any more.
func (p *chunks) give(c *chunk) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.used -= cap(c.b)
	if cap(c.b) == p.size && len(p.free) < p.keep {
		c.b, c.lines = c.b[:0], 0
		p.free = append(p.free, c)
	}
}
