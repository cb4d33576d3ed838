package front

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"strconv"
	"time"

	"github.com/penstock-edge/penstock/edge/front/clientauth"
	"github.com/penstock-edge/penstock/edge/lib/header"
	"github.com/penstock-edge/penstock/edge/lib/wire"
)

// greet does what comes before the first request: the PROXY header and the TLS handshake, both within the
// listener's header time. It returns false when the connection cannot go on.
func (c *conn) greet(set *settings) bool {
	if set.proxyProtocol && (set.trusted.Contains(c.peer) || !c.peer.IsValid()) {
		_ = c.nc.SetReadDeadline(time.Now().Add(set.headerTimeout)) // a closed socket fails the read
		if err := c.readProxy(); err != nil {
			c.l.front.badGreeting("proxy").Inc(c.lane)
			slog.Debug("bad PROXY header", "listener", c.l.key, "peer", c.peer.String(), "error", err)
			return false
		}
	}
	if set.tls == nil {
		return true
	}
	return c.secure(set)
}

// secure makes the TLS handshake; bytes that were read behind a PROXY header belong to it.
func (c *conn) secure(set *settings) bool {
	under := net.Conn(&c.socket)
	if rest := c.br.Buffered(); len(rest) > 0 {
		under = &prefixed{Conn: under, rest: append([]byte(nil), rest...)}
		c.br.Discard(len(rest))
	}
	t := tls.Server(&paced{Conn: under, c: c}, set.tls)
	_ = under.SetDeadline(time.Now().Add(set.headerTimeout)) // a closed socket fails the handshake
	if err := t.Handshake(); err != nil {
		what := "tls"
		if errors.Is(err, clientauth.ErrRefused) {
			what = "client_certificate"
		}
		c.l.front.badGreeting(what).Inc(c.lane)
		slog.Debug("TLS handshake failed", "listener", c.l.key, "peer", c.peer.String(), "error", err)
		c.enlighten(err)
		return false
	}
	_ = under.SetDeadline(time.Time{})
	c.nc, c.scheme = t, "https"
	if set.clients != nil {
		state := t.ConnectionState()
		c.client = set.clients.Greeted(&state)
	}
	return true
}

// enlighten answers a client that speaks HTTP where TLS is spoken, which it would else take for a broken
// server.
func (c *conn) enlighten(err error) {
	var first tls.RecordHeaderError // with Conn: of the first record, to which nothing has been answered
	if !errors.As(err, &first) || first.Conn == nil || !looksLikeHTTP(first.RecordHeader[:]) {
		return
	}
	c.unread = true          // the rest of the request: see close
	_ = c.write(plainAnswer) // best effort: the connection ends anyway
}

// looksLikeHTTP reports whether b may be the first bytes of a request: a method, perhaps with what follows. A
// record of TLS begins with its kind, which is no character of a method.
func looksLikeHTTP(b []byte) bool {
	for i, ch := range b {
		if ch == ' ' && i > 0 {
			return true
		}
		if !header.IsToken(string(ch)) {
			return false
		}
	}
	return true
}

var plainAnswer = []byte("HTTP/1.1 400 Bad Request\r\nContent-Type: application/problem+json\r\n" +
	"Connection: close\r\nContent-Length: " + strconv.Itoa(len(plainProblem)) + "\r\n\r\n" + plainProblem)

const plainProblem = `{"type":"about:blank","title":"Bad Request","status":400,"code":"plain_http",` +
	`"detail":"This port speaks TLS; the request came as plain HTTP. Use https://."}`

// readProxy reads a PROXY header from the connection's buffer; the address it names becomes the peer.
func (c *conn) readProxy() error {
	for {
		n, src, err := parseProxy(c.br.Buffered())
		if err == nil {
			c.br.Discard(n)
			if src.IsValid() {
				c.peer, c.port = src.Addr(), src.Port()
			}
			return nil
		}
		if !errors.Is(err, errProxyShort) {
			return err
		}
		if _, err := c.br.Fill(); err != nil {
			if errors.Is(err, wire.ErrFull) {
				return errProxy
			}
			return err
		}
	}
}

// prefixed is a connection that first gives bytes that were read from it already.
type prefixed struct {
	net.Conn
	rest []byte
}

// Read implements io.Reader.
func (p *prefixed) Read(b []byte) (int, error) {
	if len(p.rest) == 0 {
		return p.Conn.Read(b)
	}
	n := copy(b, p.rest)
	p.rest = p.rest[n:]
	return n, nil
}
