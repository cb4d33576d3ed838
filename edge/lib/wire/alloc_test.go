//go:build !race

package wire

import (
	"errors"
	"io"
	"strings"
	"testing"
)

func noAllocs(t *testing.T, what string, f func()) {
	t.Helper()
	if n := testing.AllocsPerRun(200, f); n != 0 {
		t.Fatalf("%s: %v allocations", what, n)
	}
}

func TestAllocScan(t *testing.T) {
	dst := make([]byte, 0, 8<<10)
	var req Request
	var resp Response
	request := func(src string) {
		t.Helper()
		in := []byte(src)
		noAllocs(t, src, func() { _, _ = ScanRequest(dst, in[:HeadEnd(in, 0)], &req) })
	}
	for _, s := range requestSeeds {
		request(s)
	}
	request(head("GET / HTTP/1.1", "Host: a", "Connection: x-a, x-b", "X-A: 1", "X-C: 2"))
	request(head("GET http://[::1.2.3.4]:8080 HTTP/1.1", "Host: a"))
	for _, s := range responseSeeds {
		in := []byte(s)
		noAllocs(t, s, func() { _, _ = ScanResponse(dst, in, &resp, MaxFields) })
	}
	noAllocs(t, "Overflow", func() { _ = Overflow(dst).Upstream().Error() })
	noAllocs(t, "CheckStart", func() { _ = CheckStart([]byte("\x16\x03")) })
}

// TestAllocReader checks the whole life of a buffer: taken, grown, given back.
func TestAllocReader(t *testing.T) {
	src := strings.NewReader("")
	data := strings.Repeat("x", 20<<10)
	var r Reader
	noAllocs(t, "Reader", func() {
		src.Reset(data)
		r.Reset(src, 4<<10, 64<<10)
		for range 5 {
			_, _ = r.Fill()
		}
		r.Release()
	})
}

func TestAllocChunked(t *testing.T) {
	src := strings.NewReader("")
	p := make([]byte, 32<<10)
	var r Reader
	var c Chunked
	f := func(body string) {
		t.Helper()
		noAllocs(t, body[:3], func() {
			src.Reset(body)
			r.Reset(src, 4<<10, 16<<10)
			c.Reset(&r, 4<<10)
			for err := error(nil); err == nil; {
				_, err = c.Read(p)
			}
			if _, err := c.Read(p); !errors.Is(err, io.EOF) && !errors.Is(err, &requestFaults[faultChunkSize]) {
				t.Fatal(err)
			}
		})
	}
	f(chunks(16, 100))
	f(chunks(100<<10, 3))
	f("1;e\r\nx\r\n0\r\nA: b\r\nC: d\r\n\r\n")
	f("bad\n")
	buf := make([]byte, 0, 32)
	noAllocs(t, "AppendChunkHeader", func() { _ = AppendChunkHeader(buf, 1<<40) })
}
