package pool

import (
	"log/slog"
	"time"

	"github.com/penstock-edge/penstock/edge/lib/caught"
)

// renewEvery is how often the files of TLS toward the targets are looked at, as those of listeners are.
const renewEvery = time.Second

// renew takes in changes of the files of TLS toward the targets until the keeper ends. Connections that are
// made from then on have what is new. Idle ones of before are closed, and those in use end with what they do.
func (k *keeper) renew() {
	p := k.p
	tick := time.NewTicker(renewEvery)
	defer tick.Stop()
	for {
		select {
		case <-k.ctx.Done():
			return
		case <-tick.C:
		}
		var changed bool
		err := caught.Try(func() (err error) {
			changed, err = p.conf.TLS.Renew()
			return err
		})
		switch {
		case err != nil: // of one change once; a pair may be half written, and the next change is seen
			p.certsRefused.Inc(0)
			slog.Error("certificates toward targets not replaced; those before stay in use", "pool", p.Name,
				"error", err)
		case changed:
			p.certsRenewed.Inc(0)
			for _, m := range p.set.Load().members {
				m.closeIdle(0)
			}
			slog.Info("certificates toward targets replaced", "pool", p.Name)
		}
	}
}
