package health

import (
	"io"
	"net"
	"strings"
	"testing"

	"github.com/penstock-edge/penstock/edge/lib/proxyproto"
)

// TestProxyHeader: checks declare themselves the gateway's own, except on a port of their own.
func TestProxyHeader(t *testing.T) {
	f := func(lines string, v proxyproto.Version, want string) {
		t.Helper()
		got := make(chan string, 1)
		address := rawServer(t, func(c net.Conn) {
			room := make([]byte, 4096)
			n, _ := c.Read(room) // EOF: nothing was said
			got <- string(room[:n])
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") // the check may be over
		})
		lines = strings.Replace(lines, "PORT", address[strings.LastIndex(address, ":")+1:], 1)
		h := NewChecker(good(t, lines), Target{Address: address, Proxy: v})
		if err := h.Check(t.Context()); err != nil {
			t.Errorf("%s: %v", lines, err)
		}
		if s := <-got; !strings.HasPrefix(s, want) || want == "" && s != "" {
			t.Errorf("%s, %s: %q, want %q", lines, v, s, want)
		}
	}
	f("kind = 'http'\npath = '/'", proxyproto.V1, "PROXY UNKNOWN\r\nGET / ")
	f("kind = 'http'\npath = '/'", proxyproto.V2, "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00GET / ")
	f("kind = 'http'\npath = '/'\nport = PORT", proxyproto.V1, "GET / ")
	f("kind = 'http'\npath = '/'", proxyproto.None, "GET / ")
	f("kind = 'tcp'", proxyproto.V1, "PROXY UNKNOWN\r\n")
	f("kind = 'tcp'", proxyproto.None, "")
}
