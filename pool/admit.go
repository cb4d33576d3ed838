package pool

import (
	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/pool/guard"
	"github.com/penstock-edge/penstock/pool/replay"
)

// What edge.Call.Flags says of an exchange, besides what package guard notes there.
const (
	isHedge uint32 = 1 << (8 + iota) // a second attempt beside the first
	isRaced                          // the one hedge has been sent, or refused
	isStuck                          // the client has a good cookie already
)

// admit asks the pool's guards before the first attempt. It is called again when it has returned
// edge.MustWait.
func (p *Pool) admit(x *edge.Exchange) *edge.Fault {
	s := p.shared
	g := s.guards.Load()
	if guard.First(x) {
		x.Call.Began = now(x)
		if !g.Any() && p.conf.Retry == nil && p.conf.Hedge == nil {
			return nil
		}
		x.Call.Ender = p
		s.requests.Inc(x.Lane)
		if f := g.Ask(x); f != nil {
			return f
		}
	}
	if g.TryPlace(x) {
		return nil
	}
	wait := p.conf.WaitTimeout // a limit of a newer generation, of which this one knows nothing
	if c := p.conf.Concurrency; c != nil {
		wait = c.QueueTimeout
	}
	return g.Place(x, now(x), wait)
}

// End implements edge.Ender: it gives back what admit took and tells the guards how the exchange ended, as
// the client saw it. A reload may have switched them off in between.
func (p *Pool) End(x *edge.Exchange) {
	replay.Forget(x)
	p.shared.all.End(x, &p.conf.Refusals)
}

// instead answers in place of the pool when it has no target to ask or must not ask: the pool's fallback, if
// it has one, else the fault.
func (p *Pool) instead(x *edge.Exchange, f *edge.Fault) (edge.Peer, *edge.Fault) {
	if f == edge.MustWait || f.Side == edge.SideClient || p.fallback == nil && p.fallbackTo == nil {
		return nil, f
	}
	x.End()
	x.Call = edge.Call{}
	if p.fallbackTo != nil {
		return p.fallbackTo, nil
	}
	return p.fallback.Pick(x)
}
