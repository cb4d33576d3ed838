package breaker

import (
	"time"

	"github.com/penstock-edge/penstock/edge/config"
)

// Config is [pool.NAME.breaker].
type Config struct {
	// Of the requests in the window, as clients see them; 0: not looked at.
	ErrorPercent float64 `toml:"error_percent" default:"50" min:"0" max:"100"`
	// A request that takes longer is slow; 0s: none is.
	SlowCall time.Duration `toml:"slow_call" default:"0s" max:"1h"`
	// Percent of slow requests; 0: not looked at.
	SlowPercent float64 `toml:"slow_percent" default:"0" min:"0" max:"100"`
	// Failures in a row; 0: not looked at.
	ConsecutiveErrors int `toml:"consecutive_errors" default:"0" min:"0" max:"1000000"`
	// How long requests count.
	Window time.Duration `toml:"window" default:"10s" min:"100ms" max:"1h"`
	// In the window, for the percentages.
	MinRequests int `toml:"min_requests" default:"20" min:"1" max:"1000000"`
	// The first time; doubled each time that the probes fail.
	OpenFor time.Duration `toml:"open_for" default:"5s" min:"10ms" max:"1h"`
	// Bounds the doubling of open_for.
	MaxOpenFor time.Duration `toml:"max_open_for" default:"60s" min:"10ms" max:"24h"`
	// Requests at once that try it then; so many must succeed.
	Probes int `toml:"probes" default:"3" min:"1" max:"1000"`
	// Until all requests pass again; 0s: at once.
	Recovery time.Duration `toml:"recovery" default:"5s" max:"1h"`
	// true: one for each target, beside that of the pool.
	PerTarget bool `toml:"per_target" default:"false"`
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
