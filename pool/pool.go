// Package pool is the upstream side of the gateway: pools of targets, the choice among them, and the
// connections to them. A Pool is an edge.Upstream; its members are edge.Peer values.
package pool

import (
	"sync"
	"sync/atomic"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/clock"
	"github.com/penstock-edge/penstock/edge/lib/lanes"
	"github.com/penstock-edge/penstock/edge/lib/metric"
	"github.com/penstock-edge/penstock/pool/breaker"
	"github.com/penstock-edge/penstock/pool/fixed"
	"github.com/penstock-edge/penstock/pool/hashkey"
	"github.com/penstock-edge/penstock/pool/kept"
	"github.com/penstock-edge/penstock/pool/outcome"
	"github.com/penstock-edge/penstock/pool/queue"
	"github.com/penstock-edge/penstock/pool/replay"
	"github.com/penstock-edge/penstock/pool/section"
	"github.com/penstock-edge/penstock/pool/ticket"
)

// Pool is one [pool.NAME] in one generation.
type Pool struct {
	Name   string
	conf   *section.Config
	shared *shared
	set    atomic.Pointer[set] // never nil once the pool is built
	seed   uint64
	key    hashkey.Key
	sticky *ticket.Cookie // nil: clients stick to no target
	// conflicts are answers that would have had two cookies of one name.
	conflicts *lanes.Counter
	zone      string     // the gateway's own
	store     kept.Store // of the last good targets, over restarts

	fallback   edge.Upstream // nil: none
	fallbackTo *fixed.Answer // likewise

	retries    *lanes.Counter
	refused    *lanes.Counter // retries and hedges that the budget refused
	hedges     *lanes.Counter
	hedgeWon   *lanes.Counter
	waits      [queue.Verdicts]*lanes.Counter
	findErrors *lanes.Counter
	// certsRenewed and certsRefused count changes of the files of TLS toward the targets.
	certsRenewed, certsRefused *lanes.Counter
	latency                    *lanes.Histogram
	series                     *series
	metrics                    *metric.Scope

	keeper *keeper // what it does on its own; nil until it starts

	applying sync.Mutex // guards changes of set, and closed
	closed   bool
}

// member is a target in one set of a pool.
type member struct {
	*Target
	pool              *Pool
	index             int // in its set
	spec              section.Target
	weight            int32            // that of spec, or what the admin API has set instead
	host              string           // Host toward the target when the route does not keep the client's
	breaker           *breaker.Breaker // its own; nil: not asked for
	outcomes          [outcome.Count]*lanes.Counter
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
			replay.Remember(x, int64(t.ReplayBytes))
		}
	}
	return m, nil
}

// find chooses the member for the next attempt of x, which has a place there then, and waits for one when
// all are taken. Nobody overtakes waiters.
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
