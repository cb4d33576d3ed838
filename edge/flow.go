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
	// Send writes the answer of x to the client, or carries its tunnel until it ends, waiting for the client
	// where it must. It returns why not all of it was sent; nil when all was.
	Send(x *Exchange) *Fault
	// TrySend is Send as far as it goes without waiting. false: Send has to go on from there.
	TrySend(x *Exchange) (done bool, f *Fault)
}

// Progress is how far an exchange came without waiting.
type Progress uint8

const (
	// Ended: the exchange is over; x.Close tells whether the client's connection must end.
	Ended Progress = iota
	// Pending: the upstream has been asked. LoopConn.Resume is called when there is news, by another
	// goroutine perhaps before the call that returned this has returned: the caller must not touch x any
	// more.
	Pending
	// Blocked: the next step may have to wait; Proceed goes on.
	Blocked
)

// Serve is the life of one request under generation g, which the caller has pinned: it decides the answer,
// has the front send it, and ends the exchange. A front that refuses a head sets x.Fault before it calls.
// It never panics; afterwards x.Close tells whether the client's connection must end.
func Serve(g *Generation, x *Exchange, front Sender) {
	x.MayWait = true
	if begin(g, x) {
		Proceed(x, front)
	}
}

// Try is Serve as far as it goes without waiting.
func Try(g *Generation, x *Exchange, front Sender) Progress {
	if !begin(g, x) {
		return Ended
	}
	return advance(x, front, false)
}

// Resume goes on with an exchange that was Pending.
func Resume(x *Exchange, front Sender) Progress { return advance(x, front, false) }

// Proceed goes on with an exchange that was Blocked, waiting where it must, to its end.
func Proceed(x *Exchange, front Sender) { advance(x, front, true) }

// stage is where an exchange stands.
type stage uint8

const (
	routing   stage = iota // its route is looked for, which takes long
	policing               // its route is known
	looking                // the client may ask
	asking                 // the upstream is to be asked, or has been
	answering              // what to answer is known
	sending                // the answer's head is complete
)

// begin finds the route. It returns false when the exchange has ended with that.
func begin(g *Generation, x *Exchange) bool {
	x.Gen = g
	x.Plan = g.Nowhere
	x.growSlots(g.Slots)
	x.stage = policing
	v := guarded(x, nil, start)
	if v == Wait {
		x.stage = routing
		return true
	}
	return !routed(x, v)
}

// routed takes in what start, or the search for a route, has come to. It reports whether that ends x.
func routed(x *Exchange, v Verdict) bool {
	if v == Answered || x.Fault != nil {
		x.Times.Policy = clock.Now()
		x.stage = answering
	}
	return dropped(x, v)
}

// advance takes x from where it stands to its end; without wait only as far as nobody has to be waited for.
func advance(x *Exchange, front Sender, wait bool) Progress {
	if x.stage == routing {
		if !wait {
			return Blocked
		}
		x.MayWait, x.stage = true, policing
		if routed(x, guarded(x, nil, seek)) {
			return Ended
		}
	}
	if x.stage <= looking {
		if x.Plan.waits && !wait {
			return Blocked
		}
		x.MayWait = wait
		v := guarded(x, nil, policies)
		if v == Wait {
			return Blocked
		}
		x.Times.Policy = clock.Now()
		if dropped(x, v) {
			return Ended
		}
		x.stage = asking
		if v == Answered || x.Fault != nil {
			x.stage = answering
		}
	}
	if x.stage == asking {
		x.MayWait = wait
		part := hear
		if wait {
			part = ask
		}
		switch v := guarded(x, nil, part); {
		case v == pending:
			return Pending
		case v == blocked:
			return Blocked
		case dropped(x, v):
			return Ended
		}
		x.stage = answering
	}
	if x.stage == answering {
		guarded(x, nil, respond)
		x.Times.First = clock.Now()
		x.stage = sending
	}
	if wait {
		guarded(x, front, send)
	} else if guarded(x, front, trySend) == blocked {
		return Blocked
	}
	finish(x, x.cut)
	return Ended
}

// dropped ends an exchange whose verdict is Drop.
func dropped(x *Exchange, v Verdict) bool {
	if v != Drop {
		return false
	}
	x.Close = true
	finish(x, x.Fault)
	return true
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

// start runs the filters of the listener and finds the route.
func start(x *Exchange, _ Sender) Verdict {
	v := run(x.Gen.Early, x)
	if v == Next && x.Fault == nil {
		v = findRoute(x)
	}
	return v
}

func seek(x *Exchange, _ Sender) Verdict { return findRoute(x) }

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

// policies runs the request phases of the route. Those of Lookup and Admit are run again when one of them has
// to wait.
func policies(x *Exchange, _ Sender) Verdict {
	phases := [...]Phase{Access, Rewrite, Lookup, Admit}
	from := 0
	if x.stage == looking {
		from = 2
	}
	for _, ph := range phases[from:] {
		if ph == Lookup {
			x.stage = looking
		}
		if v := run(x.Plan.filters[ph], x); v != Next {
			return v
		}
	}
	return Next
}

// rescue gives the filters a chance to answer in place of the fault, then makes the fault the answer.
func rescue(x *Exchange) {
	if run(x.Plan.filters[Rescue], x) == Answered {
		return
	}
	x.letGo(x.Fault)
	x.problem(x.Fault)
}

// respond makes a fault an answer and shows every answer to the filters, local ones too.
func respond(x *Exchange, _ Sender) Verdict {
	if x.Fault != nil {
		rescue(x)
	}
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

func trySend(x *Exchange, front Sender) Verdict {
	done, f := front.TrySend(x)
	if !done {
		return blocked
	}
	x.cut = f
	return Answered
}

// finish ends x: bodies are closed, the peer is released with f, the filters of Log run, once.
func finish(x *Exchange, f *Fault) {
	if f != nil {
		x.Fault = f
		x.Close = true
	}
	x.Times.Done = clock.Now()
	x.letGo(f)
	if x.In != nil {
		_ = x.In.Close() // what the client still sends is the front's business
	}
	x.End()
	guarded(x, nil, logged)
}

func logged(x *Exchange, _ Sender) Verdict {
	runUp(x.Plan.filters[Log], x)
	return Next
}

// End tells the upstream that the exchange is over. Who asks an upstream outside of Serve calls it at last.
func (x *Exchange) End() {
	x.drop()
	if e := x.Call.Ender; e != nil {
		x.Call.Ender = nil
		e.End(x)
	}
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
