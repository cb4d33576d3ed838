package cache

import (
	"github.com/penstock-edge/penstock/cache/entry"
	"github.com/penstock-edge/penstock/cache/key"
	"github.com/penstock-edge/penstock/cache/store"
)

// tally counts what an order has purged.
type tally struct {
	r     *records
	o     *order
	was   past
	now   int64
	buf   []byte
	gone  int
	seen  map[store.Key]bool // nil: nothing comes twice
	tags  []uint64           // hashes
	rules []ban
}

// carryOut purges what an order names, and returns how many answers were there that cannot be served any
// more, or with soft only stale. It calls begun when the purge holds, before it counts.
func (r *records) carryOut(o *order, begun func()) int {
	r.ordering.Lock()
	defer r.ordering.Unlock()
	t := &tally{r: r, o: o, now: r.now()}
	var hashes []uint64
	for _, u := range o.urls {
		hashes = append(hashes, hashURL(u))
	}
	for _, tag := range o.tags {
		h := hashTag([]byte(tag))
		t.tags, hashes = append(t.tags, h), append(hashes, h)
	}
	t.was = r.purges.past(hashes)
	until := t.now + o.last.Milliseconds()
	for _, h := range hashes {
		r.writeDown(r.purges.byHash(h, o.soft))
	}
	for _, p := range o.prefixes {
		t.rules = append(t.rules, ban{prefix: p})
		r.writeDown(r.purges.byRule(p, nil, t.now, until, o.soft))
	}
	for _, m := range o.matches {
		t.rules = append(t.rules, ban{match: m})
		r.writeDown(r.purges.byRule(nil, m, t.now, until, o.soft))
	}
	if o.all {
		r.writeDown(r.purges.everything(o.soft))
	}
	begun()
	t.count()
	return t.gone
}

// count looks at what is stored.
func (t *tally) count() {
	list := &t.r.listed
	if t.o.all || len(t.rules) > 0 {
		list.all(nil, t.look)
		return
	}
	if len(t.o.urls)+len(t.tags) > 1 {
		t.seen = map[store.Key]bool{}
	}
	for _, u := range t.o.urls {
		for _, n := range list.of(hashURL(u)) {
			t.look(&n)
		}
	}
	if len(t.tags) == 0 {
		return
	}
	bits := make([]uint64, len(t.tags))
	for i, h := range t.tags {
		bits[i] = tagBits(h)
	}
	list.all(bits, t.look)
}

// look counts an answer if it was there, could be served, and is named by the order.
func (t *tally) look(n *node) {
	e, ok := t.r.listedAt(n, &t.buf)
	if !ok || e.Number >= t.was.first || t.seen[n.key] || !t.names(&e) {
		return
	}
	before := t.r.purges.judgeAt(e.Number, key.URLIn(e.Key), e.Hashes, t.now, &t.was)
	if before == purged || before == stale && t.o.soft {
		return
	}
	if t.gone++; t.seen != nil {
		t.seen[n.key] = true
	}
}

// names reports whether the order is about an answer.
func (t *tally) names(e *entry.Entry) bool {
	if t.o.all {
		return true
	}
	for i, hashes := 0, e.Hashes; len(hashes) >= 8; i, hashes = i+1, hashes[8:] {
		h := hashAt(hashes)
		for _, u := range t.o.urls {
			if i == 0 && h == hashURL(u) {
				return true
			}
		}
		for _, tag := range t.tags {
			if i > 0 && h == tag {
				return true
			}
		}
	}
	for i := range t.rules {
		if t.rules[i].hits(key.URLIn(e.Key)) {
			return true
		}
	}
	return false
}
