package fixed

import (
	"io"
	"testing"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/pool/section"
)

// TestAnswer: the same answer in a loop and in a goroutine, with its fields in the order of their names.
func TestAnswer(t *testing.T) {
	a := New(&section.Fallback{Status: 503, Body: "later", ContentType: "text/plain",
		Headers: map[string]string{"X-B": "2", "Retry-After": "60"}})
	for _, inLoop := range []bool{false, true} {
		x := &edge.Exchange{}
		var f *edge.Fault
		if inLoop {
			var p edge.Outcome
			if a.Start(x) {
				p, f = a.Receive(x)
			}
			if p != edge.Ended {
				t.Errorf("it has to be waited for: %d", p)
			}
		} else {
			f = a.RoundTrip(x)
		}
		body, err := io.ReadAll(x.Out)
		if f != nil || err != nil || x.Status() != 503 || string(body) != "later" || !x.Local ||
			string(x.Resp.Get("Content-Type")) != "text/plain" || string(x.Resp.Get("Retry-After")) != "60" ||
			string(x.Resp.Get("X-B")) != "2" {
			t.Errorf("in a loop %v: %v, %v, status %d, %q", inLoop, f, err, x.Status(), body)
		}
		a.Release(x, nil)
	}
}
