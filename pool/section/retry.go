package section

import (
	"strconv"
	"strings"
	"time"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/config"
)

// Retry is [pool.NAME.retry].
type Retry struct {
	Attempts int `toml:"attempts" default:"2" min:"1" max:"10"` // in all, the first one included
	// Also timeout, and ranges such as "502-504".
	On []string `toml:"on" default:"connect,reset,502,503,504"`
	// For one attempt, within response_timeout and the route's timeout; 0s: none.
	PerTryTimeout time.Duration `toml:"per_try_timeout" default:"0s" max:"24h"`
	// What retries and hedges may add to the requests; 3 are always allowed.
	BudgetPercent float64 `toml:"budget_percent" default:"20" min:"0" max:"100"`
	// A wait by chance, at most this, doubled for each further attempt.
	Backoff time.Duration `toml:"backoff" default:"25ms" max:"1m"`
	// Bounds the doubling of backoff.
	MaxBackoff time.Duration `toml:"max_backoff" default:"250ms" max:"1m"`
	// Requests with a larger body have one attempt.
	ReplayBytes config.Size `toml:"replay_bytes" default:"64KiB" max:"16MiB"`

	Table *config.Table `toml:"-"`

	connect, reset, timeout bool
	statuses                [600]bool
}

// compile reads On.
func (r *Retry) compile() {
	for _, on := range r.On {
		switch on {
		case "connect":
			r.connect = true
		case "reset":
			r.reset = true
		case "timeout":
			r.timeout = true
		default:
			if !r.addStatuses(on) {
				r.Table.Errorf("on", "%q is neither connect, reset or timeout nor a status from 400 to 599 or a range "+
					"of them such as \"502-504\"", on)
			}
		}
	}
}

func (r *Retry) addStatuses(text string) bool {
	low, high, ranged := strings.Cut(text, "-")
	if !ranged {
		high = low
	}
	a, err := strconv.Atoi(low)
	b, err2 := strconv.Atoi(high)
	if err != nil || err2 != nil || a < 400 || b > 599 || a > b {
		return false
	}
	for s := a; s <= b; s++ {
		r.statuses[s] = true
	}
	return true
}

// Covers reports whether the policy wants another attempt after f, or after an answer with this status.
func (r *Retry) Covers(f *edge.Fault, status int) bool {
	switch {
	case f == nil:
		return status < len(r.statuses) && r.statuses[status]
	case f == edge.UpstreamConnectTimeout:
		return r.connect || r.timeout
	case f.Retry == edge.RetryUnsent:
		return r.connect
	case f == edge.UpstreamTimeout:
		return r.timeout
	case f == edge.UpstreamTruncated, f.Code == edge.UpstreamReset.Code:
		return r.reset
	}
	return false
}
