// Package pool is the upstream side of the gateway: pools of targets, the choice among them, and the
// connections to them. A Pool is an edge.Upstream; its members are edge.Peer values.
package pool

import (
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/clock"
	"github.com/penstock-edge/penstock/edge/lib/header"
	"github.com/penstock-edge/penstock/edge/lib/lanes"
	"github.com/penstock-edge/penstock/edge/lib/metric"
	"github.com/penstock-edge/penstock/pool/balance"
	"github.com/penstock-edge/penstock/pool/breaker"
	"github.com/penstock-edge/penstock/pool/queue"
)

// Pool is one [pool.NAME] in one generation.
type Pool struct {
	Name   string
	conf   *Config
	shared *shared
	set    atomic.Pointer[set] // never nil once the pool is built
	seed   uint64
	key    hashKey
	sticky *sticky
	// conflicts are answers that would have had two cookies of one name.
	conflicts *lanes.Counter
	zone      string // the gateway's own
	// stateDir is where the last good targets are kept over restarts; "": nowhere.
	stateDir string

	fallback   edge.Upstream // nil: none
	fallbackTo *fixed        // likewise

	retries    *lanes.Counter
	refused    *lanes.Counter // retries and hedges that the budget refused
	hedges     *lanes.Counter
	hedgeWon   *lanes.Counter
	mended     *lanes.Counter // heads of answers that were not sent on as they came
	waits      [queue.Verdicts]*lanes.Counter
	findErrors *lanes.Counter
	// certsRenewed and certsRefused count changes of the files of TLS toward the targets.
	certsRenewed, certsRefused *lanes.Counter
	// stateErrors counts what of stateDir could not be read or written.
	stateErrors *lanes.Counter
	latency     *lanes.Histogram
	series      *series
	metrics     *metric.Scope

	keeper *keeper // what it does on its own; nil until it starts

	applying sync.Mutex // guards changes of set, and closed
	closed   bool
}

// member is a target in one set of a pool.
type member struct {
	*Target
	pool              *Pool
	index             int // in its set
	spec              targetSpec
	weight            int32            // that of spec, or what the admin API has set instead
	host              string           // Host toward the target when the route does not keep the client's
	breaker           *breaker.Breaker // its own; nil: not asked for
	outcomes          [outcomes]*lanes.Counter
	ejections         *lanes.Counter
	cookie, cookieTLS []byte // Set-Cookie that ties a client to it, and the same for clients with TLS
	unhook            func() // lets go of the target and its series
}

// Pick implements edge.Upstream.
func (p *Pool) Pick(x *edge.Exchange) (edge.Peer, *edge.Fault) {
	x.PoolName, x.TargetName = p.Name, ""
	if x.Attempts == 0 {
		if f := p.admit(x); f != nil {
			return p.instead(x, f)
		}
	}
	m, f := p.find(x)
	switch {
	case f == edge.NoUpstream && x.Attempts == 0:
		return p.instead(x, f)
	case f != nil:
		return nil, f
	case x.Attempts > 0:
		p.retries.Inc(x.Lane)
	}
	if t := p.conf.Retry; t != nil {
		if t.PerTryTimeout > 0 {
			x.TryDeadline = now(x) + int64(t.PerTryTimeout)
		}
		if x.In != nil && x.Attempts == 0 {
			remember(x, int64(t.ReplayBytes))
		}
	}
	return m, nil
}

// find chooses the member for the next attempt of x, which has a place there then, and waits for one when all
// are taken. Nobody overtakes those who wait.
func (p *Pool) find(x *edge.Exchange) (*member, *edge.Fault) {
	if !x.MayWait && p.conf.TLS.Enabled {
		return nil, edge.MustWait // as everything under TLS; what is read of an idle connection too
	}
	if p.shared.queue.Len() == 0 {
		m, full := p.choose(x)
		switch {
		case m != nil:
			return m, nil
		case !full:
			return nil, edge.NoUpstream
		}
	}
	if !x.MayWait {
		return nil, edge.MustWait
	}
	return p.wait(x)
}

// now is the time for what happens before an attempt. Before the first one it is known without asking.
func now(x *edge.Exchange) int64 {
	if x.Attempts == 0 && x.Times.Policy > 0 && !x.MayWait {
		return x.Times.Policy
	}
	return clock.Now()
}

