package deadline

import (
	"math"
	"time"

	"github.com/penstock-edge/penstock/edge"
)

// readDeadline shortens the exchange's time to what its client allows, and has the rest passed on to
// targets.
type readDeadline struct{}

const (
	timeoutName = "X-Request-Timeout"
	grpcName    = "grpc-timeout"
)

// Run implements edge.Filter. Of several lines the shortest time holds. What cannot be understood is ignored
// and not passed on: the route's own timeout holds.
func (readDeadline) Run(x *edge.Exchange) edge.Verdict {
	x.PassDeadline = edge.DeadlineSeconds
	if x.Req.Has(timeoutName) {
		for v := range x.Req.All(timeoutName) {
			d, units, ok := parseTimeout(v)
			if units {
				x.PassDeadline = edge.DeadlineMillis
			}
			if ok {
				shorten(x, d)
			}
		}
		x.Req.Del(timeoutName)
	}
	if x.Req.Has(grpcName) {
		for v := range x.Req.All(grpcName) {
			if d, ok := parseGRPC(v); ok {
				x.PassDeadline |= edge.DeadlineGRPC
				shorten(x, d)
			}
		}
		x.Req.Del(grpcName)
	}
	if x.Deadline > 0 && x.Deadline <= x.Times.Start {
		x.Fault = tooLate
		return edge.Answered
	}
	return edge.Next
}

// tooLate is the fault of a client that waits no time at all.
var tooLate = &edge.Fault{Status: 504, Side: edge.SideClient, Code: "deadline_exceeded",
	Detail: "The time that the client gave for the answer was over before the upstream could be asked."}

func shorten(x *edge.Exchange, d time.Duration) {
	at := x.Times.Start + int64(d)
	if x.Deadline == 0 || at < x.Deadline {
		x.Deadline = at
	}
}

// longest is the longest time that is taken for one; beyond it the client has no deadline.
const longest = 24 * time.Hour

// parseTimeout reads seconds, with a fraction or without, or a number with ms, s or m behind it.
func parseTimeout(v []byte) (d time.Duration, units, ok bool) {
	i, number, scale, dots := 0, 0.0, 1.0, 0
	for ; i < len(v) && i < 20 && (v[i] >= '0' && v[i] <= '9' || v[i] == '.'); i++ {
		if v[i] == '.' {
			dots++
			continue
		}
		number = number*10 + float64(v[i]-'0')
		if dots > 0 {
			scale *= 10
		}
	}
	if i == 0 || dots > 1 || dots == i {
		return 0, false, false
	}
	unit := time.Second
	switch string(v[i:]) {
	case "":
	case "ms":
		unit, units = time.Millisecond, true
	case "s":
		units = true
	case "m":
		unit, units = time.Minute, true
	default:
		return 0, false, false
	}
	n := number / scale * float64(unit)
	return time.Duration(min(n, float64(longest))), units, n <= float64(longest)
}

// parseGRPC reads a grpc-timeout: at most eight digits and a unit.
func parseGRPC(v []byte) (time.Duration, bool) {
	if len(v) < 2 || len(v) > 9 {
		return 0, false
	}
	n := int64(0)
	for _, c := range v[:len(v)-1] {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	unit := time.Duration(0)
	switch v[len(v)-1] {
	case 'H':
		unit = time.Hour
	case 'M':
		unit = time.Minute
	case 'S':
		unit = time.Second
	case 'm':
		unit = time.Millisecond
	case 'u':
		unit = time.Microsecond
	case 'n':
		unit = time.Nanosecond
	}
	if unit == 0 || n > math.MaxInt64/int64(unit) || time.Duration(n)*unit > longest {
		return 0, false
	}
	return time.Duration(n) * unit, true
}
