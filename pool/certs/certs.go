// Package certs takes in changes of the files of TLS toward targets.
package certs

import (
	"context"
	"log/slog"
	"time"

	"github.com/penstock-edge/penstock/edge/config/clienttls"
	"github.com/penstock-edge/penstock/edge/lib/caught"
	"github.com/penstock-edge/penstock/edge/lib/lanes"
)

// Renewer looks after the files of one pool.
type Renewer struct {
	Pool             string // its name, for the log
	TLS              *clienttls.Settings
	Renewed, Refused *lanes.Counter // changes
	// Changed is called after each: connections that are made from then on have what is new, idle ones of
	// before are to be closed, and those in use end with what they do.
	Changed func()
}

// every is how often the files are looked at, as those of listeners are.
const every = time.Second

// Run takes in changes until ctx ends.
func (r *Renewer) Run(ctx context.Context) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			r.look()
		}
	}
}

func (r *Renewer) look() {
	var changed bool
	err := caught.Try(func() (err error) {
		changed, err = r.TLS.Renew()
		return err
	})
	switch {
	case err != nil: // of one change once; a pair may be half written, and the next change is seen
		r.Refused.Inc(0)
		slog.Error("certificates toward targets not replaced; those before stay in use", "pool", r.Pool,
			"error", err)
	case changed:
		r.Renewed.Inc(0)
		r.Changed()
		slog.Info("certificates toward targets replaced", "pool", r.Pool)
	}
}