// RoundTrip implements edge.Peer: one attempt on one connection, or a race of two.
func (m *member) RoundTrip(x *edge.Exchange) *edge.Fault {
	if after, ok := m.hedgeAfter(x); ok {
		return m.race(x, after)
	}
	return m.try(x)
}

// try makes the attempt, or goes on with the one that Start has begun.
func (m *member) try(x *edge.Exchange) *edge.Fault {
	c := begun(x)
	if c == nil {
		var f *edge.Fault
		if c, f = m.connect(x); f != nil {
			return f
		}
		c.sendRequest(x, m.host)
	}
	f := c.answer(x)
	if f == nil {
		m.answered(x, c)
	}
	return f
}

// begun returns the connection on which the attempt of x is under way; nil: it has not begun.
func begun(x *edge.Exchange) *conn {
	if c, ok := x.Held.(*conn); ok && !c.claimed {
		return c
	}
	return nil
}

// connect begins the attempt on the connection that x has claimed, or opens the one it has room for.
func (m *member) connect(x *edge.Exchange) (*conn, *edge.Fault) {
	start := clock.Now()
	c, _ := x.Held.(*conn)
	if c == nil && x.Held != room {
		panic("BUG: an attempt without a place")
	}
	m.began(x)
	x.Held = nil
	if c == nil {
		var f *edge.Fault
		c, f = m.open(x, m.pool.conf)
		x.Times.Connect = clock.Now() - start
		if f != nil {
			return nil, f
		}
	} else {
		x.Times.Connect = 0
	}
	m.hold(x, c)
	if f := c.calledOff(start); f != nil { // nobody needs the answer: nothing is sent
		x.Held, c.x, c.up.x = nil, nil, nil
		m.Target.release(c, true, clock.Now())
		return nil, f
	}
	return c, nil
}

// calledOff tells why nothing is to be sent any more: another attempt of a race has won, or the client has
// left while the connection was opened, since start. One that has closed its side at once may only have said
// that it sends nothing more.
func (c *conn) calledOff(start int64) *edge.Fault {
	switch {
	case !c.x.Conn.Gone():
		return nil
	case c.raced:
		return lost
	case clock.Now()-start >= int64(firstSlice):
		return edge.ClientGone
	}
	return nil
}

// Start implements edge.Starter: it uses the idle connection, if Pick has claimed one.
func (m *member) Start(x *edge.Exchange) bool {
	c, ok := x.Held.(*conn)
	if !ok || x.Loop == nil || c.socket == nil { // no socket: made for somebody without a loop
		return false
	}
	m.began(x)
	m.hold(x, c)
	if m.pool.conf.Hedge != nil {
		c.hedgeAt = m.hedgeAt(x)
	}
	c.looped = true
	c.sendRequest(x, m.host)
	return c.unsent == nil
}

// Hear implements edge.Starter.
func (m *member) Hear(x *edge.Exchange) (edge.Outcome, *edge.Fault) {
	c := x.Held.(*conn)
	p, f := c.hear(x)
	if p == edge.Ended && f == nil {
		m.answered(x, c)
	}
	return p, f
}

func (m *member) began(x *edge.Exchange) {
	x.TargetName = m.Address
	m.inFlight.Add(1)
}

func (m *member) hold(x *edge.Exchange, c *conn) {
	x.Held, c.claimed = c, false
	c.by, c.x, c.conf, c.inBody, c.hedgeAt = m, x, m.pool.conf, false, 0
	c.interims, c.worked, c.mended = 0, 0, false
	c.br.SetMax(int(c.conf.MaxResponseHeaderBytes))
	c.permit = breaker.Permit(x.Call.Permits[1])
	c.up.reset(x)
	c.announce()
}

// answered counts the time from the request to the head of its answer.
func (m *member) answered(x *edge.Exchange, c *conn) {
	p := m.pool
	x.Call.Status = c.m.Status
	took := time.Duration(x.Times.Answer - x.Times.Sent + x.Times.Connect)
	p.latency.Observe(x.Lane, took)
	if c.m.Status < 500 {
		m.pace.Observe(x.Times.Answer, took)
	} else {
		m.pace.Fail(x.Times.Answer, took)
	}
	if p.shared.observes.Load() && x.Call.Flags&isHedge == 0 {
		p.shared.recent.observe(x.Lane, took)
	}
	x.Call.Stick = nil
	if p.sticky != nil && !m.spec.backup {
		p.sticky.mark(x, m)
	}
}

