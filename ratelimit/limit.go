package ratelimit

import (
	"encoding/base64"
	"encoding/binary"
	"strconv"
	"time"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/lanes"
	"github.com/penstock-edge/penstock/ratelimit/bucket"
	"github.com/penstock-edge/penstock/ratelimit/fleet"
	"github.com/penstock-edge/penstock/ratelimit/quota"
)

// meter counts what keys spend. now is in clock nanoseconds.
type meter interface {
	// Peek returns what TryCharge would, and charges nothing.
	Peek(k bucket.Key, now, cost int64) bucket.Result
	// TryCharge charges the cost when the key has as much left.
	TryCharge(k bucket.Key, now, cost int64) bucket.Result
	// Charge charges the cost whatever is left; a negative one is given back.
	Charge(k bucket.Key, now, cost int64)
}

// limit is one [rate_limit.NAME] in one generation.
type limit struct {
	name    string
	conf    *Config
	observe bool
	kept    *state // nil: the limit is wrong
	seed    uint64
	meter   meter               // nil: it counts requests under way
	flights *bucket.Concurrency // nil: it counts requests
	shared  *fleet.Ledger       // the meter, when gateways share it
	asks    bool                // the server is asked before an answer
	counted *statuses           // of answers whose requests are charged; nil: all are, beforehand
	policy  []byte              // the item of RateLimit-Policy, up to the partition key
	quoted  []byte              // its name as a string of a structured field
	window  int64               // seconds, for the policy
	quota   int64

	decisions [decisions]*lanes.Counter
	fallbacks *lanes.Counter
	missing   *lanes.Counter // requests without a part of the key
	badCosts  *lanes.Counter // answers whose cost is not a number
}

// decision is what a limit decided, for penstock_rate_limit_decisions_total.
type decision uint8

const (
	allowed decision = iota
	limited
	observed // it would have been refused
	skipped  // on the allow-list, exempted, or without a part of the key
	denied   // on the deny-list
	banned   // refused early, for what it did before
	unknown  // refused, as the server of the fleet did not answer
	keyless  // refused, as a part of the key is missing
	decisions
)

var decisionNames = [decisions]string{"allowed", "limited", "observed", "skipped", "denied", "banned",
	"unknown", "missing"}

// describe makes what of the fields never changes. Names of limits are letters, digits, _ and -, so they
// need no escapes.
func (l *limit) describe() {
	l.quoted = []byte(`"` + l.name + `"`)
	c := l.conf
	switch {
	case l.flights != nil:
		l.quota = c.MaxInFlight
		l.policy = append(l.quoted[:len(l.quoted):len(l.quoted)], (`;q=` + strconv.FormatInt(l.quota, 10) +
			`;qu="concurrent-requests"`)...)
		return
	case c.Algorithm == "quota":
		l.quota, l.window = c.Quota, quotaWindow[c.period]
	case c.Algorithm == "sliding_window":
		l.quota, l.window = c.Rate.Count, int64(c.Rate.Per/time.Second)
	default:
		// A bucket that is full again after a while gives its burst in that while.
		l.quota = c.Burst
		full := float64(c.Burst) * c.Rate.Per.Seconds() / float64(c.Rate.Count)
		l.window = max(int64(full+0.999), 1)
	}
	l.policy = append(l.quoted[:len(l.quoted):len(l.quoted)], (`;q=` + strconv.FormatInt(l.quota, 10) +
		`;w=` + strconv.FormatInt(l.window, 10))...)
}

// quotaWindow is what a policy says of a period. Months differ, and the field has room for one number.
var quotaWindow = [...]int64{quota.Hour: 3600, quota.Day: 24 * 3600, quota.Month: 30 * 24 * 3600}

// hash returns the key of some bytes. Those that leave this process, or outlive it, are the same anywhere.
func (l *limit) hash(b []byte) bucket.Key {
	if l.shared != nil || l.conf.Algorithm == "quota" {
		return fleet.HashKey(b)
	}
	return bucket.HashKey(l.seed, b)
}

// appendPartition appends a partition key: bytes that tell keys apart and nothing of what is in them. It is
// written twice, and encoded once.
func (u *use) appendPartition(dst []byte) []byte {
	if u.partition[0] == 0 {
		raw := partitionOf(u.key)
		base64.StdEncoding.Encode(u.partition[:], raw[:])
	}
	return append(append(append(dst, `;pk=:`...), u.partition[:]...), ':')
}

func partitionOf(k bucket.Key) (raw [8]byte) {
	binary.LittleEndian.PutUint64(raw[:], k[0])
	return raw
}

// seconds rounds up: a client that waits so long is not refused again.
func seconds(d time.Duration) int64 {
	n := int64(d / time.Second)
	if d%time.Second > 0 {
		n++
	}
	return n
}

// use is what one limit had to say about an exchange.
type use struct {
	limit *limit
	key   bucket.Key
	cost  int64
	said  int64 // the cost that the answer has in it; or unsaid
	last  bucket.Result
	taken bool
	// partition is the key as clients see it; all 0 before it is needed.
	partition [12]byte
	// decided without the server of the fleet
	fellBack bool
	gone     bool // refused, because the server did not answer and on_failure is deny
}

// record is what the limits of a route remember of an exchange, in its slot.
type record struct {
	uses    []use
	refused *use        // by which the request was refused; nil: by none
	lacks   *edge.Fault // why it was not looked at; nil: it was
	scratch []byte
}

func (l *limit) say(d decision, x *edge.Exchange) { l.decisions[d].Inc(x.Lane) }
