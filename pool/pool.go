// Package pool is the upstream side of the gateway: pools of targets, the choice among them, and the
// connections to them. A Pool is an edge.Upstream; its members are edge.Peer values.
package pool

import (
	"math/rand/v2"
	"net/netip"
	"strings"
	"time"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/clock"
	"github.com/penstock-edge/penstock/edge/lib/lanes"
	"github.com/penstock-edge/penstock/pool/balance"
)

// Pool is one [pool.NAME] in one generation.
type Pool struct {
	Name    string
	conf    *Config
	members []*member
	policy  balance.Policy
	key     hashKey
	retries *lanes.Counter
	latency *lanes.Histogram
	stop    chan struct{}
}

// member is a target in one generation's pool.
type member struct {
	*Target
	pool     *Pool
	weight   int32
	backup   bool
	host     string // Host toward the target when the route does not keep the client's
	outcomes [outcomes]*lanes.Counter
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
	outcomeClient // the client ended it
	outcomes
)

var outcomeNames = [outcomes]string{"ok", "error", "connect", "reset", "timeout", "protocol", "client"}

// Pick implements edge.Upstream.
func (p *Pool) Pick(x *edge.Exchange) (edge.Peer, *edge.Fault) {
	x.PoolName, x.TargetName = p.Name, ""
	if x.Fresh {
		p.retries.Inc(x.Lane)
	}
	i := p.policy.Pick(p.key.of(x), -1)
	if i < 0 {
		return nil, edge.NoUpstream
	}
	return p.members[i], nil
}

// RoundTrip implements edge.Peer: one attempt on one connection.
func (m *member) RoundTrip(x *edge.Exchange) *edge.Fault {
	c, begun := x.Held.(*conn)
	if !begun {
		start := clock.Now()
		m.began(x)
		var f *edge.Fault
		c, f = m.acquire(x, m.pool.conf)
		x.Times.Connect = clock.Now() - start
		if f != nil {
			return f
		}
		m.hold(x, c)
		c.sendRequest(x, m.host)
	}
	f := c.answer(x)
	if f == nil {
		m.answered(x)
	}
	return f
}

// Start implements edge.Starter: it takes an idle connection, when there is one.
func (m *member) Start(x *edge.Exchange) bool {
	if x.Fresh || x.Loop == nil || m.pool.conf.TLS.Enabled {
		return false
	}
	c := m.reuse(x)
	if c == nil {
		return false
	}
	if c.socket == nil { // made for somebody without a loop
		m.Target.release(c, true, clock.Now())
		return false
	}
	m.began(x)
	m.hold(x, c)
	c.looped = true
	c.sendRequest(x, m.host)
	return c.unsent == nil
}

// Hear implements edge.Starter.
func (m *member) Hear(x *edge.Exchange) (done bool, f *edge.Fault) {
	c := x.Held.(*conn)
	done, f = c.hear(x)
	if done && f == nil {
		m.answered(x)
	}
	return done, f
}

func (m *member) began(x *edge.Exchange) {
	x.TargetName = m.Address
	m.inFlight.Add(1)
}

func (m *member) hold(x *edge.Exchange, c *conn) {
	x.Held = c
	c.x, c.conf, c.inBody = x, m.pool.conf, false
	c.up.reset(x)
}

// answered counts the time from the request to the head of its answer.
func (m *member) answered(x *edge.Exchange) {
	m.pool.latency.Observe(x.Lane, time.Duration(x.Times.Answer-x.Times.Sent+x.Times.Connect))
}

// Release implements edge.Peer.
func (m *member) Release(x *edge.Exchange, f *edge.Fault) {
	m.outcomes[outcomeOf(x, f)].Inc(x.Lane)
	if c, ok := x.Held.(*conn); ok {
		x.Held = nil
		keep := c.finish(f)
		m.Target.release(c, keep, x.Times.Done)
	}
	m.inFlight.Add(-1)
}

func outcomeOf(x *edge.Exchange, f *edge.Fault) outcome {
	switch {
	case f == nil && x.Status() >= 500:
		return outcomeError
	case f == nil:
		return outcomeOK
	case f.Side == edge.SideClient:
		return outcomeClient
	case f.Status == 504:
		return outcomeTimeout
	case f.Retry == edge.RetryUnsent || f.Status == 503:
		return outcomeConnect
	case f == edge.UpstreamProtocol || f == edge.UpstreamUpgrade || f == answerTooLarge:
		return outcomeProtocol
	}
	return outcomeReset
}

// start begins what the pool does on its own: closing connections that were idle too long, and asking again
// for the addresses of names.
func (p *Pool) start() {
	go p.reap()
	for _, m := range p.members {
		if m.name.named() {
			go p.refresh(m)
		}
	}
}

func (p *Pool) close() { close(p.stop) }

func (p *Pool) reap() {
	tick := time.NewTicker(max(p.conf.IdleTimeout/4, 100*time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-p.stop:
			return
		case <-tick.C:
			for _, m := range p.members {
				m.closeIdle(clock.Now() - int64(p.conf.IdleTimeout))
			}
		}
	}
}

// refresh resolves the name of m at once and then every resolve interval, with some jitter so that a fleet
// does not ask in step.
func (p *Pool) refresh(m *member) {
	for {
		err := m.name.resolve(time.Now().Add(p.conf.ResolveInterval))
		m.resolved(p.Name, err)
		wait := p.conf.ResolveInterval
		wait += time.Duration(rand.Int64N(int64(wait)/10 + 1))
		select {
		case <-p.stop:
			return
		case <-time.After(wait):
		}
	}
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
	switch k.kind {
	case "":
		return 0
	case "path":
		return balance.HashKey(k.seed, x.Path)
	case "uri":
		h := balance.HashKey(k.seed, x.Path)
		return balance.HashKey(h, x.Query)
	case "header":
		if v := x.Req.PeekCanonical(k.name); len(v) > 0 {
			return balance.HashKey(k.seed, v)
		}
	case "cookie":
		if v := edge.CookieValue(x.Cookie, k.name); len(v) > 0 {
			return balance.HashKey(k.seed, v)
		}
	case "query":
		if v := edge.QueryValue(x.Query, k.name); len(v) > 0 {
			return balance.HashKey(k.seed, v)
		}
	}
	return k.ofAddr(x.Client)
}

func (k *hashKey) ofAddr(a netip.Addr) uint64 {
	b := a.As16()
	return balance.HashKey(k.seed, b[:])
}