// Release implements edge.Peer.
func (m *member) Release(x *edge.Exchange, f *edge.Fault) {
	if x.Held == released {
		x.Held = nil
		return
	}
	if m.unclaim(x) { // after a panic
		return
	}
	status, permit := 0, breaker.Permit(x.Call.Permits[1])
	c, _ := x.Held.(*conn)
	if c != nil {
		m = c.by // a race may have been won by another
		// Another attempt may have been made since: its answer was put aside.
		status, permit = c.m.Status, c.permit
	}
	m.account(x, status, f, permit)
	if c != nil {
		x.Held = nil
		keep := c.finish(f)
		at := x.Times.Done
		if at == 0 {
			at = clock.Now() // another attempt follows
		}
		m.inFlight.Add(-1) // before the connection can be used again
		m.Target.release(c, keep, at)
		return
	}
	m.inFlight.Add(-1)
	m.pool.shared.freed(m.Target) // the place has been given up before, and looked taken
}

// released stands in Exchange.Held when the attempts of a race have been let go of already.
var released = new(struct{ _ int })

// account counts how an attempt ended.
func (m *member) account(x *edge.Exchange, status int, f *edge.Fault, permit breaker.Permit) {
	o := outcomeOf(x, status, f)
	m.outcomes[o].Inc(x.Lane)
	if b := m.breaker; b != nil {
		m.tell(b, permit, x, o)
	}
	if o == outcomeOK {
		m.streak.Success()
	} else if o <= outcomeProtocol {
		m.stumbled(x, o, f, status)
	}
}

// outcome is how an attempt ended, for penstock_upstream_requests_total.
type outcome uint8

const (
	outcomeOK      outcome = iota // an answer below 500 came whole
	outcomeError                  // an answer of 500 and above
	outcomeConnect                // no connection
	outcomeReset                  // closed or cut
	outcomeTimeout
	outcomeProtocol
	outcomeClient    // the client ended it
	outcomeCancelled // another attempt of a race was faster
	outcomeGateway   // the gateway could not make it
	outcomes
)

var outcomeNames = [outcomes]string{"ok", "error", "connect", "reset", "timeout", "protocol", "client",
	"cancelled", "gateway"}

func outcomeOf(x *edge.Exchange, status int, f *edge.Fault) outcome {
	switch {
	case f == nil && status >= 500:
		return outcomeError
	case f == nil:
		return outcomeOK
	case f == lost:
		return outcomeCancelled
	case f == edge.Exhausted:
		return outcomeGateway
	case f.Side != edge.SideUpstream:
		return outcomeClient
	case f.Status == 504:
		return outcomeTimeout
	case f.Retry == edge.RetryUnsent && f != edge.UpstreamUnsent:
		return outcomeConnect
	case f == edge.UpstreamProtocol || f == edge.UpstreamUpgrade || f == answerTooLarge:
		return outcomeProtocol
	}
	return outcomeReset
}

// hashKey is what consistent_hash chooses by.
type hashKey struct {
	kind string // "ip", "path", "uri", "header", "cookie", "query"; empty: the policy needs none
	name []byte
	seed uint64
}

func newHashKey(conf *Config, seed uint64) hashKey {
	if conf.Balance != "consistent_hash" {
		return hashKey{}
	}
	kind, name, _ := strings.Cut(conf.HashKey, ":")
	return hashKey{kind: kind, name: []byte(name), seed: seed}
}

// of returns the key of x; a request without the named part is keyed by its address.
func (k *hashKey) of(x *edge.Exchange) uint64 {
	var room [128]byte
	switch k.kind {
	case "":
		return 0
	case "path":
		return balance.HashKey(k.seed, x.Path)
	case "uri":
		h := balance.HashKey(k.seed, x.Path)
		return balance.HashKey(h, x.Query)
	case "header":
		if v := x.Req.AppendKey(room[:0], header.View(k.name)); len(v) > 0 {
			return balance.HashKey(k.seed, v)
		}
	case "cookie":
		if v := x.AppendCookie(room[:0], k.name); len(v) > 0 {
			return balance.HashKey(k.seed, v)
		}
	case "query":
		if v := x.AppendParam(room[:0], k.name); len(v) > 0 {
			return balance.HashKey(k.seed, v)
		}
	}
	return k.ofAddr(x.Client)
}

func (k *hashKey) ofAddr(a netip.Addr) uint64 {
	b := a.As16()
	return balance.HashKey(k.seed, b[:])
}
