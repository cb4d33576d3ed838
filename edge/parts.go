package edge

import (
	"net/netip"
	"time"

	"github.com/penstock-edge/penstock/edge/lib/header"
)

// Request is what a client asks, and what is made of it for the upstream.
type Request struct {
	// Req are the fields of the request as the client wrote them, Host among them, without hop-by-hop fields and
	// framing, which the Peer writes. The Host toward the upstream is OutHost.
	Req header.Fields
	// In is the request's body; nil when there is none.
	In Body
	// InMax is the largest body in bytes that In delivers; beyond it, it fails with BodyTooLarge. Filters may
	// change it before the body is read.
	InMax int64
	// InLen is the length of In in bytes; -1 when it is not known beforehand (chunked).
	InLen int64
	// InBytes counts the bytes of In received, HeadBytes those of the head.
	InBytes   int64
	HeadBytes int

	Method []byte // as received
	Scheme string // "http" or "https", of the client's side
	// Host is lower-case, without port; Authority is the host as received, with its port. Both are empty for
	// an HTTP/1.0 request without Host.
	Host, Authority []byte
	Path            []byte // canonical, what routes are matched on
	Query           []byte // raw, without '?'
	HasQuery        bool   // a '?' was present
	// NoClaims is true when the head came without Via, Forwarded, X-Real-Ip, X-Request-Id and X-Forwarded-*.
	NoClaims   bool
	Cookie     []byte // all Cookie lines, joined
	Upgrade    []byte // protocol the client asks to switch to; nil for an ordinary request
	Minor      int    // HTTP/1.Minor, as the client spoke
	TETrailers bool   // the client sent TE: trailers
	Expects    bool   // the client may wait for a 100 before it sends In
	NoTrailers bool   // the client sent TE without trailers

	Peer     netip.Addr // other end of the socket, or the one of a trusted PROXY header
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

	// OutPath is the path toward the upstream; Rewrite filters replace it, it starts as Path.
	OutPath []byte
	// OutHost is the Host toward the upstream; nil: the target's own address.
	OutHost []byte

	rooms
}

// rooms are the buffers of a request.
type rooms struct {
	method  []byte // for Method
	outPath []byte // for OutPath
	outHost []byte // for OutHost
	host    []byte // for the Host that nobody has chosen
	raw     []byte // for Query, Cookie and Upgrade
}

// reset empties r; buffers stay.
func (r *Request) reset() {
	req, id, host, path, authority := r.Req, r.RequestID[:0], r.Host[:0], r.Path[:0], r.Authority[:0]
	room := r.rooms
	*r = Request{} // by itself: a literal with what is kept would be made elsewhere and copied
	r.Req, r.RequestID, r.Host, r.Path, r.Authority, r.rooms = req, id, host, path, authority, room
	r.Req.Reset()
}

// Identity is who asks, as far as that has been proven. Nothing proves it yet.
type Identity struct{}

// Response is the answer, and who gave it. It moves from one exchange to another as one value.
type Response struct {
	// Resp is the head of the answer, without hop-by-hop fields and framing; the front writes its framing,
	// Connection, and a missing Date.
	Resp Answer
	// Out is the body of the answer; nil when no byte follows the head.
	Out Body
	// OutLen is what Content-Length says; -1: nothing known, the body ends by chunked framing or by closing.
	OutLen int64
	// Tunnel is the upstream's side of a switched connection, after a 101.
	Tunnel Tunnel
	// TunnelIdle is how long both sides of a tunnel may be silent.
	TunnelIdle time.Duration
	// PoolName and TargetName are who was asked last; empty for local answers.
	PoolName, TargetName string
	// Held is what the Peer keeps between RoundTrip and Release; nothing else touches it.
	Held any

	peer Peer
}

// reset empties r; buffers stay.
func (r *Response) reset() {
	head := r.Resp
	*r = Response{} // by itself, as above
	r.Resp = head
	r.Resp.SetLines(nil, nil)
	r.Resp.status, r.Resp.reason = 200, r.Resp.reason[:0]
}

// Attempt is what is known of the attempts at an upstream.
type Attempt struct {
	Attempts int  // made so far, hedges included
	Fresh    bool // the next attempt must not reuse an idle connection
	// Uploading is true when a goroutine of the peer still reads In while the answer is sent.
	Uploading bool
	// TryDeadline bounds the attempt under way up to the head of its answer, in clock.Now nanoseconds; 0: none.
	TryDeadline int64
	// Call is what the upstream remembers from one attempt to the next; only it uses what is in it.
	Call Call

	starter Starter       // the peer, while an attempt is under way that Start has begun
	backoff time.Duration // before the next attempt
}

// Call is the memory of an upstream during one exchange.
type Call struct {
	// Ender is called once when the exchange has ended, after the last Release; nil: none.
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
	// End is called once when the exchange has ended; x.Fault is how.
	End(x *Exchange)
}

// Timing are points in an exchange's life, in clock.Now nanoseconds; 0: not reached.
type Timing struct {
	Start  int64 // first byte of the head seen
	Head   int64 // head complete
	Policy int64 // request phases done, before the first attempt
	First  int64 // head of the answer ready
	Done   int64 // body closed
	Trip
}

// Trip is the part of Timing that belongs to an answer.
type Trip struct {
	Sent    int64 // head of the request written to the upstream, last attempt
	Answer  int64 // head of the answer read from the upstream, last attempt
	Connect int64 // nanoseconds the last attempt spent connecting
	Wait    int64 // nanoseconds all attempts have waited for a free connection
}

// Course is how an exchange goes.
type Course struct {
	Gen  *Generation
	Plan *Plan
	// Arm is which entry of the route's split takes the request, from 1; 0: none has been chosen.
	Arm int
	// Deadline bounds the whole exchange, in clock.Now nanoseconds; 0: none.
	Deadline int64
	// PassDeadline is how each request to the upstream carries the time left until Deadline; 0: not at all.
	PassDeadline DeadlineForm
	MayWait      bool // filters and Upstream.Pick may wait: a goroutine serves the exchange
	// Close is true when the client's connection ends after this exchange.
	Close bool
	// Local is true when the answer was made here: by a filter or from a Fault.
	Local bool
	// Fault is why the gateway answered itself, or why the answer was cut; nil when all went well.
	Fault *Fault
	// Cause is the error behind Fault, for the log only: it may name addresses.
	Cause error
	// OutBytes counts the bytes of the answer's body that were sent.
	OutBytes int64

	at   Phase  // where the exchange stands,
	next int    // and which filter of that phase is next
	cut  *Fault // why sending failed
}
