package cache

import (
	"testing"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/bodytest"
)

func TestResumed(t *testing.T) {
	bodytest.Wrapper(t, bodytest.Case{Name: "resumed", Wrap: func(in edge.Body) edge.Body {
		return &resumed{Wrapper: edge.Wrapper{In: in}}
	}})
}
