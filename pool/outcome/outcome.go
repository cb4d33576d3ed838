// Package outcome names how attempts end.
package outcome

import (
	"strconv"
	"sync/atomic"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/clock"
)

// Lost is how the attempt ends that another one of its race has beaten.
var Lost = &edge.Fault{Status: 499, Side: edge.SideGateway, Code: "hedge_lost"}

// Outcome is how an attempt ended, for penstock_upstream_requests_total.
type Outcome uint8

const (
	OK        Outcome = iota // an answer below 500 came whole
	Error                    // an answer of 500 and above
	Connect                  // no connection
	Reset                    // closed or cut
	Timeout                  // no answer in time
	Protocol                 // an answer that breaks the rules
	Client                   // the client ended it
	Cancelled                // another attempt of a race was faster
	Gateway                  // the gateway could not make it
	Count                    // how many there are
)

var names = [Count]string{"ok", "error", "connect", "reset", "timeout", "protocol", "client",
	"cancelled", "gateway"}

// String returns the outcome as metrics call it.
func (o Outcome) String() string { return names[o] }

// Failed reports whether the target is to blame.
func (o Outcome) Failed() bool { return o != OK && o <= Protocol }

// Of returns the outcome of an attempt that ended with f, or with an answer of this status when f is nil.
func Of(status int, f *edge.Fault) Outcome {
	switch {
	case f == nil && status >= 500:
		return Error
	case f == nil:
		return OK
	case f == Lost:
		return Cancelled
	case f == edge.Exhausted:
		return Gateway
	case f.Side != edge.SideUpstream:
		return Client
	case f.Status == 504:
		return Timeout
	case f.Retry == edge.RetryUnsent && f != edge.UpstreamUnsent:
		return Connect
	case f.Code == edge.UpstreamProtocol.Code || f == edge.UpstreamUpgrade:
		return Protocol
	}
	return Reset
}

// Last is the last failed attempt, noted without allocating.
type Last struct {
	at     atomic.Int64 // clock nanoseconds; 0: there was none
	fault  atomic.Pointer[edge.Fault]
	status atomic.Int32 // when fault is nil
}

// Note keeps f, or the status of an answer when f is nil.
func (l *Last) Note(f *edge.Fault, status int) {
	l.fault.Store(f)
	l.status.Store(int32(status))
	l.at.Store(clock.Now())
}

// Get returns when it was, in clock nanoseconds, and what happened.
func (l *Last) Get() (at int64, what string) {
	if f := l.fault.Load(); f != nil {
		return l.at.Load(), f.Code
	}
	return l.at.Load(), "status " + strconv.Itoa(int(l.status.Load()))
}
