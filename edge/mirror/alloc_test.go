//go:build !race

package mirror

import (
	"io"
	"testing"

	"github.com/penstock-edge/penstock/edge"
)

func TestNoAllocations(t *testing.T) {
	f := func(name string, rewind func(x *edge.Exchange)) {
		t.Helper()
		b := newBench(t, `mirror = { pool = "shadow" }`)
		defer b.stop()
		m, e := b.mirror(), b.built.Plans[0].Filters(edge.Log)[0]
		x, buf := new(edge.Exchange), make([]byte, 64)
		x.Conn = edge.Discard{}
		x.Slot = make([]any, b.gen.Slots)
		x.Path, x.OutPath = []byte("/search"), []byte("/search")
		x.Req.Set("Accept", "*/*")
		n := testing.AllocsPerRun(1000, func() {
			rewind(x)
			m.Run(x)
			for x.In != nil {
				if _, err := x.In.Read(buf); err != nil {
					break
				}
			}
			e.Run(x)
			(<-m.queue).release()
		})
		if n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
	f("no body", func(*edge.Exchange) {})
	body := edge.NewBytesBody([]byte("whole"))
	f("whole body", func(x *edge.Exchange) {
		body.Close()
		x.In, x.InLen = body, 5
	})
	in := &counted{}
	f("streamed body", func(x *edge.Exchange) {
		in.left = 100
		x.In, x.InLen = in, 100
	})
	f("chunked body", func(x *edge.Exchange) {
		in.left = 100
		x.In, x.InLen = in, -1
	})
}

// counted is a body of so many bytes.
type counted struct {
	edge.Opaque
	left int
}

func (c *counted) Read(p []byte) (int, error) {
	n := min(len(p), c.left)
	if c.left -= n; c.left == 0 {
		return n, io.EOF
	}
	return n, nil
}
