// Package transport is the line between the policies of a pool and the way in which bytes travel to a target.
// Policies choose a target, wait for a place, repeat and race attempts, and count how they ended; a Transport
// gives out places and carries attempts in them. Neither knows anything else of the other.
package transport

import (
	"time"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/config/clienttls"
	"github.com/penstock-edge/penstock/edge/lib/lanes"
)

// Transport is the way to one target. It outlives generations; any number of goroutines may use it.
type Transport interface {
	// Claim takes a place for an attempt of x, or, when x is nil, for whoever waits for one. It does not block.
	// nil: all places are in use. The caller owns the attempt until its Stream is released.
	Claim(x *edge.Exchange, s *Settings) *Attempt
	// Retire closes the connections that have been idle since the moment before, in clock nanoseconds, or
	// longer.
	Retire(before int64)
	// Open returns how many connections there are, those being opened and idle ones included.
	Open() int64
}

// Stream carries the attempts that are made in one place, one at a time.
type Stream interface {
	// RoundTrip makes the attempt, or goes on with the one that Start has begun: the head of the answer into x
	// (TakeHead), its status into Attempt.Status, its body into x.Out. It asks x.Conn every now and then
	// whether the answer is still needed. The place stays taken until Release, whatever comes of it.
	RoundTrip(x *edge.Exchange) *edge.Fault
	// Release gives the place back, used or not. f is how the attempt ended; nil: all went well. The attempt
	// is not the caller's any more.
	Release(f *edge.Fault)
	// Interrupt makes RoundTrip, in another goroutine, look at x.Conn soon. It may be called at any time, also
	// after Release.
	Interrupt()
}

// Starter is the Stream of an attempt that can be made in a loop.
type Starter interface {
	// Start sends the request if that can be done at once. false: RoundTrip has to go on with it.
	Start(x *edge.Exchange) bool
	// Receive reads what has come of the answer, as in edge.Starter. Blocked means that Attempt.Due has
	// come: Receive may be called again once Due is another.
	Receive(x *edge.Exchange) (edge.Outcome, *edge.Fault)
}

// Attempt is a place of a transport and the attempt that is made in it. The transport makes it, together
// with its Stream, and lends it as often as it likes; whoever has claimed it owns it.
type Attempt struct {
	// The transport sets these before it lends the attempt.
	Stream  Stream
	Starter Starter // nil: the attempt needs a goroutine

	// The caller sets these before it uses Stream or Starter.
	X        *edge.Exchange // which it serves; nil: it has not begun. A race changes it between two calls
	Settings *Settings      // of the generation that serves X
	Host     string         // toward the target, where the route does not keep the client's
	// Raced: X is one of two attempts for one request: its wait may be interrupted, and interim
	// answers are nobody's yet.
	Raced bool
	// Due is when Receive returns Blocked, in clock nanoseconds; 0: never.
	Due int64

	// Status is that of the answer's head, set by the transport; 0: none has come.
	Status int

	// What follows is the caller's own, kept with the attempt.
	By     edge.Peer // the peer it is made for
	Permit uint64    // of the target's own breaker
}

// Settings are what a generation wants of the transports of a pool. They do not change.
type Settings struct {
	ConnectTimeout, ResponseTimeout time.Duration
	// StreamIdleTimeout: how long a body or a tunnel may be silent.
	StreamIdleTimeout time.Duration
	MaxPlaces         int // attempts at one target at a time
	// MaxHeadBytes and MaxHeadFields bound the head of an answer.
	MaxHeadBytes, MaxHeadFields int
	TLS                         *clienttls.Settings
	Mended                      *lanes.Counter // heads that were not sent on as they came
}
