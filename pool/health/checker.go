// Package health checks on its own whether a target of a pool is fit for requests: by HTTP, by gRPC's
// health service, or by connecting. It knows one target at a time; what its states mean for a pool is the
// pool's affair.
package health

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/penstock-edge/penstock/edge/lib/proxyproto"
	"github.com/penstock-edge/penstock/edge/lib/sockets"
)

// Target is the target to check.
type Target struct {
	Address string // host:port or unix:/path, a good one
	Host    string // the Host when the configuration has none; "": the address, or localhost
	// TLS returns the settings for one check; ALPN and an absent ServerName are filled in, in a copy. nil:
	// plain.
	TLS func() *tls.Config
	// Proxy makes connections begin with the header of the PROXY protocol. It is not used when the
	// configuration sends checks to another port.
	Proxy proxyproto.Version
	// Dial connects to the target, without TLS, and must end with its context; nil: Address is dialled. It
	// is not used when the configuration sends checks to another port.
	Dial func(ctx context.Context) (net.Conn, error)
}

// Checker checks one target. Checkers share nothing, whatever their addresses.
type Checker struct {
	conf    *Config
	host    string
	name    string             // of the target, for TLS
	tls     func() *tls.Config // nil: plain
	greets  []byte             // what connections begin with; empty: nothing
	dial    func(ctx context.Context) (net.Conn, error)
	request []byte // http: all of it; grpc: the framed message
}

// NewChecker makes a checker of a target with a configuration that was found good. An address that is neither
// host:port nor unix:/path is a panic.
func NewChecker(c *Config, to Target) *Checker {
	name, host, address := "localhost", "localhost", to.Address // for TLS, for HTTP, to dial
	if !isUnix(to.Address) {
		var port string
		var err error
		if name, port, err = net.SplitHostPort(to.Address); err != nil {
			panic("BUG: target address was not checked: " + to.Address)
		}
		if host = to.Address; c.Port != 0 {
			port = strconv.Itoa(c.Port)
		}
		address = net.JoinHostPort(name, port)
	}
	h := &Checker{conf: c, host: cmp.Or(c.Host, to.Host, host), name: name, tls: to.TLS, dial: to.Dial}
	if to.Dial == nil || c.Port != 0 {
		h.dial = dialer(c, address)
	}
	if c.Port == 0 {
		h.greets = to.Proxy.AppendLocal(nil)
	}
	switch c.Kind {
	case "http":
		h.request = httpRequest(c, h.host)
	case "grpc":
		h.request = grpcRequest(c.Service)
	}
	return h
}

// dialer returns a dial function for an address.
func dialer(c *Config, address string) func(context.Context) (net.Conn, error) {
	if err := c.CheckTarget(address); err != nil {
		return func(context.Context) (net.Conn, error) { return nil, err }
	}
	kind := "tcp"
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		kind, address = "unix", path
	}
	d := &net.Dialer{KeepAlive: -1} // a check is over before the first probe
	return func(ctx context.Context) (net.Conn, error) { return sockets.Dial(ctx, d, kind, address) }
}

// clientTLS returns the TLS settings of checks: each makes a whole handshake, so that a certificate that has
// become bad is found out.
func clientTLS(base *tls.Config, kind, name string) *tls.Config {
	t := base.Clone()
	t.ClientSessionCache = nil
	if t.ServerName == "" {
		t.ServerName = name
	}
	switch kind {
	case "http":
		t.NextProtos = []string{"http/1.1"}
	case "grpc":
		t.NextProtos = []string{"h2"}
	}
	return t
}

// Check makes one check, on a connection of its own that is closed when Check returns. It takes at most the
// configured timeout. The result is nil for a healthy target; an error says in one line what was seen. When
// ctx ends first the error wraps its error, and says nothing about the target.
func (h *Checker) Check(ctx context.Context) error {
	within, cancel := context.WithTimeout(ctx, h.conf.Timeout)
	defer cancel()
	err := h.check(within)
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("check given up: %w", ctx.Err())
	}
	return err
}

func (h *Checker) check(ctx context.Context) error {
	raw, err := h.dial(ctx)
	if err != nil {
		return h.failed(ctx, "connection", "", err)
	}
	defer func() { _ = raw.Close() }() // all is read that will be
	// Closing is what ends reads and writes in time, whoever does them.
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() }) // they fail with the context's end
	defer stop()
	nc := raw
	if len(h.greets) > 0 {
		nc = proxyproto.Before(raw, h.greets)
	}
	if h.tls != nil {
		client := tls.Client(nc, clientTLS(h.tls(), h.conf.Kind, h.name))
		if err := client.HandshakeContext(ctx); err != nil {
			return h.failed(ctx, "TLS handshake", "TLS handshake failed: ", err)
		}
		defer func() { _ = client.Close() }() // says goodbye; the target may not listen
		nc = client
	}
	switch h.conf.Kind {
	case "http":
		return h.checkHTTP(ctx, nc)
	case "grpc":
		return h.checkGRPC(ctx, nc)
	}
	if h.tls == nil && len(h.greets) > 0 { // else the target would log a client that says nothing
		if _, err := raw.Write(h.greets); err != nil {
			return h.failed(ctx, "connection", "cannot send the PROXY header: ", err)
		}
	}
	return nil
}
