package h1

import (
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/clock"
	"github.com/penstock-edge/penstock/edge/lib/wire"
)

// takeHead reads the head of the final answer.
func (c *conn) takeHead(x *edge.Exchange) *edge.Fault {
	for {
		if f := c.readHead(x); f != nil {
			return f
		}
		k := codecs.Get().(*codec)
		final, f := c.checkHead(x, k)
		if cap(k.clean) > maxAnswer || cap(k.tidy) > maxAnswer {
			k.clean, k.tidy = nil, nil // a rare giant head must not stay for ever
		}
		codecs.Put(k)
		if final || f != nil {
			return f
		}
	}
}

// checkHead takes the head in the buffer. It returns false when that is of an interim answer.
func (c *conn) checkHead(x *edge.Exchange, k *codec) (final bool, f *edge.Fault) {
	size := c.m.Len
	head := c.br.Buffered()[:size]
	err := c.scan(x, k, head)
	final = c.m.Status >= 200 || c.m.Status == 101
	switch {
	case err != nil:
	case c.m.Status == 101 && !offered(x.Upgrade, c.m.Upgrade):
		err = errSwitched
	case !final && !c.mayInterim():
		err = errInterims
	}
	if err != nil {
		c.refuse(x, err, head)
		if errors.Is(err, errSwitched) {
			return true, edge.UpstreamUpgrade
		}
		return true, edge.UpstreamProtocol
	}
	c.br.Discard(size)
	if final {
		return true, c.accept(x, k)
	}
	c.reused = false // the request was seen: it must not be repeated in silence
	if c.m.Status == 100 && c.awaits {
		c.sendBody(x) // reading it tells the client likewise
	}
	c.passInterim(x, k.clean)
	return false, nil
}

// Rules that an answer breaks which is good HTTP.
var (
	errSwitched = errors.New("answer of the upstream: protocols are switched that nobody asked for")
	errInterims = errors.New("answer of the upstream: too many interim answers before the final one")
)

// scan checks a head, as it came or, if need be, with its lines ended and unfolded.
func (c *conn) scan(x *edge.Exchange, k *codec, head []byte) error {
	most := c.a.Settings.MaxHeadFields
	var v *wire.Violation
	k.clean, v = wire.ScanResponse(k.clean[:0], head, &c.m, most)
	if v == nil {
		return nil
	}
	if !v.Mendable() {
		return v
	}
	if k.tidy, v = wire.Mend(k.tidy[:0], head); v != nil {
		return v
	}
	if k.clean, v = wire.ScanResponse(k.clean[:0], k.tidy, &c.m, most); v != nil {
		return v
	}
	c.mended = true
	c.a.Settings.Mended.Inc(x.Lane)
	return nil
}

const (
	// maxInterim is how many 1xx answers may come before the final one in quick succession.
	maxInterim = 16
	// workEach is how far apart 102 answers must be that count as signs of work, without bound.
	workEach = int64(time.Second)
)

// mayInterim counts an interim answer, and notes when the target announced that it is at work.
func (c *conn) mayInterim() bool {
	now := c.now
	if !c.looped {
		now = clock.Now()
	}
	if c.m.Status != 102 || c.worked > 0 && now-c.worked < workEach {
		c.interims++
	}
	if c.m.Status == 102 {
		c.worked = now
	}
	return c.interims <= maxInterim
}

// passInterim sends an interim answer on to a client that may get one (RFC 9110 15.2). The gateway has its
// own 100, and an attempt of a race is nobody's answer yet.
func (c *conn) passInterim(x *edge.Exchange, head []byte) {
	if c.m.Status == 100 || x.Minor == 0 || c.a.Raced {
		return
	}
	if to, ok := x.Conn.(edge.InterimConn); ok {
		to.Interim(head)
	}
}

// refuse logs which rule an answer breaks, and how it begins.
func (c *conn) refuse(x *edge.Exchange, rule error, answer []byte) {
	x.Cause = rule
	c.t.common.refusals.log(c.t.common.Pool, c.t.address, rule, answer)
}

// refusals bounds what is logged of refused answers.
type refusals struct {
	since  atomic.Int64  // when the second began that lines are counted in, clock nanoseconds; 0: never
	lines  atomic.Int64  // in it
	unsaid atomic.Uint64 // refusals since the last line
}

const (
	refusalLines = 10 // a second
	refusalBytes = 64 // of an answer
)

func (r *refusals) log(pool, target string, rule error, answer []byte) {
	now, since := clock.Now(), r.since.Load()
	if since == 0 || now-since >= int64(time.Second) {
		if r.since.CompareAndSwap(since, max(now, 1)) {
			r.lines.Store(0)
		}
	}
	if r.lines.Add(1) > refusalLines {
		r.unsaid.Add(1)
		return
	}
	slog.Warn("answer of a target refused", "pool", pool, "target", target, "rule", rule.Error(),
		"begins", fmt.Sprintf("%q", answer[:min(len(answer), refusalBytes)]), "unsaid", r.unsaid.Swap(0))
}
