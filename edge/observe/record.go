package observe

import (
	"time"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/lanes"
)

// recorder is the Log filter of one route.
type recorder struct {
	route    string
	classes  [5]*lanes.Counter // 1xx to 5xx
	seconds  *lanes.Histogram
	received *lanes.Counter // body bytes
	sent     *lanes.Counter
	rejected rejections
	phases   *phaseMetrics
	log      *accessLog // nil: off
}

// Run counts the exchange and writes its line; the exchange has ended.
func (r *recorder) Run(x *edge.Exchange) edge.Verdict {
	status, code := outcome(x)
	took := measure(&x.Times)
	r.classes[class(status)].Inc(x.Lane)
	r.seconds.Observe(x.Lane, took.total)
	addBytes(r.received, x.Lane, x.InBytes)
	addBytes(r.sent, x.Lane, x.OutBytes)
	if code != "" {
		r.rejected.count(x.Lane, code)
	}
	r.phases.observe(x.Lane, &took)
	if r.log != nil {
		r.log.write(x, r.route, status, code, &took)
	}
	return edge.Next
}

func addBytes(c *lanes.Counter, lane uint32, n int64) {
	if n > 0 {
		c.Add(lane, uint64(n))
	}
}

// statusDropped is logged for a connection that was closed on purpose without an answer: not registered, the
// field's custom for the log.
const statusDropped = 444

// outcome returns the status of the answer and the code of what went wrong, "" when nothing did. The status
// is the one that was sent, even if the body was cut afterwards; that of the fault when nothing was sent.
func outcome(x *edge.Exchange) (status int, code string) {
	if x.Fault != nil {
		status, code = x.Fault.Status, x.Fault.Code
	}
	if x.Times.First != 0 {
		return x.Status(), code // 101 for a tunnel
	}
	if x.Fault == nil {
		return statusDropped, "dropped"
	}
	return status, code
}

// class returns the index of a status in recorder.classes. Beyond 599 nothing is registered: such an answer
// is counted as a broken one.
func class(status int) int { return min(max(status/100, 1), 5) - 1 }

// The phases of an exchange.
const (
	phaseHead    = iota // reading the request's head
	phasePolicy         // request phases, before the upstream is asked
	phaseConnect        // connecting and waiting for a connection, last attempt
	phaseWait           // from the request's head to the answer's, last attempt
	phaseBody           // sending the answer, until the body has closed
	phaseCount
)

// durations is how long an exchange and its phases took; -1 for a phase that was not reached.
type durations struct {
	total time.Duration
	phase [phaseCount]time.Duration
}

func measure(t *edge.Timing) durations {
	d := durations{total: time.Duration(max(t.Done-t.Start, 0))}
	d.phase = [phaseCount]time.Duration{
		phaseHead:    between(t.Start, t.Head),
		phasePolicy:  between(t.Head, t.Policy),
		phaseConnect: -1,
		phaseWait:    between(t.Sent, t.First),
		phaseBody:    between(t.First, t.Done),
	}
	if t.Connect > 0 || t.Wait > 0 || t.Sent != 0 {
		d.phase[phaseConnect] = time.Duration(t.Connect + t.Wait)
	}
	return d
}

// between is -1 when one of the two points was not reached.
func between(from, to int64) time.Duration {
	if from == 0 || to == 0 {
		return -1
	}
	return time.Duration(max(to-from, 0))
}
