package section

import (
	"strconv"
	"strings"
	"time"

	"github.com/penstock-edge/penstock/edge/config"
)

// Hedge is [pool.NAME.hedge].
type Hedge struct {
	// p50 to p99.9 of the last answers, or a duration.
	After string `toml:"after" default:"p95"`

	Table *config.Table `toml:"-"`

	Quantile float64       `toml:"-"` // 0: fixed
	Fixed    time.Duration `toml:"-"` // 0: a quantile
	Percent  float64       `toml:"-"` // of the requests that may be hedged
}

// compile reads After. percent is the pool's budget.
func (h *Hedge) compile(percent float64) {
	h.Percent = percent
	if p, ok := strings.CutPrefix(h.After, "p"); ok {
		if n, err := strconv.ParseFloat(p, 64); err == nil && n >= 50 && n <= 99.9 {
			h.Quantile, h.Percent = n/100, min(percent, 100-n)
			return
		}
	} else if d, err := time.ParseDuration(h.After); err == nil && d >= time.Millisecond && d <= time.Minute {
		h.Fixed = d
		return
	}
	h.Table.Errorf("after", "must be a quantile from \"p50\" to \"p99.9\" or a duration from \"1ms\" to "+
		"\"1m\", is %q", h.After)
}
