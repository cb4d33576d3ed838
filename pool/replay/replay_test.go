package replay

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/bodytest"
)

// broken is a body that fails at its end.
type broken struct{ io.Reader }

func (b broken) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if errors.Is(err, io.EOF) {
		err = edge.ClientGone
	}
	return n, err
}

func TestReplay(t *testing.T) {
	f := func(in io.Reader, most int64, read int, again bool) {
		t.Helper()
		x := &edge.Exchange{}
		x.In, x.InLen = edge.ReaderBody{R: in}, -1
		Remember(x, most)
		first := make([]byte, read)
		n, _ := io.ReadFull(x.In, first) // shorter is as good
		if x.InBytes = int64(n); x.Replayable() != again {
			t.Errorf("replayable: %v", !again)
		}
		if again {
			all, err := io.ReadAll(x.In)
			if err != nil || string(all) != "0123456789" {
				t.Errorf("read again: %q, %v", all, err)
			}
			if x.Replayable() != (most >= 10) {
				t.Error("a third time, though it is too long, or not though it is not")
			}
		}
		Forget(x)
		if _, ok := x.In.(*body); ok {
			t.Error("the body keeps its memory")
		}
	}
	text := func() io.Reader { return strings.NewReader("0123456789") }
	f(text(), 10, 0, true)
	f(text(), 10, 4, true)
	f(text(), 10, 10, true)
	f(text(), 10, 20, true)
	f(text(), 9, 4, true)
	f(text(), 9, 10, false)
	f(broken{text()}, 10, 20, false)
}

func TestReplayAsWrapper(t *testing.T) {
	var r *body
	bodytest.Wrapper(t, bodytest.Case{Name: "body", Wrap: func(in edge.Body) edge.Body {
		r = &body{Wrapper: edge.Wrapper{In: in}, most: 1000}
		return r
	}})
	if r.Rewind() {
		t.Error("a body that has broken off can begin anew")
	}
}

// A body in memory, or one known to be too long, is left alone.
func TestRememberLeavesAlone(t *testing.T) {
	f := func(in edge.Body, length int64) {
		t.Helper()
		x := &edge.Exchange{}
		x.In, x.InLen = in, length
		Remember(x, 100)
		if x.In != in {
			t.Error("it is wrapped")
		}
	}
	f(nil, 0)
	f(edge.NewBytesBody([]byte("abc")), 3)
	f(edge.ReaderBody{R: strings.NewReader("")}, 101)
}
