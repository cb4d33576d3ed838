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
	if n := testing.AllocsPerRun(1000, func() {
		x.ResetHead()
		x.TakeHead(&m, clean)
		x.Resp.Add("Via", "1.1 penstock")
		x.Resp.Set("ETag", "b")
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestAllocRequest(t *testing.T) {
	var m wire.Request
	text := "GET /a?b HTTP/1.1\r\nhost: a\r\nCookie: c=1\r\nAccept: */*\r\n\r\n"
	clean, v := wire.ScanRequest(nil, []byte(text), &m)
	if v != nil {
		t.Fatal(v)
	}
	x, y := new(Exchange), new(Exchange)
	var head []byte
	if n := testing.AllocsPerRun(1000, func() {
		x.Reset()
		x.TakeRequest(&m, clean)
		x.SetOutPath(m.Path)
		x.Req.Set("accept", "text/plain")
		x.Fork(y, nil)
		y.Req.Del("Cookie")
		head = y.AppendHead(head[:0], "target:80")
	}); n != 0 || string(head) != "GET /a?b HTTP/1.1\r\nhost: target:80\r\naccept: text/plain\r\n" {
		t.Errorf("%v allocations, %q", n, head)
	}
}

func TestAllocFlow(t *testing.T) {
	loop, goroutine := benchFlow(t)
	for name, f := range map[string]func(){"loop": loop, "goroutine": goroutine} {
		if n := testing.AllocsPerRun(1000, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
