package edge

import (
	"bytes"

	"github.com/penstock-edge/penstock/edge/lib/clock"
	"github.com/penstock-edge/penstock/edge/lib/header"
	"github.com/penstock-edge/penstock/edge/lib/wire"
)

// TakeRequest makes what m says the head of the request, and of the method, the host and what is kept of the
// line; clean is the block that came with it. Path, which has to be checked, is the caller's.
//
// Fields that could be taken for one that the gateway sets are left out; it returns how many these were.
func (x *Exchange) TakeRequest(m *wire.Request, clean []byte) (alike int) {
	x.Req.SetLines(clean[m.Fields:len(clean)-len("\r\n")], nil)
	x.SetMethod(m.Method)
	x.Authority = append(x.Authority[:0], m.Host...)
	x.KeepRaw(m.Query, m.HasQuery, m.Cookie, m.Upgrade)
	x.TETrailers, x.NoTrailers = m.TETrailers, m.NoTrailers
	x.Minor, x.NoClaims, x.HeadBytes = m.Minor, !m.Claims, m.Len
	if m.Odd {
		alike = x.Req.DelFunc(isLookAlike)
	}
	return alike
}

// own are the fields that the gateway sets or believes, and those that frame and route a message.
var own = header.NewNames("X-Forwarded-*", "Forwarded", "X-Real-Ip", "Via", "X-Request-Id",
	"X-Request-Timeout",
	"Grpc-Timeout", "X-Penstock-*", "Host", "Content-Length", "Transfer-Encoding", "Connection", "Upgrade", "Te",
	"Trailer", "Expect", "Content-Type", "Authorization", "Cookie")

// isLookAlike reports whether a name could be taken for one of own without being it.
func isLookAlike(name []byte) bool { return !header.IsPlain(name) && own.Cover(name) }

// SetMethod copies m as the method.
func (x *Exchange) SetMethod(m []byte) {
	x.method = append(x.method[:0], m...)
	x.Method = x.method
}

// AppendHead appends the head of the next attempt but for its framing and the empty line: the request line
// from OutPath and Query, and the fields of Req with the Host toward the upstream, which is host when no
// filter has chosen one. Peers call it.
func (x *Exchange) AppendHead(dst []byte, host string) []byte {
	if x.PassDeadline != 0 && x.Deadline > 0 {
		x.passDeadline(clock.Now())
	}
	dst = append(append(append(dst, x.Method...), ' '), x.OutPath...)
	if x.HasQuery {
		dst = append(append(dst, '?'), x.Query...)
	}
	dst = append(dst, " HTTP/1.1\r\n"...)
	if x.OutHost != nil {
		return x.Req.AppendWith(dst, "Host", x.OutHost)
	}
	x.host = append(x.host[:0], host...)
	return x.Req.AppendWith(dst, "Host", x.host)
}

// Answer is the head of an answer: its fields, without hop-by-hop fields and framing, and with
// Exchange.Status and Exchange.Reason what the status line says.
type Answer struct {
	header.Fields
	status int    // 0: 200
	reason []byte // empty: that of the status
}

// TakeHead makes what m says the head of the answer; clean is the block that came with it. Framing fields
// are left out: whoever sends the answer on frames it anew.
func (x *Exchange) TakeHead(m *wire.Response, clean []byte) {
	x.Resp.status, x.Resp.reason = m.Status, append(x.Resp.reason[:0], m.Reason...)
	fields := clean[m.Fields : len(clean)-len("\r\n")]
	at := bytes.Index(clean[m.Fields-2:], contentLength) // in normal form, and once
	if at < 0 {
		x.Resp.SetLines(fields, nil)
		return
	}
	rest := fields[at:]
	x.Resp.SetLines(fields[:at], rest[bytes.IndexByte(rest, '\n')+1:])
}

var contentLength = []byte("\r\nContent-Length: ")

// SetHead makes a head that was kept that of the answer: lines are checked fields with CRLF behind each,
// without framing fields. An empty reason is that of the status.
func (x *Exchange) SetHead(status int, reason, lines []byte) {
	x.Resp.status, x.Resp.reason = status, append(x.Resp.reason[:0], reason...)
	x.Resp.SetLines(lines, nil)
}

// ResetHead makes the head of the answer an empty 200.
func (x *Exchange) ResetHead() { x.SetHead(200, nil, nil) }

// Status returns the status of the answer.
func (x *Exchange) Status() int {
	if x.Resp.status == 0 {
		return 200
	}
	return x.Resp.status
}

// SetStatus changes the status of the answer; the reason is that of the status then.
func (x *Exchange) SetStatus(status int) { x.Resp.status, x.Resp.reason = status, x.Resp.reason[:0] }

// Reason returns the target's reason phrase; empty when it sent none.
func (x *Exchange) Reason() []byte { return x.Resp.reason }
