package requestid

import (
	"fmt"
	"strconv"
	"sync"

	"github.com/valyala/fasthttp"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/header"
)

// forward sends the id to the target, in place of all that the client sent.
type forward struct{}

// Run implements edge.Filter.
func (forward) Run(x *edge.Exchange) edge.Verdict {
	if !x.NoClaims && len(x.Req.PeekAll(name)) > 1 { // SetCanonical replaces the first only
		if err := thinRequest(&x.Req); err != nil {
			x.Fault, x.Cause = edge.Internal, err // better no request than one with two ids
			return edge.Answered
		}
	}
	x.Req.SetCanonical(key, x.RequestID)
	return edge.Next
}

// reply puts the id into the answer, in place of all that the target sent.
type reply struct{ *identify }

// Run implements edge.Filter.
func (r reply) Run(x *edge.Exchange) edge.Verdict {
	if len(x.RequestID) == 0 { // another Early filter answered before identify ran
		r.make(x)
	}
	if !x.Claims() {
		x.AddField(key, x.RequestID)
		return edge.Next
	}
	if len(x.Resp().PeekAll(name)) > 1 {
		thinResponse(x.Resp())
	}
	x.Resp().SetCanonical(key, x.RequestID)
	return edge.Next
}

// thinner is room for taking lines out of a head.
type thinner struct {
	text  header.Text
	again fasthttp.ResponseHeader
}

var thinners = sync.Pool{New: func() any { return new(thinner) }}

func (t *thinner) release() {
	if !t.text.IsLarge() {
		thinners.Put(t)
	}
}

func isID(field []byte) bool { return string(field) == name }

// thinRequest takes all ids out of h. The order of the other fields does not change.
func thinRequest(h *fasthttp.RequestHeader) error {
	t := thinners.Get().(*thinner)
	defer t.release()
	t.text.Bytes = h.AppendBytes(t.text.Bytes[:0])
	if err := t.text.ReadWithout(h, isID); err != nil {
		return fmt.Errorf("cannot read the request's head again: %w", err)
	}
	return nil
}

// thinResponse does the same with an answer. One that cannot be read again loses its ids all the same: the
// order of the others is what it may lose too.
func thinResponse(h *fasthttp.ResponseHeader) {
	t := thinners.Get().(*thinner)
	defer t.release()
	t.text.Bytes = appendHead(t.text.Bytes[:0], h)
	t.again.SetNoDefaultContentType(true)
	if t.text.ReadWithout(&t.again, isID) != nil {
		h.Del(name)
		return
	}
	t.again.SetProtocol(nil)
	t.again.SetNoDefaultContentType(true)
	t.again.CopyTo(h)
}

// appendHead writes h field by field: its own AppendBytes sets another Date. Connection is left out; the
// front writes it anew.
func appendHead(dst []byte, h *fasthttp.ResponseHeader) []byte {
	dst = strconv.AppendInt(append(dst, "HTTP/1.1 "...), int64(h.StatusCode()), 10)
	dst = append(append(append(dst, ' '), h.StatusMessage()...), "\r\n"...)
	for k, v := range h.All() {
		if string(k) != "Connection" {
			dst = append(append(dst, k...), ": "...)
			dst = append(append(dst, v...), "\r\n"...)
		}
	}
	return append(dst, "\r\n"...)
}
