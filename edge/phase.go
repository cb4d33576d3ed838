package edge

import "time"

// Phase is where an exchange stands. At those that are exported features may act.
type Phase uint8

// The phases, in order. Request phases run the list of features downwards; Receive, Respond and Log upwards.
const (
	Early   Phase = iota // listener-wide, the route is not known yet
	routing              // the route is looked for
	Access               // who asks, may they, how often
	Rewrite              // what the upstream will see
	Lookup               // an answer may be at hand already
	Admit                // may the upstream be asked now; local answers
	asking               // attempts are made, until the head of an answer is here
	Receive              // answers of an upstream only, before they are stored
	Rescue               // only after a Fault: a stale answer, a fallback
	Respond              // every answer, cached and local ones too
	sending              // the head of the answer is complete
	ending               // bodies are closed, the peer is released
	Log                  // always, once, when the body has closed
	ended
	phases
)

var phaseNames = [phases]string{
	"early", "routing", "access", "rewrite", "lookup", "admit", "asking", "receive", "rescue", "respond",
	"sending", "ending", "log", "ended",
}

// upwards reports whether the list of features is run upwards.
func (p Phase) upwards() bool { return p == Receive || p == Respond || p == Log }

// after returns the phase that follows p when that has come to v; f is the fault of the exchange.
func (p Phase) after(v Verdict, f *Fault) Phase {
	switch {
	case p >= Rescue: // the answer is known; what is left is done in any case
	case v == Drop:
		return ending
	case v == Answered, f != nil:
		return Rescue
	}
	return p + 1
}

// String returns the phase's name in lower case.
func (p Phase) String() string {
	if p < phases {
		return phaseNames[p]
	}
	return "unknown"
}

// Verdict is what a Filter decides.
type Verdict uint8

const (
	// Next goes on to the following filter.
	Next Verdict = iota
	// Answered: the answer stands in the exchange (Exchange.Answer), or Exchange.Fault is set. The flow jumps to
	// Rescue, and to Respond from there.
	Answered
	// Drop closes the client's connection without an answer.
	Drop
	// Wait: the filter would have to wait for something (a file, another server, a lock that is held
	// for long), which it may not do in a loop. A goroutine runs it again, with Exchange.MayWait set, and goes
	// on from there; the filters before it are not run again.
	Wait
)

// Filter is one feature at one phase of one route. Run is called by many goroutines at once. It runs in the
// loop that serves the other connections too: unless Exchange.MayWait is set it must not wait, and returns
// Wait when it would have to. One that has what it needs at hand goes on in the loop.
type Filter interface {
	Run(x *Exchange) Verdict
}

// Explainer is a filter that can describe what it would do with a request, for `penstock explain`. Nothing
// is sent or changed.
type Explainer interface {
	// Explain returns lines about x, and about an answer that is supposed; nil: none is.
	Explain(x, answer *Exchange) []string
}

// Upstream is whom a route asks: a pool, a split over pools, later a composition or a function.
type Upstream interface {
	// Pick chooses a peer for the next attempt, or returns a Fault when there is none. Unless x.MayWait it
	// returns MustWait when it would have to wait, and is called again when it may. What it takes for the
	// attempt is given back by RoundTrip or Release.
	Pick(x *Exchange) (Peer, *Fault)
}

// Peer is one target of an upstream.
type Peer interface {
	// RoundTrip makes one attempt: the head of the answer into the exchange (TakeHead), its body into x.Out.
	// It goes on with one that Starter.Start has begun.
	RoundTrip(x *Exchange) *Fault
	// Release is called exactly once after each RoundTrip: at once when it failed, when the body has closed
	// on success. f is how the exchange ended with this peer; nil: all went well.
	Release(x *Exchange, f *Fault)
}

// Retrier is a Peer whose upstream has a policy about other attempts.
type Retrier interface {
	// Retry reports whether another attempt follows one that ended with f, or with the answer in x when f is
	// nil, and how long to wait before it. It is called after Release when f is not nil, and before it
	// otherwise.
	Retry(x *Exchange, f *Fault) (again bool, wait time.Duration)
}

// Starter is a Peer whose attempts can be made without waiting in between.
type Starter interface {
	// Start sends the request if that can be done at once. false: RoundTrip has to do it, or to go on with
	// it.
	Start(x *Exchange) bool
	// Receive reads what has come of the answer. Ended means that the attempt is over: the head of the
	// answer is in the exchange and its body in x.Out, or f is what went wrong. After Pending, x.Loop.Resume
	// is called once there is more, and x is no longer the caller's. After Blocked RoundTrip goes on with
	// it.
	Receive(x *Exchange) (o Outcome, f *Fault)
}
