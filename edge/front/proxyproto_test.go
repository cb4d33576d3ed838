package front

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"testing"

	proxyproto "github.com/pires/go-proxyproto"
)

// v2 builds a version 2 header.
func v2(command, family byte, body []byte) []byte {
	b := append([]byte{}, proxyV2...)
	b = append(b, 0x20|command, family)
	b = binary.BigEndian.AppendUint16(b, uint16(len(body)))
	return append(b, body...)
}

var inet4 = []byte{192, 0, 2, 7, 10, 0, 0, 1, 0x30, 0x39, 0, 80}

func TestParseProxy(t *testing.T) {
	f := func(header []byte, rest string, want string, wantErr error) {
		t.Helper()
		n, src, err := parseProxy(append(append([]byte{}, header...), rest...))
		if !errors.Is(err, wantErr) {
			t.Fatalf("%q: error %v, want %v", header, err, wantErr)
		}
		if err != nil {
			return
		}
		got := ""
		if src.IsValid() {
			got = src.String()
		}
		if n != len(header) || got != want {
			t.Fatalf("%q: %d bytes, source %q; want %d, %q", header, n, got, len(header), want)
		}
	}
	v1 := func(s string) []byte { return []byte(s) }
	f(v1("PROXY TCP4 192.0.2.7 10.0.0.1 12345 80\r\n"), "GET / ", "192.0.2.7:12345", nil)
	f(v1("PROXY TCP6 2001:db8::1 2001:db8::2 12345 80\r\n"), "", "[2001:db8::1]:12345", nil)
	f(v1("PROXY TCP6 ::ffff:192.0.2.7 2001:db8::2 12345 80\r\n"), "", "192.0.2.7:12345", nil)
	f(v1("PROXY UNKNOWN\r\n"), "", "", nil)
	f(v1("PROXY UNKNOWN ffff:f...f ffff 65535 65535\r\n"), "x", "", nil)
	f(v1("PROXY TCP4 192.0.2.7 10.0.0.1 12345"), "", "", errProxyShort)
	f(v1("PRO"), "", "", errProxyShort)
	f(nil, "", "", errProxyShort)
	f(v1("PROXY TCP4 192.0.2.7 10.0.0.1 12345 80\n"), "GET / HTTP/1.1\r\n", "", errProxy)
	f(v1("PROXY TCP4 192.0.2.7 10.0.0.1 012 80\r\n"), "", "", errProxy)
	f(v1("PROXY TCP4 192.0.2.7 10.0.0.1 70000 80\r\n"), "", "", errProxy)
	f(v1("PROXY TCP4 2001:db8::1 10.0.0.1 12345 80\r\n"), "", "", errProxy)
	f(v1("PROXY TCP6 fe80::1%eth0 2001:db8::2 12345 80\r\n"), "", "", errProxy)
	f(v1("PROXY TCP4  192.0.2.7 10.0.0.1 12345 80\r\n"), "", "", errProxy)
	f(v1("PROXY UDP4 192.0.2.7 10.0.0.1 12345 80\r\n"), "", "", errProxy)
	f(v1("GET / HTTP/1.1\r\n"), "", "", errProxy)
	f(append([]byte("PROXY "), bytes.Repeat([]byte("1"), 200)...), "", "", errProxy)

	f(v2(1, 0x11, inet4), "rest", "192.0.2.7:12345", nil)
	f(v2(1, 0x11, append(append([]byte{}, inet4...), 4, 0, 1, 9)), "", "192.0.2.7:12345", nil) // a TLV behind
	f(v2(0, 0x11, inet4), "", "", nil)                                                         // LOCAL
	f(v2(1, 0x00, nil), "", "", nil)
	f(v2(1, 0x31, make([]byte, 216)), "", "", nil) // unix
	f(v2(1, 0x11, inet4[:8]), "", "", errProxy)
	f(v2(2, 0x11, inet4), "", "", errProxy)
	f(v2(1, 0x11, make([]byte, 5000)), "", "", errProxy)
	f(v2(1, 0x11, inet4)[:20], "", "", errProxyShort)
	f(proxyV2[:5], "", "", errProxyShort)
}

// FuzzParseProxy compares with a kept library: what both accept they must read alike, and the header must
// never be taken for longer than it is.
func FuzzParseProxy(f *testing.F) {
	f.Add([]byte("PROXY TCP4 192.0.2.7 10.0.0.1 12345 80\r\nGET / HTTP/1.1\r\n"))
	f.Add([]byte("PROXY UNKNOWN\r\n"))
	f.Add(v2(1, 0x11, inet4))
	f.Add(v2(1, 0x21, make([]byte, 36)))
	f.Add(v2(0, 0, nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		n, src, err := parseProxy(b)
		if err != nil {
			return
		}
		if n <= 0 || n > len(b) {
			t.Fatalf("length %d of %d bytes", n, len(b))
		}
		if _, _, again := parseProxy(b[:n-1]); !errors.Is(again, errProxyShort) {
			t.Fatalf("the header without its last byte gives %v", again)
		}
		h, err := proxyproto.Read(bufio.NewReader(bytes.NewReader(b)))
		if err != nil || h.Command.IsLocal() || !src.IsValid() {
			return
		}
		tcp, ok := h.SourceAddr.(*net.TCPAddr)
		if !ok {
			return
		}
		other, _ := netip.AddrFromSlice(tcp.IP)
		if netip.AddrPortFrom(other.Unmap(), uint16(tcp.Port)) != src {
			t.Fatalf("source %v, the library reads %v", src, other)
		}
	})
}
