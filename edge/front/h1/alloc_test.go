//go:build !race

package h1

import (
	"io"
	"testing"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/front/client"
)

// TestAllocRequest: a request that is answered in the loop of its connection allocates nothing, with a body or
// without, nor does one that a goroutine serves.
func TestAllocRequest(t *testing.T) {
	body := []byte("answer")
	early := func(x *edge.Exchange) edge.Verdict {
		if string(x.Path) == "/wait" && !x.MayWait {
			return edge.Wait
		}
		x.Answer(200, "", body)
		return edge.Answered
	}
	a := newApp(t, early, nil)
	a.Load().Nowhere = &edge.Plan{} // without the log of the tests
	r := newRig(t, a, &client.Settings{})
	r.serve(t)
	for name, text := range map[string][]byte{
		"loop":      []byte("GET /here HTTP/1.1\r\nHost: a\r\n\r\n"),
		"body":      []byte("POST /here HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"),
		"goroutine": []byte("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n"),
	} {
		far := r.talk(t)
		far.send(string(text))
		got := len("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nanswer") + len("Date: Mon, 30 Nov 2026 04:00:00 GMT\r\n")
		buf := make([]byte, got)
		if _, err := io.ReadFull(far.in, buf); err != nil {
			t.Fatal(err)
		}
		if n := testing.AllocsPerRun(2000, func() {
			if _, err := far.Write(text); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(far.in, buf); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
