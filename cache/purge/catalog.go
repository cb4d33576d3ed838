package purge

import (
	"encoding/binary"
	"github.com/penstock-edge/penstock/cache/store"
	"sync"
)

// Catalog knows which answers are stored, so that a purge can say how many go. The stores forget by
// themselves: what is listed here may be gone, and has to be looked for. With each answer that is added
// two others are, and leave the list when they are nowhere any more.
type Catalog struct {
	mu    sync.Mutex
	nodes []Node // the first one is none
	free  uint32 // the first of those that are free, linked by next
	byKey map[uint64]uint32
	byURL map[uint64]uint32 // the first one of a URL, linked by next and prev
	hand  uint32
}

// Node is one answer.
type Node struct {
	Key, Disk  store.Key // in memory and on disk
	url, tags  uint64    // a hash, and bits of hashes
	next, prev uint32
	used       bool
}

// TagBits returns the bits of a tag by its hash: a node that lacks one of them does not have the tag.
func TagBits(hash uint64) uint64 { return 1<<(hash&63) | 1<<(hash>>6&63) }

func short(k store.Key) uint64 { return binary.LittleEndian.Uint64(k[:]) }

// Add lists an answer with the hashes of its URL and its tags. there reports whether an answer is
// still stored.
func (c *Catalog) Add(k, disk store.Key, hashes []byte, there func(*Node) bool) {
	n := Node{Key: k, Disk: disk, url: HashAt(hashes), used: true}
	for hashes = hashes[8:]; len(hashes) >= 8; hashes = hashes[8:] {
		n.tags |= TagBits(HashAt(hashes))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byKey == nil {
		c.byKey, c.byURL, c.nodes = map[uint64]uint32{}, map[uint64]uint32{}, make([]Node, 1)
	}
	i, known := c.byKey[short(k)]
	switch {
	case known:
		c.unlink(i)
	case c.free != 0:
		i = c.free
		c.free = c.nodes[i].next
	default:
		i = uint32(len(c.nodes))
		c.nodes = append(c.nodes, Node{})
	}
	c.nodes[i] = n
	c.byKey[short(k)] = i
	c.link(i)
	for range 2 {
		c.look(there)
	}
}

// link puts a node before those of its URL. c.mu is held.
func (c *Catalog) link(i uint32) {
	n := &c.nodes[i]
	n.next, n.prev = c.byURL[n.url], 0
	c.byURL[n.url] = i
	if n.next != 0 {
		c.nodes[n.next].prev = i
	}
}

// unlink takes a node out of those of its URL. c.mu is held.
func (c *Catalog) unlink(i uint32) {
	n := c.nodes[i]
	switch {
	case n.prev != 0:
		c.nodes[n.prev].next = n.next
	case n.next != 0:
		c.byURL[n.url] = n.next
	default:
		delete(c.byURL, n.url)
	}
	if n.next != 0 {
		c.nodes[n.next].prev = n.prev
	}
}

// look looks whether the next node is still stored. c.mu is held.
func (c *Catalog) look(there func(*Node) bool) {
	if c.hand++; int(c.hand) >= len(c.nodes) {
		c.hand = 1
	}
	n := &c.nodes[c.hand]
	if !n.used || there(n) {
		return
	}
	c.unlink(c.hand)
	delete(c.byKey, short(n.Key))
	*n = Node{next: c.free}
	c.free = c.hand
}

// Of returns the answers of a URL by its hash.
func (c *Catalog) Of(url uint64) (list []Node) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := c.byURL[url]; i != 0; i = c.nodes[i].next {
		list = append(list, c.nodes[i])
	}
	return list
}

// mostAtOnce is for how many answers the catalog is held at once.
const mostAtOnce = 1000

// All calls f with all answers that are listed and have all bits of one of tags; without tags with all.
func (c *Catalog) All(tags []uint64, f func(*Node)) {
	var batch []Node
	for at := 1; ; at += mostAtOnce {
		c.mu.Lock()
		end := min(at+mostAtOnce, len(c.nodes))
		if at >= end {
			c.mu.Unlock()
			return
		}
		batch = batch[:0]
		for i := at; i < end; i++ {
			if n := &c.nodes[i]; n.used && hasBits(n.tags, tags) {
				batch = append(batch, *n)
			}
		}
		c.mu.Unlock()
		for i := range batch {
			f(&batch[i])
		}
	}
}

func hasBits(have uint64, tags []uint64) bool {
	for _, t := range tags {
		if have&t == t {
			return true
		}
	}
	return len(tags) == 0
}
