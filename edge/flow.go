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
	// Send writes the answer of x to the client, or carries its tunnel until it ends. It returns why not all
	// of it was sent; nil when all was.
	Send(x *Exchange) *Fault
}

// Serve is the life of one request under generation g, which the caller has pinned: it decides the answer,
// has the front send it, and ends the exchange. A front that refuses a head sets x.Fault before it calls.
// It never panics; afterwards x.Close tells whether the client's connection must end.
func Serve(g *Generation, x *Exchange, front Sender) {
	x.Gen = g
	x.Plan = g.Nowhere
	x.growSlots(g.Slots)
	if guarded(x, nil, decide) == Drop {
		x.Close = true
		finish(x, x.Fault)
		return
	}
	guarded(x, nil, respond)
	x.Times.First = clock.Now()
	guarded(x, front, send)
	finish(x, x.cut)
}

// guarded runs one part of the story; a panic in it becomes a 500, or a cut
// connection when the answer had begun.
func guarded(x *Exchange, front Sender, part func(*Exchange, Sender) Verdict) (v Verdict) {
	var f *Fault
	defer func() {
		if f != nil {
			x.cut = f
			x.letGo(f)
			x.problem(f)
			v = Answered
		}
	}()
	defer Contain(&f)
	return part(x, front)
}

// Contain is deferred where a panic must not end the process: it is written to the log and becomes *f.
// Besides Serve only goroutines need it that work for an exchange on their own.
func Contain(f **Fault) {
	if p := recover(); p != nil {
		slog.Error("panic", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
		*f = Internal
	}
}

// decide finds the answer: refused already, answered by a filter, or asked of the upstream.
func decide(x *Exchange, _ Sender) Verdict {
	v := run(x.Gen.Early, x)
	if v == Drop {
		return Drop
	}
	if v == Next && x.Fault == nil {
		v = findRoute(x)
	}
	if v == Next && x.Fault == nil {
		v = policies(x)
	}
	x.Times.Policy = clock.Now()
	if v == Next && x.Fault == nil {
		x.Fault = attempts(x)
		v = receive(x)
	}
	if v == Drop {
		return Drop
	}
	if x.Fault != nil {
		rescue(x)
	}
	return Answered
}

// run runs the filters of one phase downwards until one decides.
func run(fs []Filter, x *Exchange) Verdict {
	for _, f := range fs {
		if v := f.Run(x); v != Next {
			return v
		}
	}
	return Next
}

// runUp runs the filters of an answer's phase, which go up the list.
func runUp(fs []Filter, x *Exchange) Verdict {
	for i := len(fs) - 1; i >= 0; i-- {
		if v := fs[i].Run(x); v != Next {
			return v
		}
	}
	return Next
}

func findRoute(x *Exchange) Verdict {
	x.OutPath = x.Path
	if string(x.Path) == "*" { // OPTIONS about the gateway itself (RFC 9110 9.3.7)
		x.Answer(204, "", nil)
		return Answered
	}
	x.key = route.Key{Method: x.Method, Host: x.Host, Path: x.Path, RawQuery: x.Query, Header: &x.Req}
	x.Gen.Routes.Lookup(&x.key, &x.Match)
	switch x.Match.Status {
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

// policies runs the request phases of the route.
func policies(x *Exchange) Verdict {
	for _, ph := range [...]Phase{Access, Rewrite, Lookup, Admit} {
		if v := run(x.Plan.filters[ph], x); v != Next {
			return v
		}
	}
	return Next
}

// attempts asks the upstream until one attempt succeeds or none may follow.
func attempts(x *Exchange) *Fault {
	if g, ok := x.In.(Gatherer); ok {
		if f := g.Gather(); f != nil {
			return f
		}
	}
	for {
		peer, f := x.Plan.Upstream.Pick(x)
		if f != nil {
			return f
		}
		x.Attempts++
		x.peer = peer
		if f = peer.RoundTrip(x); f == nil {
			return nil
		}
		x.letGo(f)
		if !again(x, f) {
			return f
		}
		x.Resp.Reset()
	}
}

// again tells whether another attempt may follow f. Only what is safe for every request is repeated: a reused
// connection that died before the first byte of the answer, once, on a fresh one.
func again(x *Exchange, f *Fault) bool {
	if f.Retry != RetryReused || x.Fresh || !x.Replayable() {
		return false
	}
	x.Fresh = true
	return true
}

// receive shows an upstream's answer to the filters that come before the cache.
func receive(x *Exchange) Verdict {
	if x.Fault != nil || x.Tunnel != nil {
		return Next
	}
	return runUp(x.Plan.filters[Receive], x)
}

// rescue gives the filters a chance to answer in place of the fault, then makes the fault the answer.
func rescue(x *Exchange) {
	if run(x.Plan.filters[Rescue], x) == Answered {
		return
	}
	x.letGo(x.Fault)
	x.problem(x.Fault)
}

// respond shows every answer to the filters, local ones too.
func respond(x *Exchange, _ Sender) Verdict {
	if x.Tunnel != nil {
		return Answered
	}
	runUp(x.Plan.filters[Respond], x)
	return Answered
}

func send(x *Exchange, front Sender) Verdict {
	x.cut = front.Send(x)
	return Answered
}

// finish ends x: bodies are closed, the peer is released with f, the filters of Log run, once.
func finish(x *Exchange, f *Fault) {
	if f != nil {
		x.Fault = f
		x.Close = true
	}
	x.letGo(f)
	if x.In != nil {
		_ = x.In.Close() // what the client still sends is the front's business
	}
	x.Times.Done = clock.Now()
	guarded(x, nil, logged)
}

func logged(x *Exchange, _ Sender) Verdict {
	runUp(x.Plan.filters[Log], x)
	return Next
}

// letGo closes the answer's body and releases the peer with how it went.
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
