package lookup

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/penstock-edge/penstock/cache/cachetest"
	"github.com/penstock-edge/penstock/edge"
)

// origin is a cache before a target that a test scripts, with a clock of the test's own.
type origin struct {
	t   testing.TB
	c   *Cache
	l   *Filter
	now atomic.Int64 // milliseconds since 1970

	mu    sync.Mutex
	asked []*edge.Exchange // copies of what has reached the target
	says  func(x *edge.Exchange) *edge.Fault
}

func newOrigin(t testing.TB, keys string) *origin {
	return over(t, newCache(t, keys))
}

// over returns an origin behind a cache that is there.
func over(t testing.TB, c *Cache) *origin {
	o := &origin{t: t, c: c}
	o.now.Store(1_790_000_000_000)
	o.c.Tick = func() int64 { return o.now.Load() * int64(time.Millisecond) }
	o.c.WallAt = func(now int64) int64 { return now }
	o.l = &Filter{Cache: o.c, Route: "r"}
	return o
}

// pass lets time go by.
func (o *origin) pass(d time.Duration) { o.now.Add(d.Milliseconds()) }

// date returns the time of the test so much later as a field has it.
func (o *origin) date(after time.Duration) string {
	return time.UnixMilli(o.now.Load()).Add(after).UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT")
}

// reply makes the target answer so from now on.
func (o *origin) reply(status int, body string, lines ...string) {
	o.says = func(x *edge.Exchange) *edge.Fault {
		answer(x, status, body, lines...)
		return nil
	}
}

// answer makes x an answer with a body in memory.
func answer(x *edge.Exchange, status int, body string, lines ...string) {
	head := ""
	for _, l := range lines {
		head += l + "\r\n"
	}
	x.SetHead(status, nil, []byte(head))
	x.Out, x.OutLen = nil, 0
	if body != "" {
		x.Out, x.OutLen = edge.NewBytesBody([]byte(body)), int64(len(body))
	}
}

func (o *origin) Pick(*edge.Exchange) (edge.Peer, *edge.Fault) { return o, nil }
func (o *origin) Release(*edge.Exchange, *edge.Fault)          {}

// RoundTrip implements edge.Peer.
func (o *origin) RoundTrip(x *edge.Exchange) *edge.Fault {
	y := new(edge.Exchange)
	x.Fork(y, nil)
	o.mu.Lock()
	o.asked = append(o.asked, y)
	o.mu.Unlock()
	return o.says(x)
}

// count returns how many requests have reached the target.
func (o *origin) count() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.asked)
}

// last returns the latest request that has reached the target.
func (o *origin) last() *edge.Exchange {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.asked[len(o.asked)-1]
}

// got is what a client has got.
type got struct {
	status int
	body   string
	err    error  // of the body
	as     string // Cache-Status, without the name of the cache
	x      *edge.Exchange
	lines  string
}

// field returns a field of the answer.
func (g got) field(name string) string {
	for line := range strings.SplitSeq(g.lines, "\r\n") {
		if n, v, _ := strings.Cut(line, ": "); strings.EqualFold(n, name) {
			return v
		}
	}
	return ""
}

// request returns a GET as cachetest does, that is asked of the origin now; a first word is another method.
func (o *origin) request(target string, fields ...string) *edge.Exchange {
	method, path, other := strings.Cut(target, " ")
	if !other {
		method, path = "GET", target
	}
	x := cachetest.Request(path, fields...)
	x.Method = []byte(method)
	x.MayWait, x.Plan, x.Conn = true, &edge.Plan{Upstream: o}, edge.Discard{}
	x.SetOutPath(x.Path)
	if len(x.Req.Get("Cookie")) > 0 {
		x.KeepRaw(x.Query, x.HasQuery, x.Req.Get("Cookie"), nil)
	}
	x.Times.Head = o.now.Load() * int64(time.Millisecond)
	return x
}

// ask sends a request and reads its answer.
func (o *origin) ask(target string, fields ...string) got {
	return o.finish(o.begin(o.request(target, fields...)))
}

// begin is what the flow does with a request until there is an answer.
func (o *origin) begin(x *edge.Exchange) *edge.Exchange {
	if o.l.Run(x) == edge.Next {
		if x.Fault = o.RoundTrip(x); x.Fault == nil {
			(&rescueAnswer{cache: o.c}).Run(x)
		}
	}
	if x.Fault != nil {
		(&rescueFault{cache: o.c}).Run(x)
	}
	return x
}

// finish is what the flow does with an answer.
func (o *origin) finish(x *edge.Exchange) got {
	(&addFields{cache: o.c}).Run(x)
	g := got{status: x.Status(), x: x, lines: string(x.Resp.Lines())}
	if x.Fault != nil {
		g.status = x.Fault.Status
	}
	g.as = strings.TrimPrefix(strings.TrimPrefix(g.field("Cache-Status"), "penstock"), "; ")
	if x.Out != nil {
		b, err := io.ReadAll(x.Out)
		g.body, g.err = string(b), err
		_ = x.Out.Close() // bodies of these tests close well
		if x.OutLen >= 0 && err == nil && x.Fault == nil && int64(len(b)) != x.OutLen {
			o.t.Errorf("%d bytes of a body of %d", len(b), x.OutLen)
		}
	}
	(&done{cache: o.c, route: uncounted}).Run(x)
	return g
}

// hits reports whether an answer is one that the target was not asked for.
func (g got) hits() bool { return strings.HasPrefix(g.as, "hit") }

// counting makes the target answer with a number that is one higher each time.
func counting(o *origin, lines ...string) {
	n := 0
	o.says = func(x *edge.Exchange) *edge.Fault {
		n++
		answer(x, 200, fmt.Sprint("answer ", n), lines...)
		return nil
	}
}

// fragile is a body that breaks off after some pieces.
type fragile struct {
	edge.Opaque
	pieces []string
	end    error
}

// Read implements edge.Body.
func (b *fragile) Read(p []byte) (int, error) {
	if len(b.pieces) == 0 {
		return 0, b.end
	}
	n := copy(p, b.pieces[0])
	if b.pieces[0] = b.pieces[0][n:]; b.pieces[0] == "" {
		b.pieces = b.pieces[1:]
	}
	return n, nil
}

// Ready implements edge.Body.
func (*fragile) Ready() bool { return false }

var errBroken = errors.New("the connection was reset")
