package wire

import "bytes"

// kind is what a field name means to the scanner.
type kind uint8

const (
	kindOther kind = iota // end-to-end, nothing to learn from it
	kindHost
	kindContentLength
	kindTransferEncoding
	kindConnection
	kindUpgrade
	kindTE
	kindTrailer
	kindExpect
	kindCookie
	kindHop   // belongs to one connection; never forwarded
	kindClaim // tells of the client, or names the request; see Request.Claims
)

// longestName is how many bytes of a name guarded looks at: no name or prefix it knows is longer.
const longestName = 32

// field is the line that scan has read last; its offsets are places in the scanned bytes.
type field struct {
	start, nameEnd, valueStart, valueEnd, next int

	odd        bool // the name has a byte that is no letter, digit or "-"
	underscore bool // it has a "_"
	maybeKnown bool // the name has the first byte and the length of a known one; else it is kindOther
}

func (f *field) name(src []byte) []byte  { return src[f.start:f.nameEnd] }
func (f *field) value(src []byte) []byte { return src[f.valueStart:f.valueEnd] }

// scan reads the field line at src[at:], CRLF included: name ":" OWS value OWS (RFC 9112 section 5).
func (f *field) scan(src []byte, at int) fault {
	f.start = at
	var seen uint8
	for ; at < len(src); at++ {
		c := lower[src[at]]
		if c == 0 {
			break
		}
		seen |= c
	}
	if at == f.start || at == len(src) || src[at] != ':' {
		return nameFault(src, f.start, at)
	}
	f.odd = seen&isOdd != 0
	f.underscore = f.odd && bytes.IndexByte(src[f.start:at], '_') >= 0
	f.maybeKnown = knownLengths[lower[src[f.start]]]>>min(at-f.start, 31)&1 != 0
	f.nameEnd = at
	at++
	for at < len(src) && (src[at] == ' ' || src[at] == '\t') {
		at++
	}
	f.valueStart = at
	end, bad := lineEnd(src, at)
	if bad != faultNone {
		return bad
	}
	f.next = end + 2
	for end > at && (src[end-1] == ' ' || src[end-1] == '\t') {
		end--
	}
	f.valueEnd = end
	return faultNone
}

// nameFault returns why the name that begins at start and breaks off at at is no field name.
func nameFault(src []byte, start, at int) fault {
	switch {
	case at == len(src):
		return faultIncomplete
	case at == start && (src[at] == ' ' || src[at] == '\t'):
		return faultFold
	case src[at] == '\n':
		return faultBareLF
	}
	return faultName
}

// known are the fields the scanner acts on.
var known = [...]struct {
	name string
	kind kind
}{
	{"host", kindHost},
	{"content-length", kindContentLength},
	{"transfer-encoding", kindTransferEncoding},
	{"connection", kindConnection},
	{"upgrade", kindUpgrade},
	{"te", kindTE},
	{"trailer", kindTrailer},
	{"expect", kindExpect},
	{"cookie", kindCookie},
	// RFC 9110 sections 7.6.1 and 11.7, RFC 9113 section 3.1; "close" is reserved.
	{"keep-alive", kindHop},
	{"close", kindHop},
	{"proxy-connection", kindHop},
	{"proxy-authenticate", kindHop},
	{"proxy-authorization", kindHop},
	{"proxy-authentication-info", kindHop},
	{"http2-settings", kindHop},
	{"via", kindClaim},
	{"forwarded", kindClaim},
	{"x-real-ip", kindClaim},
	{"x-request-id", kindClaim},
}

// claimPrefix begins the names of more of that kind.
const claimPrefix = "x-forwarded-"

// knownLengths has, for the first byte of a name in lower case, a bit for each length of a known name,
// the last for 31 and more: most names are sorted out by it. Made from known before main.
var knownLengths = makeKnownLengths()

func makeKnownLengths() (t [256]uint32) {
	for _, k := range known {
		t[k.name[0]] |= 1 << len(k.name)
	}
	for n := len(claimPrefix); n < 32; n++ {
		t[claimPrefix[0]] |= 1 << n
	}
	return t
}

// classify returns the kind of a field name, which is a token.
func classify(name []byte) kind {
	for i := range known {
		if k := &known[i]; equalFold(name, k.name) {
			return k.kind
		}
	}
	if n := len(claimPrefix); len(name) >= n && equalFold(name[:n], claimPrefix) {
		return kindClaim
	}
	return kindOther
}

// guardedPrefixes are families of fields that steer routing, identity or caching.
var guardedPrefixes = [...]string{
	"x-forwarded-", "content-", "if-", "sec-", "access-control-", "proxy-",
}

// guarded reports whether a field must neither be taken out by naming it in Connection (RFC 9110 section
// 7.6.1 forbids options that name end-to-end fields, and senders do it to slip past a check) nor be
// brought in by a trailer (RFC 9110 section 6.5.1). low is in lower case.
func guarded(low []byte) bool {
	switch string(low) {
	case "host", "te", "trailer", "transfer-encoding", "connection", "upgrade", "keep-alive", "close",
		"http2-settings", "expect", "max-forwards",
		"authorization", "www-authenticate", "authentication-info", "cookie", "set-cookie",
		"forwarded", "via", "x-real-ip", "x-request-id", "traceparent", "tracestate", "origin", "referer",
		"x-original-url", "x-rewrite-url", "x-http-method", "x-http-method-override", "x-method-override",
		"age", "cache-control", "date", "expires", "last-modified", "location", "pragma", "range",
		"accept-ranges", "retry-after", "vary", "warning", "server", "strict-transport-security",
		"x-content-type-options", "x-frame-options":
		return true
	}
	for _, p := range guardedPrefixes {
		if bytes.HasPrefix(low, []byte(p)) {
			return true
		}
	}
	return false
}

// forbiddenInTrailer is guarded, except for the digest that is made to come after its content (RFC 9530
// section 2).
func forbiddenInTrailer(low []byte) bool {
	return string(low) != "content-digest" && guarded(low)
}

// decides reports whether a field says where a message ends, whom it is for or from whom it comes: a client
// that sends one in a trailer means to be read in two ways. low is in lower case.
func decides(low []byte) bool {
	switch string(low) {
	case "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer",
		"host", "forwarded", "x-real-ip", "authorization", "proxy-authorization", "cookie":
		return true
	}
	return bytes.HasPrefix(low, []byte(claimPrefix))
}

// lowerInto returns the first bytes of the token name in lower case, as many as buf takes, with "-" for what
// is no letter or digit.
func lowerInto(buf *[longestName]byte, name []byte) []byte {
	low := buf[:min(len(name), longestName)]
	for i := range low {
		if low[i] = lower[name[i]]; low[i]&isOdd != 0 {
			low[i] = '-' // what targets may take it for
		}
	}
	return low
}
