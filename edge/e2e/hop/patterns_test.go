//go:build !race

package hop

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/penstock-edge/penstock/edge/e2e"
)

// TestLongPatternValues: patterns are compared with values of up to 8 KiB, however long the comparison takes, in
// headers, in the query and in paths.
func TestLongPatternValues(t *testing.T) {
	t.Parallel()
	rec := e2e.Record(t, func(r *e2e.Recorded, _ net.Conn) string { return string(e2e.OK("any")) })
	g := e2e.Start(t, e2e.Simple(rec.Addr, "[[route]]\nname = \"header\"\nprefix = \"/h\"\nheaders = { X-A = \"~(a|b)*c\" }\n"+
		"respond = { body = \"pattern\" }\n[[route]]\nname = \"query\"\nprefix = \"/q\"\nquery = { a = \"~(a|b)*c\" }\n"+
		"respond = { body = \"pattern\" }\n[[route]]\nname = \"path\"\npath = \"/p/{a:(a|b)*c}\"\n"+
		"respond = { body = \"pattern\" }\n"))
	c := e2e.DialRaw(t, g.Addr)
	for _, n := range []int{1, 100, 511, 512, 513, 4000, 8191, 8192, 8193, 10_000} {
		for _, last := range []string{"c", "d"} {
			value := strings.Repeat("ab", n)[:n-1] + last
			want := "any"
			if last == "c" && n <= 8192 {
				want = "pattern"
			}
			for _, request := range []string{
				e2e.Lines("GET /h HTTP/1.1", "X-A: "+value), e2e.Lines("GET /q?a=" + value + " HTTP/1.1"),
				e2e.Lines("GET /p/" + value + " HTTP/1.1"), e2e.Lines("POST /h HTTP/1.1", "X-A: "+value, "Content-Length: 2") + "xy",
			} {
				c.Send(request)
				if a := c.Answer("GET"); a.Body != want {
					t.Errorf("%d bytes ending in %s, %.10s: %q, want %q", n, last, request, a.Body, want)
				}
			}
		}
	}
	for i := range 20 { // in one go
		c.Send(e2e.Lines("GET /h HTTP/1.1", fmt.Sprintf("X-A: %sc", strings.Repeat("ab", i*100))))
	}
	for range 20 {
		if a := c.Answer("GET"); a.Body != "pattern" {
			t.Errorf("in one go: %q", a.Body)
		}
	}
}
