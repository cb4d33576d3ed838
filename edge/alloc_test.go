//go:build !race

package edge

import (
	"testing"

	"github.com/penstock-edge/penstock/edge/lib/wire"
)

func TestAllocHead(t *testing.T) {
	var m wire.Response
	clean, v := wire.ScanResponse(nil, []byte("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag: a\r\nA: 1\r\n\r\n"), &m, wire.MaxFields)
	if v != nil {
		t.Fatal(v)
	}
	x := new(Exchange)
	via := []byte("Via")
	if n := testing.AllocsPerRun(1000, func() {
		x.ResetHead()
		x.TakeHead(&m, clean)
		x.AddField(via, via)
		x.AsCame()
		x.Resp().SetCanonical(via, via)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
