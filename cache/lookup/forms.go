package lookup

import (
	"github.com/penstock-edge/penstock/cache/accept"
	"github.com/penstock-edge/penstock/cache/entry"
	"github.com/penstock-edge/penstock/cache/fresh"
	"github.com/penstock-edge/penstock/cache/outcome"
	"github.com/penstock-edge/penstock/edge"
)

// findForm looks into the slots that are good for a request. The key in r ends with the slot of its own
// offer.
func (c *Cache) findForm(r *record, known accept.Forms) fresh.Use {
	own := r.Text[len(r.Text)-1]
	var room [4]byte
	slots := known.AppendSlots(room[:0], r.accepts)
	if len(slots) > 1 {
		slots = c.latest(r, slots)
	}
	for _, s := range slots {
		use, ok := c.findSlot(r, s)
		switch {
		case ok && use == fresh.Ask:
			if use, _ = c.findSlot(r, own); use == fresh.Ask {
				use, _ = c.findSlot(r, s)
			}
			return use
		case ok, c.Tier != nil && c.Tier.Has(r.Text):
			return use
		}
	}
	use, _ := c.findSlot(r, own)
	return use
}

// findSlot looks into one slot. ok is false when there is nothing in it.
func (c *Cache) findSlot(r *record, slot byte) (use fresh.Use, ok bool) {
	r.Text[len(r.Text)-1] = slot
	if c.findCoded(r) {
		return fresh.Fresh, true
	}
	r.Key, r.lack = c.Hash(r.Text), outcome.OtherFields
	if !c.get(r) {
		return fresh.Ask, false
	}
	return c.findAnswer(r), true
}

// latest returns the best of several slots: what is fresh before what is not, and then what was asked for
// last (RFC 9111 section 4). Slots that have nothing in memory stay, if that is so of all.
func (c *Cache) latest(r *record, slots []byte) []byte {
	whole := r.metaOnly
	r.metaOnly = true // bodies are not needed for that
	best, value, at := -1, 0, int64(0)
	for i, s := range slots {
		r.Text[len(r.Text)-1] = s
		r.Key = c.Hash(r.Text)
		if !c.get(r) {
			continue
		}
		n := worth(c.findAnswer(r), r)
		if best < 0 || n > value || n == value && r.entry.At > at {
			best, value, at = i, n, r.entry.At
		}
	}
	r.metaOnly, r.found, r.absent, r.age = whole, false, true, -1
	if best < 0 {
		return slots
	}
	return slots[best : best+1]
}

// worth ranks what was found in a slot: the higher, the better.
func worth(use fresh.Use, r *record) int {
	switch {
	case use == fresh.Fresh:
		return 3
	case use != fresh.Ask:
		return 2
	case r.found && r.entry.Flags&entry.IsPass == 0:
		return 1
	}
	return 0
}

// wanted returns the first of the codings that are made here which a request accepts; nil: none.
func (c *Cache) wanted(x *edge.Exchange, accepts accept.Set) *accept.Coding {
	if accepts == 0 || len(c.Conf.Coders) == 0 || x.Req.Has("Range") {
		return nil // parts are those of the answer as it is
	}
	for _, one := range c.Conf.Coders {
		if accepts&one.Set != 0 {
			return one
		}
	}
	return nil
}

// findCoded looks for the encoded form that is wanted of what has the key in r. It leaves the key as it is.
func (c *Cache) findCoded(r *record) bool {
	if r.coding == nil || !c.Coded.Load() {
		return false
	}
	n := len(r.Text)
	r.Text = entry.AppendCodedKey(r.Text, r.coding)
	r.Key = c.Hash(r.Text)
	ok := c.get(r) && r.entry.Flags&entry.IsPass == 0 && c.weigh(r) == fresh.Fresh
	if r.Text, r.coded = r.Text[:n], ok; !ok {
		r.age = -1
	}
	return ok
}
