//go:build sim

package sockets

import (
	"context"
	"net"
	"net/netip"
	"syscall"
)

// Simulated is the network of a simulation.
type Simulated interface {
	Dial(ctx context.Context, network, address string) (net.Conn, error)
	Listen(network, address string) (net.Listener, error)
	Lookup(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Sim is set before anything else of the package is used.
var Sim Simulated

// Dial connects to an address within the deadline and timeout of d.
func Dial(ctx context.Context, d *net.Dialer, network, address string) (net.Conn, error) {
	cancel := context.CancelFunc(func() {})
	if d.Timeout > 0 {
		ctx, cancel = context.WithTimeout(ctx, d.Timeout)
	}
	defer cancel()
	if !d.Deadline.IsZero() {
		var end context.CancelFunc
		ctx, end = context.WithDeadline(ctx, d.Deadline)
		defer end()
	}
	return Sim.Dial(ctx, network, address)
}

// Control is called with a socket before it is bound, outside a simulation.
type Control func(network, address string, c syscall.RawConn) error

// Listen opens a listening socket.
func Listen(network, address string, _ Control) (net.Listener, error) {
	return Sim.Listen(network, address)
}

// Lookup returns the addresses of a host.
func Lookup(ctx context.Context, network, host string) ([]netip.Addr, error) {
	return Sim.Lookup(ctx, network, host)
}
