// Package bodytest checks bodies that stand in front of others: what can be asked of the body behind is not
// lost, and none of its bytes pass the wrapper by. Every type that embeds edge.Wrapper is checked by the
// tests of its package, which a test of this one sees to.
package bodytest

import (
	"errors"
	"io"
	"testing"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/splice"
)

// Text is what the bodies behind wrappers have.
const Text = "0123456789 the bytes of a body, which are these and no others"

// Case is one kind of wrapper.
type Case struct {
	Name string // of the type
	// Wrap returns a body of the kind in front of in, of which nothing has been read.
	Wrap func(in edge.Body) edge.Body
	// Seen returns what the wrapper that Wrap has made last knows of the bytes that were taken; nil: a wrapper
	// of the kind keeps nothing.
	Seen func() string
}

// Wrapper checks a kind of wrapper.
func Wrapper(t *testing.T, c Case) {
	t.Helper()
	bytes(t, c)
	asks(t, c)
	fails(t, c)
}

// bytes takes the bytes in every way there is: each time they are all of them, in order, and the wrapper has
// seen them.
func bytes(t *testing.T, c Case) {
	t.Helper()
	for _, how := range []string{"", "r", "rr", "w", "rw", "p", "pp", "rp", "s", "rs", "R", "rR"} {
		in := &source{whole: true}
		b := c.Wrap(in)
		got, ended := readAs(t, b, how)
		if !ended {
			rest, err := io.ReadAll(b)
			if err != nil {
				t.Errorf("%s %q: %v", c.Name, how, err)
			}
			got += string(rest)
		}
		if got != Text {
			t.Errorf("%s %q: %q", c.Name, how, got)
		}
		if c.Seen != nil && c.Seen() != Text {
			t.Errorf("%s %q: the wrapper has seen %q", c.Name, how, c.Seen())
		}
	}
}

// readAs reads b by the letters of how: r reads some, w asks for all, p for a piece, s splices, R begins
// anew.
func readAs(t *testing.T, b edge.Body, how string) (got string, ended bool) {
	t.Helper()
	for _, way := range how {
		switch way {
		case 'r':
			p := make([]byte, 3)
			n, err := b.Read(p)
			if got += string(p[:n]); err != nil {
				t.Errorf("%q: %v", how, err)
			}
		case 'w':
			if all, ok := b.Whole(); ok {
				return got + string(all), true
			}
		case 'p':
			p, err := b.Piece(true)
			if got += string(p); err != nil && !errors.Is(err, edge.ErrNoPiece) {
				t.Errorf("%q: %v", how, err)
			}
		case 's':
			n, err := b.Splice(nil, 4)
			if got += Text[len(got):][:n]; err != nil && !errors.Is(err, edge.ErrNoSplice) {
				t.Errorf("%q: %v", how, err)
			}
		case 'R':
			if b.Rewind() {
				got = ""
			}
		}
	}
	return got, false
}

// asks asks what is about the body, and not its bytes.
func asks(t *testing.T, c Case) {
	t.Helper()
	in := &source{}
	b := c.Wrap(in)
	if b.Ready() {
		t.Errorf("%s: ready, though nothing has come", c.Name)
	}
	if f := b.Gather(); f != edge.BodyTooSlow {
		t.Errorf("%s: gathering says %v", c.Name, f)
	}
	in.ready = true
	if !b.Ready() {
		t.Errorf("%s: not ready, though bytes have come", c.Name)
	}
	if all, err := io.ReadAll(b); string(all) != Text || err != nil {
		t.Errorf("%s: %q, %v", c.Name, all, err)
	}
	if got := string(b.Trailer()); got != trailer {
		t.Errorf("%s: trailer %q", c.Name, got)
	}
	if err := b.Close(); err != nil || in.closed != 1 {
		t.Errorf("%s: %v, closed %d times", c.Name, err, in.closed)
	}
}

// fails reads a body that breaks off.
func fails(t *testing.T, c Case) {
	t.Helper()
	b := c.Wrap(&source{fault: edge.ClientGone})
	if _, err := io.ReadAll(b); !errors.Is(err, error(edge.ClientGone)) {
		t.Errorf("%s: a body that breaks off ends with %v", c.Name, err)
	}
	if b.Rewind() {
		t.Errorf("%s: a body that has broken off can begin anew", c.Name)
	}
}

const trailer = "A: b\r\n"

// source is a body that can do everything.
type source struct {
	at     int
	whole  bool        // it is in memory
	ready  bool        // so far it has to be waited for
	fault  *edge.Fault // at the end
	closed int
}

// Read implements edge.Body.
func (s *source) Read(p []byte) (int, error) {
	n := copy(p, Text[s.at:])
	if s.at += n; n > 0 || len(p) == 0 {
		return n, nil
	}
	if s.fault != nil {
		return 0, s.fault
	}
	return 0, io.EOF
}

// Close implements edge.Body.
func (s *source) Close() error {
	s.closed++
	return nil
}

// Ready implements edge.Body.
func (s *source) Ready() bool { return s.ready }

// Whole implements edge.Body.
func (s *source) Whole() ([]byte, bool) {
	if !s.whole || s.at > 0 {
		return nil, false
	}
	return []byte(Text), true
}

// Piece implements edge.Body.
func (s *source) Piece(bool) ([]byte, error) {
	p := make([]byte, 5)
	n, err := s.Read(p)
	return p[:n], err
}

// Splice implements edge.Body: bytes are lost to whoever does not look at them.
func (s *source) Splice(_ *splice.Pipe, limit int64) (int, error) {
	return s.Read(make([]byte, limit))
}

// Rewind implements edge.Body.
func (s *source) Rewind() bool {
	s.at = 0
	return true
}

// Gather implements edge.Body.
func (s *source) Gather() *edge.Fault {
	if s.ready {
		return nil
	}
	return edge.BodyTooSlow
}

// Trailer implements edge.Body.
func (s *source) Trailer() []byte {
	if s.at < len(Text) {
		return nil
	}
	return []byte(trailer)
}
