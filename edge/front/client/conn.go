// Package client is the seam between the front and the protocols that clients speak. The front accepts a
// connection, reads its PROXY header, makes the TLS handshake, chooses the protocol and hands the connection
// over. The protocol serves requests on it until it closes it. Neither knows more of the other than is here:
// the front knows no HTTP, a protocol knows no limits of connections, and of certificates only that it asks
// Settings.ClientAuth whether a request may come by the connection.
package client

import (
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/penstock-edge/penstock/edge/front/clientauth"
	"github.com/penstock-edge/penstock/edge/lib/lanes"
	"github.com/penstock-edge/penstock/edge/lib/poll"
	"github.com/penstock-edge/penstock/edge/lib/wire"
)

// Protocol serves the connections that the front hands over.
type Protocol interface {
	// Open takes over c, on which no request has come yet.
	Open(c *Conn) Served
}

// Served is a connection that a protocol serves. The loop of its socket calls the methods of poll.Handler.
type Served interface {
	poll.Handler
	// Serve serves the connection in the calling goroutine, in place of a first Ready. It returns when the loop
	// waits for the client, or the connection has ended.
	Serve()
	// Cut ends work in progress for the client, whose socket has been shut down. Any goroutine may call it.
	Cut()
}

// Conn is a client's connection. The protocol owns it from Protocol.Open until it calls Close.
type Conn struct {
	Listener *Listener
	Owner    Owner
	Socket   poll.Socket
	Net      net.Conn   // bytes are read from and written to it: the socket, or TLS on it
	Early    []byte     // bytes of the protocol that were read with the PROXY header
	Peer     netip.Addr // other end of the socket, or what a PROXY header said
	Port     uint16     // of Peer
	Lane     uint32
	Auth     *clientauth.Client // nil: not asked for a certificate

	sendRate Rate  // at which the client takes answers
	wdl      int64 // write deadline in force, clock nanoseconds; 0: none

	state     atomic.Uint32
	idleSince atomic.Uint32 // milliseconds of the clock, which may have wrapped

	local  atomic.Pointer[netip.AddrPort] // this end of the socket; nil: nobody has asked for it
	tunnel atomic.Pointer[Tunnel]
}

// Owner is the front's half of a connection.
type Owner interface {
	// Closed is called once, when the connection has ended.
	Closed()
}

// Listener is what a connection knows of the listener that has accepted it.
type Listener struct {
	Group    *Group
	Key      string         // its address as configured
	Addr     netip.AddrPort // that it is bound to, which may stand for many
	Settings atomic.Pointer[Settings]
	Drains   atomic.Bool // connections end with their next answer
}

// Draining reports whether connections are to end with their next answer.
func (l *Listener) Draining() bool { return l.Drains.Load() }

// Group is what the connections of all listeners share.
type Group struct {
	// DrainGrace is how long a drain keeps an idle connection, for a request that is on its way already.
	DrainGrace atomic.Int64   // nanoseconds
	Evicting   atomic.Int64   // connections that are to be closed to make room
	Evicted    *lanes.Counter // those that were
}

// Settings are what a protocol has to know of a listener's section. A reload replaces them; a connection
// takes them up with its next request.
type Settings struct {
	Name          string
	HeaderTimeout time.Duration
	IdleTimeout   time.Duration
	MinReceive    int64 // bytes a second; 0: no minimum
	MinSend       int64
	MaxHead       int   // bytes
	HeadBuffer    int   // size the read buffer may grow to
	MaxBody       int64 // bytes
	MergeSlashes  bool
	Underscores   wire.Underscores
	Underscored   *lanes.Counter     // fields dropped for an underscore
	Alike         *lanes.Counter     // and for being like one of the gateway's
	ClientAuth    *clientauth.Policy // nil: clients are not asked for certificates
}

// Tunnel describes a connection that carries a tunnel.
type Tunnel struct {
	Route, Pool, Target string
	Began               int64        // clock nanoseconds
	In, Out             atomic.Int64 // bytes from and to the client
	// End closes both sides. Any goroutine may call it.
	End func()
}

// Settings returns the listener's settings.
func (c *Conn) Settings() *Settings { return c.Listener.Settings.Load() }

// Plain reports whether bytes can be moved as they are: there is no TLS.
func (c *Conn) Plain() bool { return c.Net == net.Conn(&c.Socket) }

// Scheme returns the scheme of the requests on the connection.
func (c *Conn) Scheme() string {
	if c.Plain() {
		return "http"
	}
	return "https"
}

// Switch makes t the tunnel that the connection carries from here to its end; nil: t has ended.
func (c *Conn) Switch(t *Tunnel) {
	c.state.Store(switched)
	c.tunnel.Store(t)
}

// Tunnel returns the tunnel that the connection carries, or nil.
func (c *Conn) Tunnel() *Tunnel { return c.tunnel.Load() }

// Ends implements edge.Ends. It asks the kernel once, and only when asked: most requests never need it.
func (c *Conn) Ends() (peer, local netip.AddrPort) {
	p := c.local.Load()
	if p == nil {
		at, err := c.Socket.Local()
		if err != nil { // the client has left: where it came in is still known
			at = c.Listener.Addr
		}
		at = netip.AddrPortFrom(AddressOf(at), at.Port())
		p = &at
		c.local.Store(p)
	}
	return netip.AddrPortFrom(c.Peer, c.Port), *p
}

// AddressOf returns the address at an end of a socket in the one form that it has in the gateway.
func AddressOf(end poll.Addr) netip.Addr { return end.Addr().Unmap().WithZone("") }
