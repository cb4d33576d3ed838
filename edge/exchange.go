// Package edge is the contract of the house and the story of a request: what an exchange is, which phases it
// passes (phase.go), what can go wrong (fault.go), what a feature may add (feature.go), and the flow itself
// (flow.go). Everything points here; this package knows no feature, no socket and no pool.
package edge

import (
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/penstock-edge/penstock/edge/lib/header"
	"github.com/penstock-edge/penstock/edge/lib/poll"
	"github.com/penstock-edge/penstock/edge/route"
)

// Exchange is one request and its answer. The front fills the request and calls Serve. All byte slices live
// as long as the exchange; not after Reset.
type Exchange struct {
	// Req are the fields of the request as the client wrote them, Host among them, without hop-by-hop fields and
	// framing, which the Peer writes. The Host toward the upstream is OutHost.
	Req header.Fields
	// Resp is the head of the answer, likewise; the front writes its framing, Connection, and a missing Date.
	Resp Answer
	Facts
	// Match is the route found, with the parameters of its path; large, and cleared by the next lookup.
	Match route.Match

	// Slot holds the memory of features that asked for it with Host.Slot.
	Slot []any

	key     route.Key
	at      Phase // where the exchange stands,
	next    int   // and which filter of that phase is next
	peer    Peer
	starter Starter       // peer, while an attempt is under way that Start has begun
	cut     *Fault        // why sending failed
	aside   *aside        // an answer kept for want of a better one; nil: never needed
	backoff time.Duration // before the next attempt
	own     Fault         // room for a fault made for this exchange alone
	body    BytesBody     // room for the body of a local answer
	scratch []byte        // bytes of that body
	method  []byte        // room for Method
	outPath []byte        // room for OutPath
	outHost []byte        // room for OutHost
	host    []byte        // room for the Host that nobody has chosen
	raw     []byte        // room for Query, Cookie and Upgrade
}

// Facts is what is known of an exchange; Exchange.Reset clears it as one value.
type Facts struct {
	// In is the request's body; nil when there is none.
	In Body
	// InMax is the largest body in bytes that In delivers; beyond it, it fails with BodyTooLarge. Filters may
	// change it before the body is read.
	InMax int64
	// InLen is the length of In in bytes; -1 when it is not known beforehand (chunked).
	InLen int64

	Method []byte // as received
	Scheme string // "http" or "https", of the client's side
	// Host is lower-case, without port; Authority is the host as received, with its port. Both are empty for
	// an HTTP/1.0 request without Host.
	Host, Authority []byte
	Path            []byte // canonical, what routes are matched on
	Query           []byte // raw, without '?'
	HasQuery        bool   // a '?' was present
	// NoClaims tells that the head came without Via, Forwarded, X-Real-Ip, X-Request-Id and X-Forwarded-*.
	NoClaims   bool
	Cookie     []byte // all Cookie lines, joined
	Upgrade    []byte // protocol the client asks to switch to; nil for an ordinary request
	Minor      int    // HTTP/1.Minor, as the client spoke
	TETrailers bool   // the client said TE: trailers
	Expects    bool   // the client may wait for a 100 before it sends In
	NoTrailers bool   // the client said TE, and no trailers in it

	Peer     netip.Addr // other end of the socket, or what a trusted PROXY header said
	Client   netip.Addr // who asks: Peer, or beyond the trusted proxies
	Trusted  bool       // Peer is a trusted proxy: its X-Forwarded-* and X-Request-Id are believed
	Listener string
	Lane     uint32 // which shard of the counters to use
	// Class is how important the request is when not all can be served.
	Class Class
	// Conn is the client's connection as far as the flow may know it; never nil.
	Conn ClientConn
	// Loop is Conn when a loop serves it; nil: attempts are made by RoundTrip alone.
	Loop LoopConn
	// Ends is the connection of the client on whose behalf targets are asked; nil: there is none, the request is
	// the gateway's own.
	Ends Ends

	RequestID []byte

	// Arm is which entry of the route's split takes the request, from 1; 0: none has been chosen.
	Arm int

	// OutPath is the path toward the upstream; Rewrite filters replace it, it starts as Path.
	OutPath []byte
	// OutHost is the Host toward the upstream; nil: the target's own address.
	OutHost []byte

	// Out is the body of the answer; nil when no byte follows the head.
	Out Body
	// OutLen is what Content-Length says; -1: nothing known, the body ends by chunked framing or by closing.
	OutLen int64
	// Uploading tells that a goroutine of the peer still reads In while the answer is sent.
	Uploading bool
	// Tunnel is the upstream's side of a switched connection, after a 101.
	Tunnel Tunnel
	// TunnelIdle is how long both sides of a tunnel may be silent.
	TunnelIdle time.Duration

	Gen   *Generation
	Plan  *Plan
	Times Times

	// Deadline bounds the whole exchange, in clock.Now nanoseconds; 0: none.
	Deadline int64
	// TryDeadline bounds the attempt under way up to the head of its answer, likewise.
	TryDeadline int64
	Attempts    int  // attempts made so far, hedges included
	Fresh       bool // the next attempt must not reuse an idle connection
	MayWait     bool // filters and Upstream.Pick may wait: a goroutine serves the exchange
	// PassDeadline is how each request toward the upstream says what is left until Deadline; 0: not at all.
	PassDeadline DeadlineForm
	// Call is what the upstream remembers from one attempt to the next; only it uses what is in it.
	Call Call
	// Held is what the Peer keeps between RoundTrip and Release; nobody else touches it.
	Held any

	// Fault is why the gateway answered itself, or why the answer was cut; nil when all went well.
	Fault *Fault
	// Cause is the error behind Fault, for the log only: it may name addresses.
	Cause error
	// Local tells that the answer was made here: by a filter or from a Fault.
	Local bool
	// PoolName and TargetName tell who was asked last; empty for local answers.
	PoolName, TargetName string
	// InBytes and OutBytes count body bytes received and sent.
	InBytes, OutBytes int64
	// HeadBytes counts the bytes of the request's head.
	HeadBytes int
	// Close tells that the client's connection ends after this exchange.
	Close bool
}

