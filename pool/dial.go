package pool

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/clock"
	"github.com/penstock-edge/penstock/edge/lib/descriptors"
	"github.com/penstock-edge/penstock/edge/lib/poll"
	"github.com/penstock-edge/penstock/edge/lib/proxyproto"
)

// dial opens a connection to t within the pool's connect timeout, TLS included. A name with several addresses
// is tried from the next one in turn.
func dial(x *edge.Exchange, t *Target, conf *Config) (*conn, *edge.Fault) {
	until := time.Now().Add(conf.ConnectTimeout)
	if x.Deadline > 0 {
		until = earlier(until, clock.At(x.Deadline))
	}
	if x.TryDeadline > 0 {
		until = earlier(until, clock.At(x.TryDeadline))
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	defer attend(x.Conn, cancel).end()
	nc, err := t.connect(ctx, until)
	if err != nil {
		x.Cause = err
		switch {
		case ctx.Err() != nil:
			return nil, edge.ClientGone
		case descriptors.Short(err):
			return nil, edge.Exhausted
		case isTimeout(err):
			return nil, edge.UpstreamConnectTimeout
		}
		return nil, edge.UpstreamConnect
	}
	socket, files, header := nc, conf.TLS.Sum(), t.headerFor(x)
	if conf.TLS.Enabled {
		if header != "" {
			nc = proxyproto.Before(nc, []byte(header))
		}
		client := tls.Client(nc, conf.TLS.For(t.Address))
		_ = nc.SetDeadline(until) // a closed socket fails the handshake
		if err := client.HandshakeContext(ctx); err != nil {
			_ = nc.Close() // the handshake's error is the one that counts
			x.Cause = err
			if ctx.Err() != nil {
				return nil, edge.ClientGone
			}
			return nil, edge.UpstreamTLS
		}
		_ = nc.SetDeadline(time.Time{}) // the next read or write sets its own
		nc = client
	}
	var loop *poll.Loop
	if x.Loop != nil {
		loop, _ = x.Loop.Loop()
	}
	c, err := newConn(t, nc, socket, loop)
	if err != nil {
		x.Cause = err
		t.shared.lacks("a connection to a target", err)
		return nil, edge.Exhausted // the connection stood
	}
	c.files = files
	c.header, c.owes = header, c.plain && header != "" // it leaves with the first request
	return c, nil
}

// connect is the dialling of a socket. When the gateway is short of descriptors or memory, idle connections
// to the pool's targets are closed, and it is tried again for a little while: those that others need for a
// moment come back.
func (t *Target) connect(ctx context.Context, until time.Time) (net.Conn, error) {
	for pause := shortPause; ; pause *= 2 {
		nc, err := t.name.dial(ctx, until)
		if !descriptors.Short(err) {
			return nc, err
		}
		t.shared.each((*Target).closeIdle)
		if pause > shortPauses || time.Now().Add(pause).After(until) || ctx.Err() != nil {
			t.shared.lacks("a connection to a target", err)
			return nil, err
		}
		time.Sleep(pause)
	}
}

// The first and the longest pause before a connection is tried again for which there was no descriptor.
const (
	shortPause  = 2 * time.Millisecond
	shortPauses = 64 * time.Millisecond
)

// attendant looks whether a client is still there while a connection is opened for it.
type attendant struct {
	client edge.ClientConn
	timer  *time.Timer
	leave  context.CancelFunc // called when it has gone
	ended  atomic.Bool
}

// attend begins to look after the client, ten times a second.
func attend(client edge.ClientConn, leave context.CancelFunc) *attendant {
	a := &attendant{client: client, leave: leave}
	a.timer = time.AfterFunc(time.Hour, a.look)
	a.timer.Reset(firstSlice) // not before a.timer is set
	return a
}

func (a *attendant) look() {
	switch {
	case a.ended.Load():
	case a.client.Gone():
		a.leave()
	default:
		a.timer.Reset(firstSlice)
	}
}

// end stops it; a look that is under way does no harm.
func (a *attendant) end() {
	a.ended.Store(true)
	a.timer.Stop()
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func isTimeout(err error) bool {
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

// resolver turns a target's address into sockets' addresses. Literal addresses and unix sockets need no
// resolving; a name keeps its last good answer while a newer one cannot be had.
type resolver struct {
	network string // "tcp" or "unix"
	literal string // what to dial as it is; empty for a name
	host    string
	port    uint16
	addrs   *atomic.Pointer[[]netip.Addr]
	next    *atomic.Uint32
	failed  *atomic.Bool                            // the last asking failed
	own     func(addr netip.Addr, port uint16) bool // the address is the gateway's own; nil: none is
	lookup  func(ctx context.Context, network, host string) ([]netip.Addr, error)
}

func newResolver(address string) resolver {
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		return resolver{network: "unix", literal: path}
	}
	if _, err := netip.ParseAddrPort(address); err == nil {
		return resolver{network: "tcp", literal: address}
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		panic("BUG: target address was not checked: " + address)
	}
	n, err := net.LookupPort("tcp", port)
	if err != nil {
		panic("BUG: target port was not checked: " + address)
	}
	return resolver{network: "tcp", host: host, port: uint16(n),
		addrs: new(atomic.Pointer[[]netip.Addr]), next: new(atomic.Uint32),
		failed: new(atomic.Bool), lookup: net.DefaultResolver.LookupNetIP}
}

func (r *resolver) named() bool { return r.literal == "" }

// dial connects to one of the addresses before until, unless ctx ends before.
func (r *resolver) dial(ctx context.Context, until time.Time) (net.Conn, error) {
	d := net.Dialer{Deadline: until}
	if !r.named() {
		return d.DialContext(ctx, r.network, r.literal)
	}
	addrs := r.addrs.Load()
	if addrs == nil {
		if err := r.resolve(ctx, until); err != nil {
			return nil, err
		}
		addrs = r.addrs.Load()
	}
	var err error
	first := int(r.next.Add(1))
	for i := range *addrs {
		a := netip.AddrPortFrom((*addrs)[(first+i)%len(*addrs)], r.port)
		// Share what is left of the time among the addresses not tried yet.
		left := time.Until(until) / time.Duration(len(*addrs)-i)
		d.Deadline = time.Now().Add(left)
		var nc net.Conn
		if nc, err = d.DialContext(ctx, "tcp", a.String()); err == nil || ctx.Err() != nil {
			return nc, err
		}
	}
	return nil, err
}

// resolve asks for the name's addresses; an empty or failed answer keeps the last good one.
func (r *resolver) resolve(ctx context.Context, until time.Time) error {
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	found, err := r.lookup(ctx, "ip", r.host)
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return fmt.Errorf("%q has no addresses", r.host)
	}
	for i := range found {
		found[i] = found[i].Unmap()
	}
	if r.own != nil {
		found = slices.DeleteFunc(found, func(a netip.Addr) bool { return r.own(a, r.port) })
	}
	if len(found) == 0 {
		r.addrs.Store(nil) // those of before are the gateway's own by now
		return fmt.Errorf("%q has no addresses but those of this gateway", r.host)
	}
	r.addrs.Store(&found)
	return nil
}
