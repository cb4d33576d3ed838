package e2e

import (
	"fmt"
	"net"
	"strings"
	"testing"
)

// TestLongPatternValues: patterns are compared with values of up to 8 KiB, however long the comparison takes, in
// headers, in the query and in paths.
func TestLongPatternValues(t *testing.T) {
	t.Parallel()
	rec := record(t, func(r *recorded, _ net.Conn) string { return string(ok("any")) })
	g := start(t, simple(rec.addr, "[[route]]\nname = \"header\"\nprefix = \"/h\"\nheaders = { X-A = \"~(a|b)*c\" }\n"+
		"respond = { body = \"pattern\" }\n[[route]]\nname = \"query\"\nprefix = \"/q\"\nquery = { a = \"~(a|b)*c\" }\n"+
		"respond = { body = \"pattern\" }\n[[route]]\nname = \"path\"\npath = \"/p/{a:(a|b)*c}\"\n"+
		"respond = { body = \"pattern\" }\n"))
	c := dialRaw(t, g.addr)
	for _, n := range []int{1, 100, 511, 512, 513, 4000, 8191, 8192, 8193, 10_000} {
		for _, last := range []string{"c", "d"} {
			value := strings.Repeat("ab", n)[:n-1] + last
			want := "any"
			if last == "c" && n <= 8192 {
				want = "pattern"
			}
			for _, request := range []string{
				lines("GET /h HTTP/1.1", "X-A: "+value), lines("GET /q?a=" + value + " HTTP/1.1"),
				lines("GET /p/" + value + " HTTP/1.1"), lines("POST /h HTTP/1.1", "X-A: "+value, "Content-Length: 2") + "xy",
			} {
				c.send(request)
				if a := c.answer("GET"); a.body != want {
					t.Errorf("%d bytes ending in %s, %.10s: %q, want %q", n, last, request, a.body, want)
				}
			}
		}
	}
	for i := range 20 { // in one go
		c.send(lines("GET /h HTTP/1.1", fmt.Sprintf("X-A: %sc", strings.Repeat("ab", i*100))))
	}
	for range 20 {
		if a := c.answer("GET"); a.body != "pattern" {
			t.Errorf("in one go: %q", a.body)
		}
	}
}