// Call is the memory of an upstream during one exchange.
type Call struct {
	// Ender is told once when the exchange has ended, after the last Release; nil: nobody.
	Ender Ender
	// Tried are the peers asked so far, the first ones of them.
	Tried [3]Peer
	// Permits are what the upstream's guards have given out for the exchange and for the attempt under way.
	Permits [2]uint64
	Began   int64 // when the first peer was chosen, in clock.Now nanoseconds
	Status  int   // of the last answer's head; 0: none came
	Flags   uint32
	Retries int // attempts that policy has added
	// Stick is the peer that the client is to stick to; nil: to none, or it does already.
	Stick Peer
}

// Ender is an upstream that counts whole exchanges.
type Ender interface {
	// End is called once when the exchange has ended; x.Fault tells how.
	End(x *Exchange)
}

// Times are points in an exchange's life, in clock.Now nanoseconds; 0: not reached.
type Times struct {
	Start   int64 // first byte of the head seen
	Head    int64 // head complete
	Policy  int64 // request phases done, before the first attempt
	Sent    int64 // head of the request written to the upstream, last attempt
	Answer  int64 // head of the answer read from the upstream, last attempt
	First   int64 // head of the answer ready
	Done    int64 // body closed
	Connect int64 // nanoseconds the last attempt spent connecting
	Wait    int64 // nanoseconds all attempts have waited for a free connection
}

// ClientConn is what the flow and the pools may ask of the client's connection.
type ClientConn interface {
	// Gone tells that the client has closed its side or was lost.
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
	// Loop returns the loop that waits for the client's socket. Sockets of upstreams are best waited for
	// there too: an exchange then stays on one thread. inside tells that the exchange is served in that loop
	// now: it has heard of everything on its sockets that came before the present round.
	Loop() (l *poll.Loop, inside bool)
	// Resume goes on with the exchange, in the loop on: there is news from its peer.
	Resume(on *poll.Loop)
	// Watch tells that the exchange waits for up: it becomes due soon after the client has left.
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

// ClientEnds returns the client's address and the one that its connection was made to, for who tells a target
// of both. Behind trusted proxies the client's port is not known, and 0. src is not valid when the request is
// the gateway's own, or that of a Unix socket.
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

// Repeatable tells that the request may reach an upstream twice without harm: its method is idempotent (RFC
// 9110 9.2.2, RFC 10008), its client has given it an Idempotency-Key, or its route says so.
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
	x.Req.Reset()
	x.ResetHead()
	x.Facts = Facts{
		RequestID: x.RequestID[:0], Host: x.Host[:0], Path: x.Path[:0], Authority: x.Authority[:0],
	}
	x.Match.Status, x.Match.Allow = 0, nil
	clear(x.Slot[:cap(x.Slot)])
	x.at, x.next = Early, 0
	x.peer, x.starter, x.cut, x.backoff = nil, nil, nil, 0
	x.body = BytesBody{}
}

func (x *Exchange) closeOut() {
	if x.Out != nil {
		_ = x.Out.Close() // a body that is replaced is not read again; its peer learns of it in Release
		x.Out = nil
	}
}
