package purge

import (
	"encoding/binary"
	"regexp"

	"github.com/penstock-edge/penstock/cache/disk"
)

// Purges have to be remembered for as long as what they are about, so those of a cache with a disk are
// written down there.

// Kinds of purges.
const (
	purgeHash = iota + 1
	purgePrefix
	purgeAll
	purgeNone // nothing is purged: the number alone counts
	purgeMatch
)

// purge is one as it is written down.
type purge struct {
	kind   byte
	soft   bool
	number int64
	until  int64  // milliseconds since 1970, of a rule
	what   []byte // a hash, a prefix, or an expression
}

const purgeHead = 2 + 8 + 8

func (p purge) note() []byte {
	b := make([]byte, 2, purgeHead+len(p.what))
	if b[0] = p.kind; p.soft {
		b[1] = 1
	}
	b = binary.LittleEndian.AppendUint64(b, uint64(p.number))
	b = binary.LittleEndian.AppendUint64(b, uint64(p.until))
	return append(b, p.what...)
}

// purge returns a rule as it is written down.
func (b *Rule) purge() purge {
	if b.Match != nil {
		return purge{purgeMatch, b.soft, b.number, b.until, []byte(b.Match.String())}
	}
	return purge{purgePrefix, b.soft, b.number, b.until, b.Prefix}
}

func parsePurge(b []byte) (p purge, ok bool) {
	if len(b) < purgeHead {
		return p, false
	}
	p.kind, p.soft = b[0], b[1] != 0
	p.number = int64(binary.LittleEndian.Uint64(b[2:]))
	p.until = int64(binary.LittleEndian.Uint64(b[10:]))
	p.what = b[purgeHead:]
	return p, p.kind != purgeHash || len(p.what) == 8
}

// again does once more what was written down.
func (p *Set) again(note []byte) {
	one, ok := parsePurge(note)
	if !ok {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.Latest.Store(max(p.Latest.Load(), one.number))
	switch one.kind {
	case purgeHash:
		p.mark(HashAt(one.what), one.number, one.soft)
	case purgePrefix:
		p.bans = append(p.bans, Rule{append([]byte(nil), one.what...), nil, one.number, one.soft, one.until})
	case purgeMatch:
		if match, err := regexp.Compile(string(one.what)); err == nil { // it was one when it was written
			p.bans = append(p.bans, Rule{nil, match, one.number, one.soft, one.until})
		}
	case purgeAll:
		if one.soft {
			p.soft.Store(max(p.soft.Load(), one.number))
		} else {
			p.all.Store(max(p.all.Load(), one.number))
		}
	}
}

// follow puts the purges of this process behind those of the ones before, whatever their numbers: what is
// stored from before is older than them all.
func (p *Set) follow(past *Set) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if past.Latest.Load() == 0 {
		return
	}
	n := max(p.Latest.Load(), past.Latest.Load()) + 1
	later := func(own, before int64) int64 {
		if own > 0 {
			return n
		}
		return before
	}
	for h, m := range p.marks {
		p.marks[h] = mark{later(m.hard, 0), later(m.soft, 0)}
	}
	for h, m := range past.marks {
		own := p.marks[h]
		if p.marks == nil {
			p.marks = map[uint64]mark{}
		}
		p.marks[h] = mark{max(own.hard, m.hard), max(own.soft, m.soft)}
	}
	for i := range p.bans {
		p.bans[i].number = n
	}
	p.bans = append(p.bans, past.bans...)
	p.all.Store(later(p.all.Load(), past.all.Load()))
	p.soft.Store(later(p.soft.Load(), past.soft.Load()))
	p.Latest.Store(n)
}

// notes returns what is to be written down of all purges.
func (p *Set) notes() (list [][]byte) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	add := func(one purge) {
		if one.number > 0 {
			list = append(list, one.note())
		}
	}
	add(purge{kind: purgeNone, number: p.Latest.Load()})
	add(purge{kind: purgeAll, number: p.all.Load()})
	add(purge{kind: purgeAll, soft: true, number: p.soft.Load()})
	for h, m := range p.marks {
		hash := binary.LittleEndian.AppendUint64(nil, h)
		add(purge{kind: purgeHash, number: m.hard, what: hash})
		add(purge{kind: purgeHash, soft: true, number: m.soft, what: hash})
	}
	for i := range p.bans {
		add(p.bans[i].purge())
	}
	return list
}

// Journal returns the journal of purges.
func (p *Set) Journal() *disk.Journal {
	past := &Set{}
	return &disk.Journal{
		Load: func(note []byte) {
			if note != nil {
				past.again(note)
			} else {
				p.follow(past)
				past = &Set{}
			}
		},
		Compact: p.notes,
	}
}
