//go:build !race

package hop

import (
	"bytes"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/penstock-edge/penstock/edge/e2e"
)

// bareOrigin answers every request on its connections with answer, without allocating. A request's body is
// read by its framing: Content-Length, or up to the last chunk.
func bareOrigin(t testing.TB, answer []byte) string {
	return e2e.Origin(t, func(c net.Conn) {
		buf := make([]byte, 128<<10)
		n := 0
		for {
			end := bytes.Index(buf[:n], []byte("\r\n\r\n"))
			if end < 0 {
				m, err := c.Read(buf[n:])
				if err != nil {
					return
				}
				n += m
				continue
			}
			head := buf[:end+4]
			left := 0
			if i := bytes.Index(head, []byte("Content-Length: ")); i >= 0 {
				for _, d := range head[i+16:] {
					if d < '0' || d > '9' {
						break
					}
					left = left*10 + int(d-'0')
				}
			}
			chunked := bytes.Contains(head, []byte("chunked"))
			n = copy(buf, buf[end+4:n])
			if !skipBody(c, buf, &n, left, chunked) {
				return
			}
			if _, err := c.Write(answer); err != nil {
				return
			}
		}
	})
}

func skipBody(c net.Conn, buf []byte, n *int, left int, chunked bool) bool {
	last := []byte("0\r\n\r\n")
	for {
		switch {
		case !chunked && *n >= left:
			*n = copy(buf, buf[left:*n])
			return true
		case chunked && bytes.HasSuffix(buf[:*n], last):
			*n = 0
			return true
		}
		if !chunked {
			left -= *n
			*n = 0
		} else if *n > len(last) {
			*n = copy(buf, buf[*n-len(last):*n])
		}
		m, err := c.Read(buf[*n:])
		if err != nil {
			return false
		}
		*n += m
	}
}

// exchanger sends request on one connection and reads answers of known total length, without allocating.
type exchanger struct {
	c       net.Conn
	request []byte
	length  int  // bytes of the whole answer
	chunked bool // it ends with the last chunk instead
	buf     []byte
}

func newExchanger(t testing.TB, addr, request string) *exchanger {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	e := &exchanger{c: c, request: []byte(request), buf: make([]byte, 256<<10)}
	if _, err := c.Write(e.request); err != nil {
		t.Fatal(err)
	}
	first := e2e.ReadAll(t, c) // silence ends the first answer
	e.length = len(first)      // the others are as long, unless chunks are cut differently
	e.chunked = strings.Contains(first, "chunked")
	_ = c.SetReadDeadline(time.Time{}) // fails only on a closed connection
	return e
}

func (e *exchanger) do(t testing.TB) {
	if _, err := e.c.Write(e.request); err != nil {
		t.Fatal(err)
	}
	for left, last := e.length, false; left > 0 && !last; {
		_ = e.c.SetReadDeadline(time.Now().Add(20 * time.Second)) // fails only on a closed connection
		n, err := e.c.Read(e.buf)
		if err != nil {
			t.Fatalf("%d of %d bytes are missing: %v", left, e.length, err)
		}
		if e.chunked {
			last = bytes.HasSuffix(e.buf[:n], []byte("0\r\n\r\n"))
		} else {
			left -= n
		}
	}
}

// TestAllocHop shows that the whole hop allocates nothing in steady state, with request ids, forwarded headers,
// metrics and the access log on.
func TestAllocHop(t *testing.T) {
	const get = "GET /some/path?x=1 HTTP/1.1\r\nHost: example.com\r\nUser-Agent: test\r\nAccept: */*\r\nCookie: a=b; c=d\r\n\r\n"
	post := func(n int) string {
		return fmt.Sprintf("POST /up HTTP/1.1\r\nHost: example.com\r\nContent-Length: %d\r\n\r\n%s", n, strings.Repeat("u", n))
	}
	chunkedPost := "POST /up HTTP/1.1\r\nHost: example.com\r\nTransfer-Encoding: chunked\r\n\r\n" +
		strings.SplitN(string(e2e.ChunkedAnswer(strings.Repeat("c", 100<<10), 8<<10)), "\r\n\r\n", 2)[1]
	guards := ""
	f := func(name string, answer []byte, request string) {
		t.Helper()
		addr := inProcess(t, e2e.Simple(bareOrigin(t, answer), guards,
			"[[route]]\npath = \"/ping\"\nrespond = { status = 200, body = \"pong\" }",
			"[[route]]\nmethods = [\"PUT\"]\npath = \"/only/{id}\"\nstrip_prefix = \"/only\"\npool = \"app\""))
		e := newExchanger(t, addr, request)
		for range 50 {
			e.do(t)
		}
		if n := testing.AllocsPerRun(200, func() { e.do(t) }); n >= 1 {
			t.Errorf("%s: %v allocations a request", name, n)
		}
	}
	f("GET 1 KiB", e2e.OK(strings.Repeat("x", 1<<10)), get)
	f("GET 1 MiB", e2e.OK(strings.Repeat("x", 1<<20)), get)
	f("GET chunked 1 KiB", e2e.ChunkedAnswer(strings.Repeat("x", 1<<10), 300), get)
	f("GET chunked 1 MiB", e2e.ChunkedAnswer(strings.Repeat("x", 1<<20), 16<<10), get)
	f("POST 1 KiB", e2e.OK("done"), post(1<<10))
	f("POST 1 MiB", e2e.OK("done"), post(1<<20))
	f("POST chunked 100 KiB", e2e.OK("done"), chunkedPost)
	f("made here", e2e.OK("done"), "GET /ping HTTP/1.1\r\nHost: example.com\r\n\r\n")
	f("rewritten", e2e.OK("done"), "PUT /only/7 HTTP/1.1\r\nHost: example.com\r\nContent-Length: 2\r\n\r\nhi")

	guards = `trust_deadline = true
timeout = "1h"
rate_limits = ["fast", "window", "flights"]
[rate_limit.fast]
rate = "1000000/s"
key = ["ip", "cookie:a"]
headers = false # what is left has not always as many digits
[rate_limit.window]
rate = "1000000/min"
algorithm = "sliding_window"
headers = false
[rate_limit.flights]
algorithm = "concurrency"
max_in_flight = 100
[pool.app.health]
interval = "1h"
[pool.app.outlier]
error_percent = 20
latency_factor = 9
[pool.app.breaker]
slow_call = "10s"
slow_percent = 50
per_target = true
[pool.app.retry]
per_try_timeout = "10s"
[pool.app.hedge]
after = "10s"
[pool.app.concurrency]
adaptive = true
[pool.app.admission]
k = 2
[pool.app.sticky]
cookie = "seat"
[overload]
cpu_percent = 99
priority_header = "X-Priority"`
	f("GET 1 KiB, everything on", e2e.OK(strings.Repeat("x", 1<<10)), get)
	f("GET 1 MiB, everything on", e2e.OK(strings.Repeat("x", 1<<20)), get)
	f("POST 1 KiB, everything on", e2e.OK("done"), post(1<<10))
	f("POST chunked 100 KiB, everything on", e2e.OK("done"), chunkedPost)
}
