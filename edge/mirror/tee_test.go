package mirror

import (
	"testing"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/bodytest"
	"github.com/penstock-edge/penstock/edge/lib/lanes"
)

func TestTee(t *testing.T) {
	m := &mirror{maxBody: 1000}
	for i := range m.outcomes {
		m.outcomes[i] = lanes.NewCounter()
	}
	bodytest.Wrapper(t, bodytest.Case{Name: "tee", Wrap: func(in edge.Body) edge.Body {
		m.queue = make(chan *duplicate, 1)
		return &tee{Wrapper: edge.Wrapper{In: in}, length: -1, m: m, d: new(duplicate)}
	}, Seen: func() string {
		if len(m.queue) == 0 {
			return ""
		}
		d := <-m.queue
		m.queue <- d
		return string(d.body)
	}})
}
