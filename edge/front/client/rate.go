package client

import "time"

// rateGrace is how long a sender may stay below the minimum rate before it is cut.
const rateGrace = 5 * time.Second

// rateSilence is how long one pause may last, however much came before it.
const rateSilence = time.Minute

// Rate measures how fast a client moves bytes while the gateway waits for it. Waiting for others does not
// count, so a slow honest transfer lives however long it takes.
type Rate struct {
	bytes  int64
	waited int64 // nanoseconds
}

// Allowed returns how many nanoseconds the gateway may wait for the client now. rate is the minimum in bytes
// a second; 0 means none.
func (p *Rate) Allowed(rate int64) int64 {
	if rate <= 0 {
		return int64(24 * time.Hour)
	}
	earned := float64(p.bytes) / float64(rate) * float64(time.Second)
	if limit := float64(24 * time.Hour); earned > limit {
		earned = limit
	}
	return min(int64(rateGrace)+int64(earned)-p.waited, int64(rateSilence))
}

// Add counts n bytes, and the nanoseconds that the gateway has waited for them.
func (p *Rate) Add(n, waited int64) {
	p.bytes += n
	p.waited += waited
}
