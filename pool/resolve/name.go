// Package resolve turns the addresses of targets into those of sockets. A name keeps its last good answer
// while a newer one cannot be had.
package resolve

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/penstock-edge/penstock/edge/lib/caught"
	"github.com/penstock-edge/penstock/edge/lib/chance"
	"github.com/penstock-edge/penstock/edge/lib/sockets"
)

// Name is the address of a target. Literal addresses and Unix sockets need no resolving.
type Name struct {
	address string // as configured
	network string // "tcp" or "unix"
	literal string // what to dial as it is; empty for a name
	host    string
	port    uint16
	addrs   atomic.Pointer[[]netip.Addr] // nil: none are known
	next    atomic.Uint32
	failed  atomic.Bool                             // the last resolving failed
	own     func(addr netip.Addr, port uint16) bool // reports an address of the gateway's own; nil: none is
	lookup  func(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// New returns the name of an address that configuration has checked: "host:port" or "unix:/path". own reports
// whether an address is the gateway's own, which is left out; nil: none is.
func New(address string, own func(addr netip.Addr, port uint16) bool) *Name {
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		return &Name{address: address, network: "unix", literal: path}
	}
	if _, err := netip.ParseAddrPort(address); err == nil {
		return &Name{address: address, network: "tcp", literal: address}
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		panic("BUG: target address was not checked: " + address)
	}
	n, err := net.LookupPort("tcp", port)
	if err != nil {
		panic("BUG: target port was not checked: " + address)
	}
	return &Name{address: address, network: "tcp", host: host, port: uint16(n), own: own,
		lookup: sockets.Lookup}
}

// Named reports whether the address has to be resolved.
func (n *Name) Named() bool { return n.literal == "" }

// Addrs returns the addresses of the last good answer, with the port.
func (n *Name) Addrs() []netip.AddrPort {
	addrs := n.addrs.Load()
	if addrs == nil {
		return nil
	}
	all := make([]netip.AddrPort, len(*addrs))
	for i, a := range *addrs {
		all[i] = netip.AddrPortFrom(a, n.port)
	}
	return all
}

// Dial connects to one of the addresses before until, unless ctx ends before. A name with several addresses
// is tried from the next one in turn.
func (n *Name) Dial(ctx context.Context, until time.Time) (net.Conn, error) {
	d := net.Dialer{Deadline: until}
	if !n.Named() {
		return sockets.Dial(ctx, &d, n.network, n.literal)
	}
	addrs := n.addrs.Load()
	if addrs == nil {
		if err := n.Resolve(ctx, until); err != nil {
			return nil, err
		}
		addrs = n.addrs.Load()
	}
	var err error
	first := int(n.next.Add(1))
	for i := range *addrs {
		a := netip.AddrPortFrom((*addrs)[(first+i)%len(*addrs)], n.port)
		// Share what is left of the time among the addresses not tried yet.
		left := time.Until(until) / time.Duration(len(*addrs)-i)
		d.Deadline = time.Now().Add(left)
		var nc net.Conn
		if nc, err = sockets.Dial(ctx, &d, "tcp", a.String()); err == nil || ctx.Err() != nil {
			return nc, err
		}
	}
	return nil, err
}

// Resolve asks for the name's addresses; an empty or failed answer keeps the last good one.
func (n *Name) Resolve(ctx context.Context, until time.Time) error {
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	found, err := n.lookup(ctx, "ip", n.host)
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return fmt.Errorf("%q has no addresses", n.host)
	}
	for i := range found {
		found[i] = found[i].Unmap()
	}
	if n.own != nil {
		found = slices.DeleteFunc(found, func(a netip.Addr) bool { return n.own(a, n.port) })
	}
	if len(found) == 0 {
		n.addrs.Store(nil) // those of before are the gateway's own by now
		return fmt.Errorf("%q has no addresses but those of this gateway", n.host)
	}
	n.addrs.Store(&found)
	return nil
}

// Refresh resolves the name at once and then as often as every says, with some jitter so that a fleet does
// not ask in step, until ctx ends. The log hears of changes: pool is whose target it is.
func (n *Name) Refresh(ctx context.Context, every time.Duration, pool string) {
	for {
		err := caught.Try(func() error { return n.Resolve(ctx, time.Now().Add(every)) })
		if ctx.Err() == nil {
			n.note(pool, err)
		}
		wait := every + time.Duration(chance.Int64N(int64(every)/10+1))
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// note writes how resolving went, a line a change.
func (n *Name) note(pool string, err error) {
	failed := err != nil
	if n.failed.Swap(failed) == failed {
		return
	}
	if failed {
		slog.Warn("cannot resolve a target; the last known addresses stay in use", "pool", pool,
			"target", n.address, "error", err)
		return
	}
	slog.Info("target resolves again", "pool", pool, "target", n.address)
}
