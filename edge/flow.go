package edge

import (
	"fmt"
	"log/slog"
	"runtime/debug"

	"github.com/penstock-edge/penstock/edge/lib/clock"
	"github.com/penstock-edge/penstock/edge/route"
)

// Sender is the front's half of an exchange.
type Sender interface {
	// Send writes the answer of x to the client, or carries its tunnel until it ends. f is why not all of it
	// was sent; nil: all was. Without wait it goes as far as it can without waiting; after Blocked it is
	// called again with wait, and goes on from there.
	Send(x *Exchange, wait bool) (o Outcome, f *Fault)
}

// Outcome is how far an exchange, or an attempt, or a connection came.
type Outcome uint8

const (
	// Ended: it is over. For an exchange, x.Close is then true if the client's connection must end.
	Ended Outcome = iota
	// Pending: it goes on when there is news, by another goroutine perhaps before the call that returned this
	// has returned. It is not the caller's any more.
	Pending
	// Blocked: the next step may have to wait. A goroutine goes on with it.
	Blocked
)

// Serve is the life of one request under generation g, which the caller has pinned: it decides the answer,
// has the front send it, and ends the exchange. A front that refuses a head sets x.Fault before it calls.
// Without wait, in a loop, it goes as far as it can without waiting; Resume goes on from there. It never
// panics.
func Serve(g *Generation, x *Exchange, front Sender, wait bool) Outcome {
	x.Gen, x.Plan = g, g.Nowhere
	x.growSlots(g.Slots)
	x.enter(Early)
	return advance(x, front, wait)
}

// Resume goes on with an exchange that was Pending or, with wait, one that was Blocked.
func Resume(x *Exchange, front Sender, wait bool) Outcome { return advance(x, front, wait) }

// advance takes x from where it stands to its end, through the phases in their order, and is the only place
// that knows the order. Loop and goroutine run the same steps: a step that would have to wait in the loop
// leaves x where it stands, and a goroutine repeats it. Without a front the caller sends the answer itself:
// advance returns when there is one.
func advance(x *Exchange, front Sender, wait bool) (o Outcome) {
	var panicked *Fault
	defer func() { o = x.survive(panicked, front, wait, o) }()
	defer Contain(&panicked)
	x.MayWait = wait
	for end := endOf(front); x.at < end; {
		v, came := Next, Ended
		switch x.at {
		case Early:
			v = x.run(x.Gen.Early)
		case routing:
			v = findRoute(x)
		case Access, Rewrite, Lookup, Admit, Receive:
			v = x.run(x.Plan.filters[x.at])
		case asking:
			came = ask(x)
		case Rescue:
			v = rescue(x)
		case Respond:
			v = respond(x)
		case sending:
			came, x.cut = front.Send(x, wait)
		case ending:
			finish(x)
		case Log:
			v = x.run(x.Plan.filters[Log])
		}
		switch {
		case came != Ended:
			return came
		case v == Wait:
			return x.blocked()
		}
		p := x.at.after(v, x.Fault)
		if p == ending && x.at != sending { // dropped
			x.Close, x.cut = true, x.Fault
		}
		x.enter(p)
	}
	return Ended
}

// endOf returns the phase that ends advance.
func endOf(front Sender) Phase {
	if front == nil {
		return Rescue
	}
	return ended
}

// blocked is the outcome of a filter that would have to wait.
func (x *Exchange) blocked() Outcome {
	if x.MayWait {
		panic("BUG: a filter of " + x.at.String() + " that may wait does not")
	}
	return Blocked
}

// enter goes on to the first step of p.
func (x *Exchange) enter(p Phase) {
	switch {
	case x.at <= Admit && p > Admit:
		x.Times.Policy = clock.Now()
	case p == sending:
		x.Times.First = clock.Now()
	}
	x.at, x.next = p, 0
}

// survive takes x to its end after a panic, which became f; nil: there was none, and o is how far x came.
func (x *Exchange) survive(f *Fault, front Sender, wait bool, o Outcome) Outcome {
	if f == nil {
		return o
	}
	x.recovered(f)
	return advance(x, front, wait)
}

