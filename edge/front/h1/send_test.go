package h1

import (
	"io"
	"strings"
	"testing"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/front/client"
)

// halting is a body in pieces, of which those that are empty have to be waited for.
type halting struct {
	edge.Opaque
	pieces []string
	waited int
}

func (h *halting) Read([]byte) (int, error) { panic("not called") }

func (h *halting) Piece(wait bool) ([]byte, error) {
	for len(h.pieces) > 0 {
		p := h.pieces[0]
		if p == "" && !wait {
			return nil, edge.ErrWait
		}
		h.pieces = h.pieces[1:]
		if p != "" {
			return []byte(p), nil
		}
		h.waited++
	}
	return nil, io.EOF
}

// TestSendHalts: a body in memory is sent in the loop until it would have to be waited for; Send then goes
// on with what is left, be that the head.
func TestSendHalts(t *testing.T) {
	l := newRig(t, newApp(t, nil, nil), &client.Settings{})
	try := func(length int64, halts int, fault *edge.Fault, pieces ...string) {
		t.Helper()
		far := l.dial(t)
		c := l.accept(t, false)
		r := acquireRequest()
		r.c = c.conn
		r.in.ended.Store(true)
		x, body := &r.x, &halting{pieces: pieces}
		x.Minor = 1
		x.SetHead(200, nil, []byte("Date: x\r\n"))
		x.Out, x.OutLen = body, length
		o, got := r.Send(x, false)
		if (o == edge.Ended) != (halts == 0) {
			t.Errorf("%q: outcome %v", pieces, o)
		}
		if o == edge.Blocked {
			_, got = r.Send(x, true)
		}
		if got != fault || body.waited != halts {
			t.Errorf("%q: %v, waited %d times", pieces, got, body.waited)
		}
		c.Close(client.Orderly)
		b, err := io.ReadAll(far)
		if _, sent, _ := strings.Cut(string(b), "\r\n\r\n"); err != nil || sent != strings.Join(pieces, "") ||
			x.OutBytes != int64(len(sent)) || strings.Count(string(b), "HTTP/1.1") != 1 {
			t.Errorf("%q: %q", pieces, b)
		}
	}
	try(3, 0, nil, "abc")
	try(6, 0, nil, "abc", "def")
	try(3, 1, nil, "", "abc")
	try(9, 2, nil, "abc", "", "def", "", "ghi")
	try(7, 0, edge.UpstreamTruncated, "abc", "def")
	try(7, 1, edge.UpstreamTruncated, "abc", "", "def")
}
