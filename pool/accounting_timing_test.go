package pool

import (
	"testing"
	"time"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/descriptors"
	"github.com/penstock-edge/penstock/edge/lib/lanes"
	"github.com/penstock-edge/penstock/pool/breaker"
	"github.com/penstock-edge/penstock/pool/limit"
	"github.com/penstock-edge/penstock/pool/section"
	"github.com/penstock-edge/penstock/pool/transport"
)

// guarded returns a member of a pool with all guards on, without a network.
func guarded() *member {
	s := newShared("app", &descriptors.Budget{}, overHTTP1)
	watch := &breaker.Config{ErrorPercent: 50, SlowCall: time.Second, SlowPercent: 50, Window: 10 * time.Second,
		MinRequests: 20, OpenFor: time.Second, MaxOpenFor: time.Second, Probes: 1, PerTarget: true}
	s.all.Breaker.Configure(watch)
	s.all.Limiter.Configure(&limit.Config{Limit: 1000, Queue: 10})
	s.guards.Store(&s.all)
	s.observes.Store(true)
	p := &Pool{Name: "app", conf: testConfig(10, 10), shared: s, latency: lanes.NewHistogram([]time.Duration{
		time.Millisecond, 10 * time.Millisecond, 100 * time.Millisecond, time.Second})}
	t, _ := s.acquire("a", section.Target{Address: "127.0.0.1:1", Weight: 1}, testConfig(4, 0))
	t.own.Configure(watch)
	m := &member{Target: t, pool: p, breaker: t.own, host: "h"}
	for i := range m.outcomes {
		m.outcomes[i] = lanes.NewCounter()
	}
	return m
}

// What is counted about one attempt that went well, with everything on: latency for the choice, for hedges and limits
// and for the metrics, the target's own breaker, errors in a row, outcomes.
func BenchmarkOutcome(b *testing.B) {
	m := guarded()
	x := newExchange()
	a := &transport.Attempt{Status: 200}
	x.Attempts = 1
	now := int64(time.Second)
	for b.Loop() {
		now += 10_000
		x.Times = edge.Timing{Policy: now, Done: now + 2_000_000, Trip: edge.Trip{Sent: now, Answer: now + 2_000_000}}
		permit := m.breaker.Admit(now)
		m.answered(x, a)
		m.account(x, 200, nil, permit)
	}
}

// The same from the admission of an exchange by all guards to its end.
func BenchmarkGuardsAndOutcome(b *testing.B) {
	m := guarded()
	x := newExchange()
	a := &transport.Attempt{Status: 200}
	now := int64(time.Second)
	for b.Loop() {
		now += 10_000
		x.Call = edge.Call{}
		x.Times = edge.Timing{Policy: now, Done: now + 2_000_000, Trip: edge.Trip{Sent: now, Answer: now + 2_000_000}}
		if f := m.pool.admit(x); f != nil {
			b.Fatal(f.Code)
		}
		m.permit(x)
		x.Attempts = 1
		m.answered(x, a)
		m.account(x, 200, nil, breaker.Permit(x.Call.Permits[1]))
		m.pool.End(x)
		x.Attempts = 0
	}
}
