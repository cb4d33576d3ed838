// Package edge is the contract of the house and the story of a request: what an exchange is, which phases it
// passes (phase.go), what can go wrong (fault.go), what a feature may add (feature.go), and the flow itself
// (flow.go). Everything points here; this package knows no feature, no socket and no pool.
package edge

import (
	"net"
	"net/netip"
	"strconv"

	"github.com/penstock-edge/penstock/edge/lib/poll"
	"github.com/penstock-edge/penstock/edge/route"
)

// Exchange is one request and its answer. The front fills the request and calls Serve. All byte slices live
// as long as the exchange; not after Reset.
type Exchange struct {
	Request
	Identity
	Response
	Attempt
	Course
	Times Timing
	// Match is the route found, with the parameters of its path; large, and cleared by the next lookup.
	Match route.Match
	// Slot holds the memory of features that asked for it with Host.Slot.
	Slot []any

	key     route.Key
	stashed *fallback // for want of a better answer; nil: never needed
	own     Fault     // room for a fault made for this exchange alone
	body    BytesBody // room for the body of a local answer
	scratch []byte    // bytes of that body
}

// ClientConn is what the flow and the pools may ask of the client's connection.
type ClientConn interface {
	// Gone reports whether the client has closed its side or was lost.
	Gone() bool
	// Abort ends a read of the request's body that another goroutine may be blocked in; the connection is
	// closed after the answer.
	Abort()
}

// InterimConn is a client's connection that takes interim answers.
type InterimConn interface {
	// Interim sends the head of a 1xx answer, which ends with its empty line, ahead of the final one. A client
	// that cannot be reached, or takes nothing now, may be left without it.
	Interim(head []byte)
}

// Ends is a connection of a client as to its addresses. It may be asked at any time, by anybody.
type Ends interface {
	// Ends returns who is at the other end (Facts.Peer, with its port) and the address at this one. Either is
	// not valid when it is not known.
	Ends() (peer, local netip.AddrPort)
}

// LoopConn is a client's connection that a loop serves.
type LoopConn interface {
	// Loop returns the loop that waits for the client's socket. Sockets of upstreams are best waited for there
	// too: an exchange then stays on one thread. inside reports whether the exchange is served in that loop
	// now: it has heard of everything on its sockets that came before the present round.
	Loop() (l *poll.Loop, inside bool)
	// Resume goes on with the exchange, in the loop on: there is news from its peer.
	Resume(on *poll.Loop)
	// Watch notes that the exchange waits for up, which becomes due soon after the client has left.
	Watch(up *poll.Socket)
}

// Tunnel is one end of a switched connection.
type Tunnel interface {
	// NetConn carries the bytes.
	NetConn() net.Conn
	// Early returns bytes that were read already and belong to the tunnel.
	Early() []byte
}

// Answer makes the answer here: status, content type and body, which must stay valid until the exchange ends.
// A filter calls it and returns Answered.
func (x *Exchange) Answer(status int, contentType string, body []byte) {
	x.closeOut()
	x.ResetHead()
	x.SetStatus(status)
	if contentType != "" {
		x.Resp.Set("Content-Type", contentType)
	}
	x.Local = true
	x.OutLen = int64(len(body))
	x.Out = nil
	if len(body) > 0 {
		x.body = BytesBody{b: body}
		x.Out = &x.body
	}
}

// Refuse returns a fault that belongs to this exchange alone: for refusals whose text is not known
// beforehand.
func (x *Exchange) Refuse(status int, side Side, code, detail string) *Fault {
	x.own = Fault{Status: status, Side: side, Code: code, Detail: detail}
	return &x.own
}

// ClientEnds returns the client's address and the one that its connection was made to, both to be passed to
// a target. Behind trusted proxies the client's port is not known, and 0. src is not valid when the request
// is the gateway's own, or that of a Unix socket.
func (x *Exchange) ClientEnds() (src, dst netip.AddrPort) {
	if x.Ends == nil {
		return src, dst
	}
	peer, local := x.Ends.Ends()
	switch {
	case !x.Client.IsValid():
		return src, dst
	case x.Client == peer.Addr():
		return peer, local
	}
	return netip.AddrPortFrom(x.Client, 0), local
}

// KeepRaw copies parts of the received head that must outlive the read buffer. Fronts call it.
func (x *Exchange) KeepRaw(query []byte, hasQuery bool, cookie, upgrade []byte) {
	x.raw = append(append(append(x.raw[:0], query...), cookie...), upgrade...)
	q, c := len(query), len(query)+len(cookie)
	x.Query, x.HasQuery = x.raw[:q:q], hasQuery
	x.Cookie, x.Upgrade = nil, nil
	if len(cookie) > 0 {
		x.Cookie = x.raw[q:c:c]
	}
	if len(upgrade) > 0 {
		x.Upgrade = x.raw[c:]
	}
}

// Repeatable reports whether the request may reach an upstream twice without harm: its method is idempotent
// (RFC 9110 9.2.2, RFC 10008), its client has given it an Idempotency-Key, or its route says so.
func (x *Exchange) Repeatable() bool {
	switch string(x.Method) {
	case "GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE", "QUERY":
		return true
	}
	return x.Plan != nil && x.Plan.RetryUnsafe || x.Req.Has("Idempotency-Key")
}

// SetOutPath copies p as the path toward the upstream.
func (x *Exchange) SetOutPath(p []byte) {
	x.outPath = append(x.outPath[:0], p...)
	x.OutPath = x.outPath
}

// SetOutHost copies h as the Host toward the upstream.
func (x *Exchange) SetOutHost(h []byte) {
	x.outHost = append(x.outHost[:0], h...)
	x.OutHost = x.outHost
}

// DeadlineForm is how the time that is left is written: one of seconds and milliseconds, and perhaps as gRPC
// has it too.
type DeadlineForm uint8

// The forms.
const (
	DeadlineSeconds DeadlineForm = 1 << iota // X-Request-Timeout: 1.25
	DeadlineMillis                           // X-Request-Timeout: 1250ms
	DeadlineGRPC                             // grpc-timeout: 1250m
)

// passDeadline writes what is left of the exchange's time, a millisecond at least.
func (x *Exchange) passDeadline(now int64) {
	left := max(x.Deadline-now, 1e6) / 1e6
	var room [24]byte
	b := strconv.AppendInt(room[:0], left, 10)
	if x.PassDeadline&DeadlineGRPC != 0 && left < 1e8 { // eight digits at most
		x.Req.SetBytes("grpc-timeout", append(b, 'm'))
	}
	if x.PassDeadline&DeadlineMillis != 0 {
		b = append(b, "ms"...)
	} else {
		b = strconv.AppendFloat(room[:0], float64(left)/1000, 'f', -1, 64)
	}
	x.Req.SetBytes("X-Request-Timeout", b)
}

// Reset makes x ready for another request. Buffers stay.
func (x *Exchange) Reset() {
	x.Request.reset()
	x.Response.reset()
	x.Attempt, x.Course, x.Times = Attempt{}, Course{}, Timing{}
	x.Match.Status, x.Match.Allow = 0, nil
	clear(x.Slot[:cap(x.Slot)])
	x.body = BytesBody{}
}

func (x *Exchange) closeOut() {
	if x.Out != nil {
		_ = x.Out.Close() // a body that is replaced is not read again; its peer learns of it in Release
		x.Out = nil
	}
}
