package logline

import "sync"

// sinkLane holds the lines of one lane that the writer has not collected yet.
type sinkLane struct {
	mu     sync.Mutex // guards what follows; never held during input or output
	cur    *chunk     // being filled, nil when nothing waits
	full   []*chunk   // older than cur, oldest first
	closed bool       // the writer has gone: nothing would be collected

	_ [128 - 48]byte // the next lane begins on a cache line of its own
}

// put copies line to the lane and ends it with a newline if it has none. taken is false if there is no room;
// urgent means that the writer should come soon.
func (l *sinkLane) put(p *chunks, line []byte) (taken, urgent bool) {
	need := len(line)
	bare := need == 0 || line[need-1] != '\n'
	if bare {
		need++
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false, false
	}
	if l.cur == nil || cap(l.cur.b)-len(l.cur.b) < need {
		c := p.acquire(need)
		if c == nil {
			return false, true
		}
		if l.cur != nil {
			l.full = append(l.full, l.cur)
			urgent = true
		}
		l.cur = c
	}
	l.cur.b = append(l.cur.b, line...)
	if bare {
		l.cur.b = append(l.cur.b, '\n')
	}
	l.cur.lines++
	return true, urgent
}

// collect appends all chunks of the lane to dst, oldest first, and empties the lane.
func (l *sinkLane) collect(dst []*chunk, last bool) []*chunk {
	l.mu.Lock()
	defer l.mu.Unlock()
	dst = append(dst, l.full...)
	clear(l.full)
	l.full = l.full[:0]
	if l.cur != nil {
		dst = append(dst, l.cur)
		l.cur = nil
	}
	l.closed = l.closed || last
	return dst
}
