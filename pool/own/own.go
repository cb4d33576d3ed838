// Package own keeps the addresses of the gateway itself out of pools: a target that is the gateway would be
// asked in a circle.
package own

import (
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/penstock-edge/penstock/edge/config"
)

// Addresses are the gateway's own, and what was left out because it is one of them.
type Addresses struct {
	Pool string // its name, for the log

	now   atomic.Pointer[config.Own]
	found atomic.Uint64
	told  sync.Map // when the log told of each, by address
}

// Set makes o the gateway's own addresses.
func (a *Addresses) Set(o *config.Own) { a.now.Store(o) }

// SetFirst is Set when there are none yet.
func (a *Addresses) SetFirst(o *config.Own) { a.now.CompareAndSwap(nil, o) }

// Found returns how many addresses were left out.
func (a *Addresses) Found() uint64 { return a.found.Load() }

// Is reports whether an address that a target's name has led to is the gateway's own, which is left out then.
func (a *Addresses) Is(addr netip.Addr, port uint16) bool {
	what := a.now.Load().FindAddr(addr, port)
	if what != "" {
		a.LeftOut(netip.AddrPortFrom(addr, port).String(), what)
	}
	return what != ""
}

// LeftOut counts and logs an address that a discovery or a name server gave and that is the gateway's own.
func (a *Addresses) LeftOut(address, what string) {
	a.found.Add(1)
	now := time.Now()
	if before, told := a.told.Load(address); told && now.Sub(before.(time.Time)) < time.Minute {
		return
	}
	a.told.Store(address, now)
	slog.Warn("a target is left out: it is an address of this gateway", "pool", a.Pool, "target", address,
		"is", what)
}
