package breaker

import (
	"time"

	"github.com/penstock-edge/penstock/edge/config"
)

// Config is [pool.NAME.breaker].
type Config struct {
	// ErrorPercent of the calls in the window may fail, SlowPercent may take SlowCall and longer; 0: not looked
	// at, and neither is ConsecutiveErrors.
	ErrorPercent      float64       `toml:"error_percent" default:"50" min:"0" max:"100"`
	SlowCall          time.Duration `toml:"slow_call" default:"0s" max:"1h"`
	SlowPercent       float64       `toml:"slow_percent" default:"0" min:"0" max:"100"`
	ConsecutiveErrors int           `toml:"consecutive_errors" default:"0" min:"0" max:"1000000"`
	// Window is how long calls count; percentages say nothing before MinRequests of them.
	Window      time.Duration `toml:"window" default:"10s" min:"100ms" max:"1h"`
	MinRequests int           `toml:"min_requests" default:"20" min:"1" max:"1000000"`
	OpenFor     time.Duration `toml:"open_for" default:"5s" min:"10ms" max:"1h"`
	MaxOpenFor  time.Duration `toml:"max_open_for" default:"60s" min:"10ms" max:"24h"`
	// Probes are let in at once, and must all succeed.
	Probes    int           `toml:"probes" default:"3" min:"1" max:"1000"`
	Recovery  time.Duration `toml:"recovery" default:"5s" max:"1h"` // 0: all requests at once
	PerTarget bool          `toml:"per_target" default:"false"`
}

// Validate records combinations that mean nothing.
func (c *Config) Validate(t *config.Table) {
	switch {
	case c.SlowPercent > 0 && c.SlowCall == 0:
		t.Errorf("slow_percent", "needs slow_call: how long a call takes that is slow")
	case c.SlowCall > 0 && c.SlowPercent == 0:
		t.Errorf("slow_call", "needs slow_percent: how many slow calls open the breaker")
	case c.ErrorPercent == 0 && c.SlowPercent == 0 && c.ConsecutiveErrors == 0:
		t.Errorf("error_percent", "nothing opens this breaker: set error_percent, slow_percent or "+
			"consecutive_errors")
	case c.MaxOpenFor < c.OpenFor:
		t.Errorf("max_open_for", "must not be shorter than open_for")
	}
}
