package observe

import (
	"bytes"
	"net/netip"
	"time"
	"unsafe"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/ip"
	"github.com/penstock-edge/penstock/edge/lib/logline"
)

// field is a value that a line may hold. The order is that of the JSON format.
type field uint8

const (
	fieldTime field = iota
	fieldTimeCLF
	fieldRequestID
	fieldClient
	fieldPeer
	fieldListener
	fieldTLS
	fieldMethod
	fieldScheme
	fieldHost
	fieldPath
	fieldQuery
	fieldProtocol
	fieldRequest
	fieldStatus
	fieldCode
	fieldCause
	fieldRoute
	fieldPool
	fieldTarget
	fieldAttempts
	fieldRequestBytes
	fieldResponseBytes
	fieldUserAgent
	fieldReferer
	fieldSeconds
	fieldSecondsHead // and the other phases, in their order
	fieldCount       = fieldSecondsHead + phaseCount
)

// fieldNames are the names of fields in templates and in JSON.
var fieldNames = [fieldCount]string{
	"time", "time_clf", "request_id", "client", "peer", "listener", "tls", "method", "scheme", "host", "path",
	"query", "protocol", "request", "status", "code", "cause", "route", "pool", "target", "attempts",
	"request_bytes", "response_bytes", "user_agent", "referer", "seconds",
	"seconds_head", "seconds_policy", "seconds_connect", "seconds_wait", "seconds_body",
}

// entry is what one line tells.
type entry struct {
	x      *edge.Exchange
	log    *accessLog
	route  string
	code   string
	status int
	began  time.Time
	took   durations
}

// append appends the value of f as JSON, or as the combined format has it.
func (e *entry) append(dst []byte, f field, json bool) []byte {
	x := e.x
	switch f {
	case fieldTime:
		dst = quote(dst, json)
		dst = logline.AppendTimeRFC3339Milli(dst, e.began)
		return quote(dst, json)
	case fieldTimeCLF:
		return logline.AppendTimeCLF(dst, e.began)
	case fieldClient:
		return appendAddr(dst, x.Client, json)
	case fieldPeer:
		return appendAddr(dst, x.Peer, json)
	case fieldTLS:
		if e.log.secured(x.Listener) {
			return append(dst, "true"...)
		}
		return append(dst, "false"...)
	case fieldRequest:
		return e.appendRequest(dst)
	case fieldStatus:
		return logline.AppendInt(dst, int64(e.status))
	case fieldAttempts:
		return logline.AppendInt(dst, int64(x.Attempts))
	case fieldRequestBytes:
		return logline.AppendInt(dst, x.InBytes)
	case fieldResponseBytes:
		return logline.AppendInt(dst, x.OutBytes)
	case fieldSeconds:
		return logline.AppendSeconds(dst, e.took.total)
	}
	if f >= fieldSecondsHead {
		return appendPhase(dst, e.took.phase[f-fieldSecondsHead], json)
	}
	if json {
		return logline.AppendBytes(dst, e.text(f))
	}
	return logline.AppendCLF(dst, e.text(f))
}

// text returns the value of a field that is neither number nor time. It must not be changed.
func (e *entry) text(f field) []byte {
	x := e.x
	switch f {
	case fieldRequestID:
		return x.RequestID
	case fieldListener:
		return view(x.Listener)
	case fieldMethod:
		return x.Method
	case fieldScheme:
		return view(x.Scheme)
	case fieldHost:
		return x.Host
	case fieldPath:
		return x.Path
	case fieldQuery:
		return x.Query
	case fieldProtocol:
		return view(protocol(x))
	case fieldCode:
		return view(e.code)
	case fieldCause:
		return e.cause()
	case fieldRoute:
		return view(e.route)
	case fieldPool:
		return view(x.PoolName)
	case fieldTarget:
		return view(x.TargetName)
	case fieldUserAgent, fieldReferer:
		return e.sent(f)
	}
	panic("BUG: a field of the access log has no value")
}

// cause returns the error of the attempt that failed last, "" when none did. It may name addresses: answers
// never have it.
func (e *entry) cause() []byte {
	if e.x.Cause == nil {
		return nil
	}
	return []byte(e.x.Cause.Error())
}

// referer returns the page the client came from, without its query string unless query strings are logged.
// sent returns what the client has sent in a field of its request.
func (e *entry) sent(f field) []byte {
	if f == fieldUserAgent {
		return e.x.Req.Get("User-Agent")
	}
	r := e.x.Req.Get("Referer")
	if i := bytes.IndexByte(r, '?'); i >= 0 && !e.log.query {
		return r[:i]
	}
	return r
}

// protocol is empty for a request whose first line could not be read.
func protocol(x *edge.Exchange) string {
	switch {
	case len(x.Method) == 0:
		return ""
	case x.Minor == 0:
		return "HTTP/1.0"
	}
	return "HTTP/1.1"
}

// appendRequest appends the request line as the combined format has it.
func (e *entry) appendRequest(dst []byte) []byte {
	x := e.x
	if len(x.Method) == 0 {
		return append(dst, '-')
	}
	dst = append(logline.AppendCLF(dst, x.Method), ' ')
	dst = logline.AppendCLF(dst, x.Path)
	if x.HasQuery && e.log.query {
		dst = append(dst, '?')
		if len(x.Query) > 0 {
			dst = logline.AppendCLF(dst, x.Query)
		}
	}
	return append(append(dst, ' '), protocol(x)...)
}

func appendAddr(dst []byte, a netip.Addr, json bool) []byte {
	if !json && !a.IsValid() {
		return append(dst, '-')
	}
	return quote(ip.AppendAddr(quote(dst, json), a), json)
}

// appendPhase appends null, or -, for a phase that was not reached.
func appendPhase(dst []byte, d time.Duration, json bool) []byte {
	switch {
	case d >= 0:
		return logline.AppendSeconds(dst, d)
	case json:
		return append(dst, "null"...)
	}
	return append(dst, '-')
}

func quote(dst []byte, json bool) []byte {
	if json {
		return append(dst, '"')
	}
	return dst
}

// view returns the bytes of s without copying them; they must not be changed.
func view(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }
