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
	serve   server // nil: all are answered by 200
	loops   bool   // attempts can be made in a loop

	mu   sync.Mutex
	idle []*call
	open int64
}

// server answers an attempt by a status, or ends it with a fault.
type server func(c *call, x *edge.Exchange) (status int, f *edge.Fault)

// call is a place of a memory. It implements transport.Stream and transport.Starter.
type call struct {
	a      transport.Attempt
	of     *memory
	woken  chan struct{} // has a token after Interrupt
	ended  chan outcomeOfCall
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
		c = &call{of: m, woken: make(chan struct{}, 1), ended: make(chan outcomeOfCall, 1)}
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
	if !c.begun {
		x.Times.Sent = clock.Now()
		c.ended <- c.serve(x)
	}
	return c.reply(x, <-c.ended)
}

func (c *call) serve(x *edge.Exchange) outcomeOfCall {
	c.served++
	if c.of.serve == nil {
		return outcomeOfCall{200, nil}
	}
	status, f := c.of.serve(c, x)
	return outcomeOfCall{status, f}
}

// outcomeOfCall is what the target has said.
type outcomeOfCall struct {
	status int
	f      *edge.Fault
}

// reply makes the answer, which names the target, that of x.
func (c *call) reply(x *edge.Exchange, o outcomeOfCall) *edge.Fault {
	if o.f != nil {
		return o.f
	}
	x.ResetHead()
	x.SetStatus(o.status)
	x.Resp.Set("X-Target", c.of.address)
	c.a.Status, x.Times.Answer = o.status, clock.Now()
	return nil
}

// wait blocks until the answer is not needed any more.
func (c *call) wait(x *edge.Exchange) (int, *edge.Fault) {
	for !x.Conn.Gone() {
		<-c.woken
	}
	return 0, edge.ClientGone
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
	c.begun, x.Times.Sent = true, clock.Now()
	go func() { c.ended <- c.serve(x) }()
	return true
}

func (c *call) Receive(x *edge.Exchange) (edge.Outcome, *edge.Fault) {
	select {
	case o := <-c.ended:
		return edge.Ended, c.reply(x, o)
	default:
	}
	if c.a.Due > 0 && clock.Now() >= c.a.Due {
		return edge.Blocked, nil
	}
	return edge.Pending, nil
}

// inMemory returns a maker of transports that all serve like this.
func inMemory(serve server, loops bool) maker {
	return func(t *Target, _ *section.Config) transport.Transport {
		return &memory{address: t.Address, serve: serve, loops: loops}
	}
}
