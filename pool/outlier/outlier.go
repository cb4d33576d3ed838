// Package outlier finds the targets of a pool that are worse than the others, by what live traffic shows, and
// takes them out for a while.
package outlier

import (
	"sync/atomic"
	"time"

	"github.com/penstock-edge/penstock/edge/config"
)

// Config is [pool.NAME.outlier].
type Config struct {
	// Answers of 500 and above in a row; 0: not looked at.
	ConsecutiveErrors int `toml:"consecutive_errors" default:"5" min:"0" max:"1000000"`
	// Broken, refused or timed out attempts in a row; 0: not looked at.
	ConsecutiveGatewayErrors int `toml:"consecutive_gateway_errors" default:"5" min:"0" max:"1000000"`
	// Between two looks at percentages and latency.
	Interval time.Duration `toml:"interval" default:"1s" min:"100ms" max:"10m"`
	// In an interval, for a look at them.
	MinRequests int `toml:"min_requests" default:"20" min:"1" max:"1000000"`
	// Of the answers of an interval; 0: not looked at.
	ErrorPercent float64 `toml:"error_percent" default:"0" min:"0" max:"100"`
	// Standard deviations below the mean of the pool; 0: not looked at.
	SuccessRateStdev float64 `toml:"success_rate_stdev" default:"0" min:"0" max:"10"`
	// Times the median of the pool; 0: not looked at.
	LatencyFactor float64 `toml:"latency_factor" default:"0" min:"0" max:"1000"`
	// A target faster than this is no outlier by latency.
	LatencyMin time.Duration `toml:"latency_min" default:"50ms" min:"0s" max:"1h"`
	// The first time; it grows with each repetition.
	EjectFor time.Duration `toml:"eject_for" default:"30s" min:"10ms" max:"24h"`
	// Bounds the growth of eject_for.
	MaxEjectFor time.Duration `toml:"max_eject_for" default:"5m" min:"10ms" max:"24h"`
	// Of the targets; one may always go while another is left.
	MaxEjectedPercent int `toml:"max_ejected_percent" default:"50" min:"0" max:"100"`
}

// Validate records combinations that mean nothing.
func (c *Config) Validate(t *config.Table) {
	if c.MaxEjectFor < c.EjectFor {
		t.Errorf("max_eject_for", "must not be shorter than eject_for")
	}
	if c.LatencyFactor > 0 && c.LatencyFactor < 1.5 {
		t.Errorf("latency_factor", "below 1.5 ordinary differences would count; 0 switches it off")
	}
	if c.ConsecutiveErrors == 0 && c.ConsecutiveGatewayErrors == 0 && c.ErrorPercent == 0 &&
		c.SuccessRateStdev == 0 && c.LatencyFactor == 0 {
		t.Errorf("consecutive_errors", "nothing ejects a target here: switch one of the ways to find outliers on")
	}
}

// Kind is whose error an error is.
type Kind uint8

// The kinds.
const (
	TargetError  Kind = iota // the target answered with 500 or above
	GatewayError             // no connection, a broken one, no answer in time, or one that breaks HTTP
)

// Streak counts errors in a row, of each kind for itself. The zero value is ready; it takes no lock.
type Streak struct{ runs [2]atomic.Int64 }

// Success ends all runs.
func (s *Streak) Success() {
	for i := range s.runs {
		if s.runs[i].Load() != 0 {
			s.runs[i].Store(0)
		}
	}
}

// Error counts an error and returns how many of its kind came in a row.
func (s *Streak) Error(k Kind) int { return int(s.runs[k].Add(1)) }

// Tripped reports whether run errors of kind k in a row are too many.
func Tripped(c *Config, k Kind, run int) bool {
	most := c.ConsecutiveErrors
	if k == GatewayError {
		most = c.ConsecutiveGatewayErrors
	}
	return most > 0 && run >= most
}

// Allowed reports whether one more of total targets may be taken out when ejected are out already: never more
// than max_ejected_percent, but one of two or more if it is not 0, and never the last.
func Allowed(c *Config, total, ejected int) bool {
	if total < 2 || c.MaxEjectedPercent == 0 {
		return false
	}
	return ejected == 0 || ejected+1 < total && (ejected+1)*100 <= c.MaxEjectedPercent*total
}
