package pool

import (
	"sync"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/clock"
	"github.com/penstock-edge/penstock/pool/section"
	"github.com/penstock-edge/penstock/pool/transport"
)

// memory is a transport without a network: the target is a function. A place that is given back is used again
// before a new one is made.
type memory struct {
	address string
	serve   func(s *call, x *edge.Exchange) *edge.Fault // nil: all are answered by 200
	loops   bool                                        // attempts can be made in a loop

	mu   sync.Mutex
	idle []*call
	open int64
}

// call is a place of a memory. It implements transport.Stream and transport.Starter.
type call struct {
	a      transport.Attempt
	of     *memory
	woken  chan struct{} // has a token after Interrupt
	ended  chan *edge.Fault
	served int
	begun  bool
}

func (m *memory) Claim(_ *edge.Exchange, s *transport.Settings) *transport.Attempt {
	m.mu.Lock()
	defer m.mu.Unlock()
	var c *call
	if n := len(m.idle); n > 0 {
		c, m.idle = m.idle[n-1], m.idle[:n-1]
	} else {
		if m.open >= int64(s.MaxPlaces) {
			return nil
		}
		m.open++
		c = &call{of: m, woken: make(chan struct{}, 1), ended: make(chan *edge.Fault, 1)}
		c.a.Stream = c
		if m.loops {
			c.a.Starter = c
		}
	}
	c.a.Settings = s
	return &c.a
}

func (m *memory) Retire(before int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if before > clock.Now() {
		m.open -= int64(len(m.idle))
		m.idle = nil
	}
}

func (m *memory) Open() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.open
}

func (c *call) RoundTrip(x *edge.Exchange) *edge.Fault {
	if c.begun {
		return <-c.ended
	}
	return c.answer(x)
}

func (c *call) answer(x *edge.Exchange) *edge.Fault {
	now := clock.Now()
	x.Times.Sent, x.Times.Answer = now, now
	c.served++
	if c.of.serve != nil {
		if f := c.of.serve(c, x); f != nil {
			return f
		}
	}
	if c.a.Status == 0 {
		c.reply(x, 200)
	}
	x.Times.Answer = clock.Now()
	return nil
}

// reply makes an answer that names the target.
func (c *call) reply(x *edge.Exchange, status int) {
	x.ResetHead()
	x.SetStatus(status)
	x.Resp.Set("X-Target", c.of.address)
	c.a.Status = status
}

// wait blocks until the answer is not needed any more.
func (c *call) wait(x *edge.Exchange) *edge.Fault {
	for !x.Conn.Gone() {
		<-c.woken
	}
	return edge.ClientGone
}

func (c *call) Release(f *edge.Fault) {
	c.a.X, c.begun = nil, false
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	if f != nil {
		c.of.open--
		return
	}
	c.of.idle = append(c.of.idle, c)
}

func (c *call) Interrupt() {
	select {
	case c.woken <- struct{}{}:
	default:
	}
}

// Start answers beside the loop.
func (c *call) Start(x *edge.Exchange) bool {
	c.begun = true
	if c.of.serve == nil {
		c.ended <- c.answer(x)
	} else {
		go func() { c.ended <- c.answer(x) }()
	}
	return true
}

func (c *call) Hear(*edge.Exchange) (edge.Progress, *edge.Fault) {
	select {
	case f := <-c.ended:
		return edge.Ended, f
	default:
	}
	if c.a.Due > 0 && clock.Now() >= c.a.Due {
		return edge.Blocked, nil
	}
	return edge.Pending, nil
}

// inMemory returns a maker of transports that all serve like this, and a map of them by address.
func inMemory(serve func(s *call, x *edge.Exchange) *edge.Fault) (maker, *sync.Map) {
	all := &sync.Map{}
	return func(t *Target, _ *section.Config) transport.Transport {
		m := &memory{address: t.Address, serve: serve}
		all.Store(t.Address, m)
		return m
	}, all
}
