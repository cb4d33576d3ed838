package records

import (
	"github.com/penstock-edge/penstock/cache/entry"
	"github.com/penstock-edge/penstock/cache/key"
	"github.com/penstock-edge/penstock/cache/purge"
	"github.com/penstock-edge/penstock/cache/store"
)

// tally counts what an order has purged.
type tally struct {
	r     *Records
	o     *purge.Order
	was   purge.Past
	now   int64
	buf   []byte
	gone  int
	seen  map[store.Key]bool // nil: nothing comes twice
	tags  []uint64           // hashes
	rules []purge.Rule
}

// Purge purges what an order names, and returns how many answers were there that cannot be served any
// more, or with soft only stale. It calls begun when the purge holds, before it counts.
func (r *Records) Purge(o *purge.Order, begun func()) int {
	r.ordering.Lock()
	defer r.ordering.Unlock()
	t := &tally{r: r, o: o, now: r.Now()}
	var hashes []uint64
	for _, u := range o.Urls {
		hashes = append(hashes, purge.HashURL(u))
	}
	for _, tag := range o.Tags {
		h := purge.HashTag([]byte(tag))
		t.tags, hashes = append(t.tags, h), append(hashes, h)
	}
	t.was = r.Purges.Past(hashes)
	until := t.now + o.Duration.Milliseconds()
	for _, h := range hashes {
		r.WriteDown(r.Purges.ByHash(h, o.Soft))
	}
	for _, p := range o.Prefixes {
		t.rules = append(t.rules, purge.Rule{Prefix: p})
		r.WriteDown(r.Purges.ByRule(p, nil, t.now, until, o.Soft))
	}
	for _, m := range o.Matches {
		t.rules = append(t.rules, purge.Rule{Match: m})
		r.WriteDown(r.Purges.ByRule(nil, m, t.now, until, o.Soft))
	}
	if o.All {
		r.WriteDown(r.Purges.Everything(o.Soft))
	}
	begun()
	t.count()
	return t.gone
}

// count looks at what is stored.
func (t *tally) count() {
	list := &t.r.catalog
	if t.o.All || len(t.rules) > 0 {
		list.All(nil, t.look)
		return
	}
	if len(t.o.Urls)+len(t.tags) > 1 {
		t.seen = map[store.Key]bool{}
	}
	for _, u := range t.o.Urls {
		for _, n := range list.Of(purge.HashURL(u)) {
			t.look(&n)
		}
	}
	if len(t.tags) == 0 {
		return
	}
	bits := make([]uint64, len(t.tags))
	for i, h := range t.tags {
		bits[i] = purge.TagBits(h)
	}
	list.All(bits, t.look)
}

// look counts an answer if it was there, could be served, and is named by the order.
func (t *tally) look(n *purge.Node) {
	e, ok := t.r.listedAt(n, &t.buf)
	if !ok || e.Number >= t.was.First || t.seen[n.Key] || !t.names(&e) {
		return
	}
	before := t.r.Purges.JudgeAt(e.Number, key.URLIn(e.Key), e.Hashes, t.now, &t.was)
	if before == purge.Purged || before == purge.Stale && t.o.Soft {
		return
	}
	if t.gone++; t.seen != nil {
		t.seen[n.Key] = true
	}
}

// names reports whether the order is about an answer.
func (t *tally) names(e *entry.Entry) bool {
	if t.o.All {
		return true
	}
	for i, hashes := 0, e.Hashes; len(hashes) >= 8; i, hashes = i+1, hashes[8:] {
		h := purge.HashAt(hashes)
		for _, u := range t.o.Urls {
			if i == 0 && h == purge.HashURL(u) {
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
		if t.rules[i].Hits(key.URLIn(e.Key)) {
			return true
		}
	}
	return false
}
