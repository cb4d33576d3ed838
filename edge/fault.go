package edge

// Side is whose fault a Fault is.
type Side uint8

// The sides.
const (
	SideClient Side = iota
	SideGateway
	SideUpstream
)

// Retry is when an attempt that failed may be repeated.
type Retry uint8

const (
	// RetryNever: the request may have had its effect.
	RetryNever Retry = iota
	// RetryReused: a reused connection died before any byte of the answer. The target had most likely closed
	// it before the request came, but that cannot be known: only idempotent requests are repeated (RFC 9112
	// 9.3.1).
	RetryReused
	// RetryIdempotent: the request may have been seen; only idempotent ones may be repeated.
	RetryIdempotent
	// RetryUnsent: nothing of the request was sent.
	RetryUnsent
)

// Fault is why an exchange failed. Hot ones are package variables, so that failing costs no allocation.
type Fault struct {
	Status int    // answer to the client; 0: none can be given
	Side   Side   // whose fault
	Retry  Retry  // when the attempt may be repeated
	Code   string // stable, in the answer, the log and the metrics
	Title  string // short text for people; empty: the status text
	Detail string // what happened and what to do; never shows internals
	// RetryAfter is sent as Retry-After, in seconds; 0: not sent.
	RetryAfter int
	// Close ends the client's connection after the answer: its framing is in doubt.
	Close bool
}

// Error implements error.
func (f *Fault) Error() string { return f.Code + ": " + f.Detail }

// Faults that any part of the house may return. Their codes are part of the contract.
var (
	NoRoute = &Fault{Status: 404, Side: SideClient, Code: "no_route",
		Detail: "No route of this gateway matches the request."}
	MethodNotAllowed = &Fault{Status: 405, Side: SideClient, Code: "method_not_allowed",
		Detail: "The path exists, but not for this method; the Allow field lists those it takes."}
	RequestTimeout = &Fault{Status: 408, Side: SideClient, Code: "request_timeout", Close: true,
		Detail: "The request was not received in time."}
	BodyTooSlow = &Fault{Status: 408, Side: SideClient, Code: "body_too_slow", Close: true,
		Detail: "The body arrived below the minimum rate."}
	BodyTooLarge = &Fault{Status: 413, Side: SideClient, Code: "body_too_large", Close: true,
		Detail: "The request's body is larger than this route takes."}
	ClientGone = &Fault{Status: 499, Side: SideClient, Code: "client_gone", Close: true,
		Detail: "The client left before the answer was complete."}
	Internal = &Fault{Status: 500, Side: SideGateway, Code: "internal", Close: true,
		Detail: "The gateway failed while handling the request; its log says more."}
	Exhausted = &Fault{Status: 503, Side: SideGateway, Code: "gateway_exhausted", RetryAfter: 1,
		Detail: "The gateway has no descriptor or memory left for a connection to the upstream."}
	NoUpstream = &Fault{Status: 503, Side: SideUpstream, Retry: RetryUnsent, Code: "no_upstream", RetryAfter: 1,
		Detail: "No target is available to answer."}
	PoolBusy = &Fault{Status: 503, Side: SideUpstream, Code: "pool_busy", RetryAfter: 1,
		Detail: "All connections to the upstream are in use and its queue is full."}
	PoolWait = &Fault{Status: 503, Side: SideUpstream, Code: "pool_wait_timeout", RetryAfter: 1,
		Detail: "No connection to the upstream became free in time."}
	UpstreamConnect = &Fault{Status: 502, Side: SideUpstream, Retry: RetryUnsent, Code: "upstream_connect",
		Detail: "The upstream could not be reached."}
	UpstreamConnectTimeout = &Fault{Status: 504, Side: SideUpstream, Retry: RetryUnsent,
		Code: "upstream_connect_timeout", Detail: "The upstream did not accept a connection in time."}
	UpstreamTLS = &Fault{Status: 502, Side: SideUpstream, Retry: RetryUnsent, Code: "upstream_tls",
		Detail: "The TLS handshake with the upstream failed."}
	UpstreamStale = &Fault{Status: 502, Side: SideUpstream, Retry: RetryReused, Code: "upstream_reset",
		Detail: "The upstream closed the connection before it answered."}
	UpstreamUnsent = &Fault{Status: 502, Side: SideUpstream, Retry: RetryUnsent, Code: "upstream_reset",
		Detail: "The upstream closed the connection before the request was sent."}
	UpstreamReset = &Fault{Status: 502, Side: SideUpstream, Retry: RetryIdempotent, Code: "upstream_reset",
		Detail: "The upstream closed the connection before it answered."}
	UpstreamTimeout = &Fault{Status: 504, Side: SideUpstream, Retry: RetryIdempotent, Code: "upstream_timeout",
		Detail: "The upstream did not answer in time."}
	UpstreamProtocol = &Fault{Status: 502, Side: SideUpstream, Code: "upstream_protocol",
		Detail: "The upstream's answer breaks the rules of HTTP."}
	UpstreamTruncated = &Fault{Status: 502, Side: SideUpstream, Code: "upstream_truncated",
		Detail: "The upstream's answer ended before it was complete."}
	UpstreamUpgrade = &Fault{Status: 502, Side: SideUpstream, Code: "upstream_upgrade",
		Detail: "The upstream switched protocols in a way that was not asked for."}
)

// MustWait is what Upstream.Pick returns when it would have to wait and may not.
var MustWait = &Fault{Status: 503, Side: SideGateway, Code: "must_wait"}
