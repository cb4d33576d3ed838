package fleet

import (
	"context"
	"time"

	"github.com/penstock-edge/penstock/edge/lib/clock"
	"github.com/penstock-edge/penstock/ratelimit/bucket"
)

const (
	pace     = 5 * time.Millisecond // between two tellings, unless a key has spent half of its lease
	mostTold = 512                  // keys in one telling
	tidyEach = time.Second          // between two looks for keys with nothing left to know
)

// report is what one key has spent.
type report struct {
	key  bucket.Key
	used float64
}

// run keeps the server informed of what was spent.
func (w *Ledger) run() {
	pause := time.NewTimer(0)
	defer pause.Stop()
	tidied := clock.Now()
	for {
		select {
		case <-w.stop:
			w.syncAll()
			return
		case <-w.wake:
		case <-w.urgent:
		}
		pause.Reset(pace)
		select {
		case <-w.stop:
			w.syncAll()
			return
		case <-w.urgent:
		case <-pause.C:
		}
		if w.back.Swap(false) {
			w.recall()
		}
		w.syncAll()
		if now := clock.Now(); now-tidied >= int64(tidyEach) {
			tidied = now
			w.tidy(now)
		}
	}
}

// returned has all keys looked at: the server is there again.
func (w *Ledger) returned() {
	w.back.Store(true)
	ring(w.urgent)
	ring(w.wake)
}

// recall makes every key that has spent something one to be told.
func (w *Ledger) recall() {
	for i := range w.shards {
		s := &w.shards[i]
		s.mu.Lock()
		for j := range s.entries {
			if e := &s.entries[j]; e.live {
				w.note(s, e, uint32(j))
			}
		}
		s.mu.Unlock()
	}
}

// syncAll sends to the server until nothing is left to send, or it does not answer.
func (w *Ledger) syncAll() {
	for w.link.Up() {
		batch := w.collect(clock.Now())
		if len(batch) == 0 {
			return
		}
		if err := w.sync(batch); err != nil {
			w.link.lost(err)
			ring(w.wake) // what has failed is sent again, the next time round
			return
		}
	}
}

// collect takes keys that have something to send.
func (w *Ledger) collect(now int64) []report {
	var batch []report
	up, nodes := w.link.Up(), w.link.Nodes()
	for i := range w.shards {
		s := &w.shards[i]
		s.mu.Lock()
		for len(s.dirty) > 0 && len(batch) < mostTold {
			last := len(s.dirty) - 1
			e := &s.entries[s.dirty[last]]
			s.dirty = s.dirty[:last]
			e.told = false
			e.advance(s.rule, up, nodes, now)
			if e.used == 0 && !e.asks {
				continue
			}
			e.sent, e.asks = e.used, false
			batch = append(batch, report{e.key, e.used})
		}
		s.mu.Unlock()
	}
	return batch
}

// sync charges on the server what keys have spent, and learns what is left to them. A batch without an
// answer is sent again, though the server may have charged it: so a key may be charged too much by one
// lease, never too little.
func (w *Ledger) sync(batch []report) error {
	c := w.link.client.Load()
	if c == nil {
		return ErrDown
	}
	r, now := w.rule.Load(), time.Now()
	all := make([]command, len(batch))
	for i, b := range batch {
		how := charge
		if b.used == 0 {
			how = view
		}
		all[i].add(w.name(b.key), r, how, b.used, now)
	}
	ctx, cancel := context.WithTimeout(w.link.ctx, time.Duration(w.timeout.Load()))
	defer cancel()
	var failure error
	run(ctx, *c, all, func(i int, s []said, err error) {
		if err != nil {
			failure = err
			w.heard(batch[i], nil, clock.Now())
			return
		}
		w.heard(batch[i], &s[0], clock.Now())
	})
	return failure
}

// heard takes in the answer about one key; nil: there was none.
func (w *Ledger) heard(b report, what *said, now int64) {
	s := w.shard(b.key)
	s.mu.Lock()
	defer s.mu.Unlock()
	i, ok := s.index[b.key]
	if !ok {
		return // forgotten meanwhile
	}
	e := &s.entries[i]
	if what == nil {
		e.sent = 0
		w.note(s, e, i)
		return
	}
	e.used -= e.sent
	e.sent = 0
	if e.used < epsilon && e.used > -epsilon {
		e.used = 0
	}
	e.update(s.rule, *what, now)
	w.note(s, e, i)
}

// tidy forgets keys with nothing to know.
func (w *Ledger) tidy(now int64) {
	for i := range w.shards {
		s := &w.shards[i]
		s.mu.Lock()
		for j := range s.entries {
			if e := &s.entries[j]; e.live && !e.told && e.used == 0 && e.full <= now {
				delete(s.index, e.key)
				*e = entry{}
				s.free = append(s.free, uint32(j))
			}
		}
		s.mu.Unlock()
	}
}
