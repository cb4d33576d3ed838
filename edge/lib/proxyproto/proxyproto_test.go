package proxyproto

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/netip"
	"testing"

	peer "github.com/pires/go-proxyproto"
)

func at(s string) netip.AddrPort {
	if s == "" {
		return netip.AddrPort{}
	}
	return netip.MustParseAddrPort(s)
}

// TestAppend: what is written is read by an implementation that is not ours.
func TestAppend(t *testing.T) {
	f := func(src, dst, wantSrc, wantDst, line string) {
		t.Helper()
		if got := string(V1.Append(nil, at(src), at(dst))); got != line || len(got) > Max {
			t.Errorf("%s to %s: %q, want %q", src, dst, got, line)
		}
		for _, v := range []Version{V1, V2} {
			b := v.Append([]byte("x"), at(src), at(dst))
			r := bufio.NewReader(bytes.NewReader(append(b[1:], "rest"...)))
			h, err := peer.Read(r)
			if err != nil {
				t.Fatalf("%s: %s to %s: %v", v, src, dst, err)
			}
			from, to := h.SourceAddr, h.DestinationAddr
			if rest, _ := io.ReadAll(r); string(rest) != "rest" || h.Version != byte(v) || h.Command != peer.PROXY ||
				from.String() != wantSrc || to.String() != wantDst {
				t.Errorf("%s: %s to %s reads as %s to %s, rest %q", v, src, dst, from, to, rest)
			}
		}
	}
	f("192.0.2.7:1234", "10.0.0.1:80", "192.0.2.7:1234", "10.0.0.1:80", "PROXY TCP4 192.0.2.7 10.0.0.1 1234 80\r\n")
	f("[::ffff:192.0.2.7]:1", "[::ffff:10.0.0.1]:65535", "192.0.2.7:1", "10.0.0.1:65535",
		"PROXY TCP4 192.0.2.7 10.0.0.1 1 65535\r\n")
	f("[2001:db8::1]:1234", "[2001:db8::2]:80", "[2001:db8::1]:1234", "[2001:db8::2]:80",
		"PROXY TCP6 2001:db8::1 2001:db8::2 1234 80\r\n")
	f("[fe80::1%eth0]:1", "[fe80::2%eth0]:2", "[fe80::1]:1", "[fe80::2]:2", "PROXY TCP6 fe80::1 fe80::2 1 2\r\n")
	f("[2001:db8::1]:1234", "10.0.0.1:80", "[2001:db8::1]:1234", "10.0.0.1:80",
		"PROXY TCP6 2001:db8::1 ::ffff:10.0.0.1 1234 80\r\n")
	f("192.0.2.7:0", "[2001:db8::2]:80", "192.0.2.7:0", "[2001:db8::2]:80",
		"PROXY TCP6 ::ffff:192.0.2.7 2001:db8::2 0 80\r\n")
	f("192.0.2.7:1", "", "192.0.2.7:1", "0.0.0.0:0", "PROXY TCP4 192.0.2.7 0.0.0.0 1 0\r\n")
	f("[2001:db8::1]:1", "", "[2001:db8::1]:1", "[::]:0", "PROXY TCP6 2001:db8::1 :: 1 0\r\n")
	long := "[2001:1db8:1db8:1db8:1db8:1db8:1db8:1db8]:65535"
	for _, v := range []Version{V1, V2} {
		if n := len(v.Append(nil, at(long), at(long))); n > Max {
			t.Errorf("%s: %d bytes", v, n)
		}
		h, err := peer.Read(bufio.NewReader(bytes.NewReader(v.Append(nil, netip.AddrPort{}, at("10.0.0.1:80")))))
		if err != nil || h.Command == peer.PROXY && h.TransportProtocol != peer.UNSPEC {
			t.Errorf("%s: local header reads as %+v, %v", v, h, err)
		}
		if Parse(v.String()) != v {
			t.Errorf("%d is named %q", v, v)
		}
	}
	if h, _ := peer.Read(bufio.NewReader(bytes.NewReader(V2.AppendLocal(nil)))); h == nil || h.Command != peer.LOCAL {
		t.Errorf("version 2: %+v", h)
	}
	if b := None.Append(nil, at(long), at(long)); b != nil || Parse("") != None || None.String() != "" {
		t.Errorf("no version writes %q", b)
	}
}

func TestBefore(t *testing.T) {
	a, b := net.Pipe()
	go func() {
		c := Before(a, []byte("header "))
		for _, s := range []string{"one ", "two"} {
			if n, err := c.Write([]byte(s)); n != len(s) || err != nil {
				t.Errorf("%q: %d, %v", s, n, err)
			}
		}
		c.Close()
	}()
	room := make([]byte, 100) // a read of a pipe is one write at most
	n, _ := b.Read(room)
	rest, _ := io.ReadAll(b)
	if got := string(room[:n]) + "|" + string(rest); got != "header one |two" {
		t.Errorf("read %q", got)
	}
}

func TestAppendAllocatesNothing(t *testing.T) {
	src, dst := at("[2001:db8::1]:1234"), at("[2001:db8::2]:80")
	if n := testing.AllocsPerRun(100, func() {
		var room [Max]byte
		sink = len(V1.Append(room[:0], src, dst)) + len(V2.Append(room[:0], src, dst))
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

var sink int
