//go:build !race

package cache

import (
	"bytes"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/penstock-edge/penstock/edge/e2e"
)

// TestCacheSend: answers of all sizes, asked for in one go, leave whole and in their order, also when the
// client reads so slowly that the socket takes part of a head or of a body and the rest has to wait.
func TestCacheSend(t *testing.T) {
	o := e2e.NewScripted(t)
	g := e2e.Start(t, strings.Replace(e2e.Cached(o.Addr, "max_object = \"8MiB\"\n"), "16MiB", "64MiB", 1))
	sizes := []int{0, 1, 2000, 2049, 10_000, 65_536, 65_537, 131_072, 131_073, 1<<20 - 1, 1 << 20, 1<<20 + 1, 3 << 20,
		100, 7_000_000}
	var want [][]byte
	var asked bytes.Buffer
	for i, size := range sizes {
		body := make([]byte, size)
		for j := range body {
			body[j] = byte(j) ^ byte(j>>8) ^ byte(j>>16) ^ byte(i)
		}
		path := fmt.Sprint("/", size)
		o.On(path, 200, string(body), "Cache-Control: max-age=1000", fmt.Sprint("Content-Length: ", size))
		g.Ask("GET", path)
		want = append(want, body)
		fmt.Fprintf(&asked, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", path, g.Addr)
	}
	f := func(readBuffer int) {
		t.Helper()
		c, err := net.DialTCP("tcp", nil, tcpAddr(t, g.Addr))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if readBuffer > 0 {
			if err := c.SetReadBuffer(readBuffer); err != nil {
				t.Fatal(err)
			}
		}
		k := e2e.NewRawClient(t, c)
		k.Send(asked.String())
		for i, size := range sizes {
			a := k.Answer("GET")
			status := a.Header.Get("Cache-Status") // a large one may be on its way into the cache yet
			if a.Err != nil || a.Body != string(want[i]) || !strings.Contains(status, "hit") && !strings.Contains(status, "collapsed") {
				t.Fatalf("%d bytes: got %d, %v, %q", size, len(a.Body), a.Err, a.Header)
			}
		}
	}
	f(0)
	f(64 << 10)
	for _, size := range sizes {
		if n := o.Count(fmt.Sprint("/", size)); n != 1 {
			t.Errorf("%d bytes: asked for %d times", size, n)
		}
	}
}
