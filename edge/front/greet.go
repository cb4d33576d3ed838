package front

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"strconv"
	"time"

	"github.com/penstock-edge/penstock/edge/front/client"
	"github.com/penstock-edge/penstock/edge/front/clientauth"
	"github.com/penstock-edge/penstock/edge/lib/header"
)

// greet reads the PROXY header and makes the TLS handshake, each within the listener's header time. ok
// reports whether the connection can go on; how is the way to close it if not.
func (c *conn) greet(set *settings) (how client.Closing, ok bool) {
	if set.proxyProtocol && (set.trusted.Contains(c.Peer) || !c.Peer.IsValid()) {
		_ = c.Net.SetReadDeadline(time.Now().Add(set.HeaderTimeout)) // a closed socket fails the read
		if err := c.readProxy(); err != nil {
			c.l.front.badGreeting("proxy").Inc(c.Lane)
			slog.Debug("bad PROXY header", "listener", c.l.Key, "peer", c.Peer.String(), "error", err)
			if len(c.Early) > 0 {
				how = client.Linger
			}
			return how, false
		}
	}
	if set.tls == nil {
		return how, true
	}
	return c.secure(set)
}

// secure makes the TLS handshake, which begins with the bytes that were read with the PROXY header.
func (c *conn) secure(set *settings) (how client.Closing, ok bool) {
	under := net.Conn(&c.Socket)
	if len(c.Early) > 0 {
		under = &prefixed{Conn: under, rest: c.Early}
		c.Early = nil
	}
	t := tls.Server(&client.Paced{Conn: under, C: &c.Conn}, set.tls)
	_ = under.SetDeadline(time.Now().Add(set.HeaderTimeout)) // a closed socket fails the handshake
	if err := t.Handshake(); err != nil {
		what := "tls"
		if errors.Is(err, clientauth.ErrRefused) {
			what = "client_certificate"
		}
		c.l.front.badGreeting(what).Inc(c.Lane)
		slog.Debug("TLS handshake failed", "listener", c.l.Key, "peer", c.Peer.String(), "error", err)
		return c.explainPlainHTTP(err), false
	}
	_ = under.SetDeadline(time.Time{})
	c.Net = t
	if set.ClientAuth != nil {
		state := t.ConnectionState()
		c.Auth = set.ClientAuth.Greeted(&state)
	}
	return how, true
}

// explainPlainHTTP answers a client that speaks plain HTTP to a port with TLS, which would otherwise take it
// for a broken server. It returns how to close the connection.
func (c *conn) explainPlainHTTP(err error) client.Closing {
	var first tls.RecordHeaderError // Conn is set for the first record, which has not been answered
	if !errors.As(err, &first) || first.Conn == nil || !looksLikeHTTP(first.RecordHeader[:]) {
		return client.Orderly
	}
	_ = c.Write(plainAnswer) // best effort: the connection ends anyway
	return client.Linger     // the rest of the request is still to come
}

// looksLikeHTTP reports whether b may be the first bytes of a request, which begins with a method. A TLS
// record begins with its type, which no method contains.
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

// readProxy reads a PROXY header, whose source becomes the peer. It leaves in c.Early what it has read beyond
// the header, or all of it if there is none.
func (c *conn) readProxy() error {
	room := client.AcquireBuffer()
	defer client.ReleaseBuffer(room)
	buf := room[:proxyV2Max]
	for have := 0; ; {
		n, src, err := parseProxy(buf[:have])
		switch {
		case err == nil:
			if src.IsValid() {
				c.Peer, c.Port = src.Addr(), src.Port()
			}
		case errors.Is(err, errProxyShort) && have < len(buf):
			more, rerr := c.Net.Read(buf[have:])
			have += more
			if more > 0 || rerr == nil {
				continue
			}
			err = rerr
		}
		c.Early = append(c.Early, buf[n:have]...)
		return err
	}
}

// prefixed is a connection whose first bytes have been read already.
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
