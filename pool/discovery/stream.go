package discovery

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"
)

// openStream sends a request whose answer goes on, and waits for the head of it no longer than for any
// answer.
func openStream(c *caller, req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(req.Context())
	timer := time.AfterFunc(callTimeout, func() { cancel(errors.New("no answer in time")) })
	resp, err := c.do(req.WithContext(ctx))
	if !timer.Stop() || err != nil {
		if err == nil {
			resp.Body.Close()
		}
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		cancel(nil)
		return nil, err
	}
	resp.Body = &cancelBody{resp.Body, cancel}
	return resp, nil
}

// cancelBody frees the context of a stream along with it.
type cancelBody struct {
	io.ReadCloser
	cancel context.CancelCauseFunc
}

func (b *cancelBody) Close() error {
	b.cancel(nil)
	return b.ReadCloser.Close()
}

// bounded fails rather than read more than left bytes.
type bounded struct {
	r    io.Reader
	left int64
	err  error // of r, when it has ended in whatever way
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errTooLong
	}
	n, err := b.r.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	b.err = err
	return n, err
}

// stream decodes the events of an answer that goes on, each of bounded size.
type stream struct {
	body    bounded
	decoder *json.Decoder
}

func newStream(body io.Reader) *stream {
	s := &stream{body: bounded{r: body}}
	s.decoder = json.NewDecoder(&s.body)
	return s
}

func (s *stream) next(into any) error {
	s.body.left = maxEvent
	return s.decoder.Decode(into)
}

// ended distinguishes the error of a stream that has come to its end, or was cut off, from that of one that
// sends what cannot be read.
func (s *stream) ended(err error) bool {
	return s.body.err != nil && (errors.Is(err, s.body.err) || errors.Is(err, io.ErrUnexpectedEOF))
}