// recovered goes on after a panic, which became f: it is the answer as long as none has begun, and cuts one
// that has.
func (x *Exchange) recovered(f *Fault) {
	x.Close = true
	switch {
	case x.at < Rescue:
		x.letGo(f)
		x.problem(f)
		x.enter(Rescue)
	case x.at < sending:
		x.letGo(f)
		x.problem(f)
		x.enter(sending)
	default:
		x.cut, x.Fault = f, f
		x.enter(x.at + 1)
	}
}

// Contain is deferred where a panic must not end the process: it is written to the log and becomes *f.
// Outside the flow, only goroutines working on behalf of an exchange need it.
func Contain(f **Fault) {
	if p := recover(); p != nil {
		slog.Error("panic", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
		*f = Internal
	}
}

// run runs the filters of a phase, from the one that is next, until one decides.
func (x *Exchange) run(fs []Filter) Verdict {
	for ; x.next < len(fs); x.next++ {
		if v := fs[x.next].Run(x); v != Next {
			return v
		}
	}
	return Next
}

// RouteKey returns what the route of x is found by.
func (x *Exchange) RouteKey() route.Key {
	return route.Key{
		Method: x.Method, Host: x.Host, Path: x.Path, RawQuery: x.Query, Header: &x.Req,
		Authority: x.Authority, Scheme: x.Scheme, Listener: x.Listener,
	}
}

func findRoute(x *Exchange) Verdict {
	x.OutPath = x.Path
	if string(x.Path) == "*" { // OPTIONS about the gateway itself (RFC 9110 9.3.7)
		x.Answer(204, "", nil)
		return Answered
	}
	x.key = x.RouteKey()
	x.key.Hasty = !x.MayWait
	x.Gen.Routes.Lookup(&x.key, &x.Match)
	switch x.Match.Status {
	case route.Unsettled:
		return Wait
	case 200:
		x.Plan = x.Gen.Plans[x.Match.Rule]
		if t := x.Plan.Timeout; t > 0 {
			x.Deadline = x.Times.Start + int64(t)
		}
	case 405:
		x.Fault = MethodNotAllowed
	default:
		x.Fault = NoRoute
	}
	return Next
}

// rescue gives the filters a chance to answer in place of the fault, then makes the fault the answer.
func rescue(x *Exchange) Verdict {
	if x.Fault == nil {
		return Next
	}
	v := x.run(x.Plan.filters[Rescue])
	if v != Answered && v != Wait {
		x.letGo(x.Fault)
		x.problem(x.Fault)
	}
	return v
}

// respond shows every answer to the filters, local ones too. A tunnel is none.
func respond(x *Exchange) Verdict {
	if x.Tunnel != nil {
		return Next
	}
	return x.run(x.Plan.filters[Respond])
}

// finish closes the bodies and releases the peer. x.cut is why not all of the answer was sent.
func finish(x *Exchange) {
	if x.cut != nil {
		x.Fault = x.cut
		x.Close = true
	}
	x.Times.Done = clock.Now()
	x.letGo(x.cut)
	if x.In != nil {
		_ = x.In.Close() // what the client still sends is the front's business
	}
	x.End()
}

// End notifies the upstream that the exchange is over. Whoever asks an upstream outside Serve must call it
// in the end.
func (x *Exchange) End() {
	x.dropStashed()
	if e := x.Call.Ender; e != nil {
		x.Call.Ender = nil
		e.End(x)
	}
}

// letGo closes the answer's body and releases the peer; f is how it went.
func (x *Exchange) letGo(f *Fault) {
	x.closeOut()
	if p := x.peer; p != nil {
		x.peer = nil
		p.Release(x, f)
	}
}

func (x *Exchange) growSlots(n int) {
	if cap(x.Slot) < n {
		x.Slot = make([]any, n)
	}
	x.Slot = x.Slot[:n]
}
