//go:build !sim

// Package sockets opens connections and looks up names for all of the gateway, so that a simulation has them
// in its hands.
package sockets

import (
	"context"
	"net"
	"net/netip"
	"syscall"
)

// Dial connects to an address with the options of d.
func Dial(ctx context.Context, d *net.Dialer, network, address string) (net.Conn, error) {
	return d.DialContext(ctx, network, address)
}

// Control is called with a socket before it is bound.
type Control func(network, address string, c syscall.RawConn) error

// Listen opens a listening socket; control, which may be nil, is called before it is bound.
func Listen(network, address string, control Control) (net.Listener, error) {
	lc := net.ListenConfig{Control: control}
	return lc.Listen(context.Background(), network, address)
}

// Lookup returns the addresses of a host.
func Lookup(ctx context.Context, network, host string) ([]netip.Addr, error) {
	return net.DefaultResolver.LookupNetIP(ctx, network, host)
}
