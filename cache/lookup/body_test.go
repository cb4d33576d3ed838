package lookup

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/penstock-edge/penstock/cache/cachetest"
	"github.com/penstock-edge/penstock/cache/fetch"
	"github.com/penstock-edge/penstock/cache/key"
	"github.com/penstock-edge/penstock/cache/outcome"
	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/bodytest"
)

func TestResumed(t *testing.T) {
	bodytest.Wrapper(t, bodytest.Case{Name: "resumed", Wrap: func(in edge.Body) edge.Body {
		return &resumed{Wrapper: edge.Wrapper{In: in}}
	}})
}

// TestKeyedBody: a body that is read for the key is there still, whole or not, and what is too large for the
// key comes as it came.
func TestKeyedBody(t *testing.T) {
	k := &keyed{[]string{"QUERY"}, 5000}
	ask := func(in edge.Body, length int64, wait bool, fields ...string) (*edge.Exchange, *record, edge.Verdict) {
		x := cachetest.Request("/a", fields...)
		x.Method, x.In, x.InLen, x.MayWait = []byte("QUERY"), in, length, wait
		r := &record{Question: fetch.Question{Route: "r"}}
		r.Exact, r.URL = key.New(nil).Append(nil, x, "r")
		return x, r, k.read(x, r)
	}
	closed := 0
	stream := func(r io.Reader) edge.Body { return &counted{edge.ReaderBody{R: r}, &closed} }
	text := strings.Repeat("0123456789", 500)
	_, here, v := ask(edge.NewBytesBody([]byte(text)), 5000, false)
	if v != edge.Next || here.why != outcome.None || string(here.URL) != "http://h.example/a" {
		t.Errorf("a body in memory: %v %s, url %q", v, here.why.Word(), here.URL)
	}
	if _, _, v := ask(stream(strings.NewReader(text)), 5000, false); v != edge.Wait {
		t.Errorf("in the loop: %v", v)
	}
	for name, in := range map[string]io.Reader{"at once": strings.NewReader(text), "in bytes": iotest.OneByteReader(strings.NewReader(text)),
		"with its end": iotest.DataErrReader(strings.NewReader(text))} {
		for _, length := range []int64{-1, 5000} {
			x, r, v := ask(stream(in), length, true)
			b, err := io.ReadAll(x.In)
			if v != edge.Next || r.why != outcome.None || string(b) != text || err != nil || x.InLen != 5000 || !bytes.Equal(r.Exact, here.Exact) {
				t.Errorf("%s: %v %s, %d bytes, %v, length %d", name, v, r.why.Word(), len(b), err, x.InLen)
			}
			if err := x.In.Close(); err != nil || closed == 0 || !x.Replayable() {
				t.Errorf("%s: %v, closed %d times", name, err, closed)
			}
			in, closed = strings.NewReader(text), 0
		}
	}
	large := text + "x"
	for name, length := range map[string]int64{"chunked": -1, "announced": 5001} {
		x, r, v := ask(stream(iotest.HalfReader(strings.NewReader(large))), length, true)
		b, err := io.ReadAll(x.In)
		if v != edge.Next || r.why != outcome.LargeBody || string(b) != large || err != nil || x.InLen != length {
			t.Errorf("%s: %v %s, %d bytes, %v, length %d", name, v, r.why.Word(), len(b), err, x.InLen)
		}
	}
	x, r, _ := ask(&trailing{edge.ReaderBody{R: strings.NewReader(text)}}, -1, true)
	b, err := io.ReadAll(x.In)
	if r.why != outcome.WithTrailer || string(b) != text || err != nil || string(x.In.Trailer()) != "A: b\r\n" {
		t.Errorf("trailers: %s, %d bytes, %v", r.why.Word(), len(b), err)
	}
	if x, _, v := ask(stream(iotest.ErrReader(edge.BodyTooSlow)), 9, true); v != edge.Answered || x.Fault != edge.BodyTooSlow {
		t.Errorf("a fault: %v %v", v, x.Fault)
	}
	if x, _, v := ask(stream(iotest.ErrReader(errors.New("gone"))), -1, true); v != edge.Answered || x.Fault != edge.ClientGone {
		t.Errorf("an error: %v %v", v, x.Fault)
	}
	// What tells questions apart.
	seen := map[string]string{}
	for _, one := range []struct {
		body   string
		fields []string
	}{{"", nil}, {"a", nil}, {"b", nil}, {"a", []string{"Content-Type: a"}}, {"a", []string{"Content-Encoding: a"}},
		{"a", []string{"Content-Language: a"}}, {"a", []string{"Content-Type: a", "Content-Language: a"}}} {
		_, r, _ := ask(edge.NewBytesBody([]byte(one.body)), int64(len(one.body)), false, one.fields...)
		name := one.body + strings.Join(one.fields, ",")
		if other, ok := seen[string(r.Exact)]; ok {
			t.Errorf("%q has the key of %q", name, other)
		}
		seen[string(r.Exact)] = name
	}
}

// counted counts how often it is closed.
type counted struct {
	edge.ReaderBody
	n *int
}

func (c *counted) Close() error {
	*c.n++
	return nil
}

// trailing is a body with a trailer.
type trailing struct{ edge.ReaderBody }

func (*trailing) Trailer() []byte { return []byte("A: b\r\n") }
