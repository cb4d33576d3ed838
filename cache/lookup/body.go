package lookup

import (
	"bytes"
	"errors"
	"io"
	"slices"

	"github.com/penstock-edge/penstock/cache/key"
	"github.com/penstock-edge/penstock/cache/outcome"
	"github.com/penstock-edge/penstock/edge"
)

// keyed are the requests of a route whose bodies are a part of their keys (RFC 10008 section 2, for QUERY).
type keyed struct {
	methods []string
	most    int64 // bytes of a body
}

// takes reports whether requests with a method are stored with their bodies in the key. k may be nil.
func (k *keyed) takes(method []byte) bool {
	return k != nil && slices.ContainsFunc(k.methods, func(m string) bool { return m == string(method) })
}

// read adds the body of a request to the key in r; r.why says why it is too much for that. It returns Wait
// where more of the body is yet to come. x.In has all of it still, in memory where it is in the key.
func (k *keyed) read(x *edge.Exchange, r *record) edge.Verdict {
	b, here := x.WholeIn()
	switch {
	case x.InLen > k.most || int64(len(b)) > k.most:
		r.why = outcome.LargeBody
		return edge.Next
	case here:
	case !x.MayWait:
		return edge.Wait
	default:
		if b, r.why, x.Fault = k.readBody(x); x.Fault != nil {
			return edge.Answered
		}
	}
	if r.why == outcome.None {
		r.Exact = key.AppendBody(r.Exact, x, b)
		r.URL = r.Exact[bytes.IndexByte(r.Exact, 0)+1:][:len(r.URL)] // it may have moved
	}
	return edge.Next
}

// readBody reads a body from the client, and puts what it has read back in front of what is left. why is not
// None when it is too much for a key.
func (k *keyed) readBody(x *edge.Exchange) (body []byte, why outcome.Reason, f *edge.Fault) {
	room := int64(4 << 10)
	if x.InLen >= 0 {
		room = x.InLen
	}
	in, buf := x.In, make([]byte, 0, room+1) // one more, that the end is seen at once
	for int64(len(buf)) <= k.most {
		if len(buf) == cap(buf) {
			buf = slices.Grow(buf, len(buf))
		}
		n, err := in.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			if !errors.As(err, &f) {
				f = edge.ClientGone
			}
			return nil, outcome.None, f
		}
	}
	switch {
	case int64(len(buf)) > k.most:
		why = outcome.LargeBody
	case len(in.Trailer()) > 0:
		why = outcome.WithTrailer
	default:
		x.In, x.InLen = &readBody{BytesBody: *edge.NewBytesBody(buf), in: in}, int64(len(buf))
		return buf, outcome.None, nil
	}
	x.In = &resumed{edge.Wrapper{In: in}, buf}
	return nil, why, nil
}

// readBody is a body that was read to its end.
type readBody struct {
	edge.BytesBody
	in io.Closer
}

// Close implements edge.Body.
func (b *readBody) Close() error {
	_ = b.BytesBody.Close() // never fails
	return b.in.Close()
}

// resumed is a body whose beginning was read.
type resumed struct {
	edge.Wrapper
	head []byte
}

// Read implements edge.Body.
func (b *resumed) Read(p []byte) (int, error) {
	if len(b.head) == 0 {
		return b.In.Read(p)
	}
	n := copy(p, b.head)
	b.head = b.head[n:]
	return n, nil
}

// Ready implements edge.Body.
func (b *resumed) Ready() bool { return len(b.head) > 0 || b.In.Ready() }
