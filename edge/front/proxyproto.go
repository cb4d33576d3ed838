package front

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"strconv"
	"strings"
)

// The PROXY protocol, versions 1 and 2, as HAProxy's doc/proxy-protocol.txt defines it.

var (
	errProxy      = errors.New("malformed PROXY header")
	errProxyShort = errors.New("PROXY header is not complete yet")
	proxyV1       = []byte("PROXY ")
	proxyV2       = []byte("\r\n\r\n\x00\r\nQUIT\n")
)

const (
	proxyV1Max = 107 // bytes of the longest line of version 1, CRLF included
	proxyV2Max = 2048
)

// parseProxy reads the header at the start of b and returns its length and the source it names; the source is
// not valid for a connection of the proxy itself (LOCAL, UNKNOWN, unix). errProxyShort: more bytes are
// needed.
func parseProxy(b []byte) (int, netip.AddrPort, error) {
	if bytes.HasPrefix(b, proxyV2) {
		return parseProxyV2(b)
	}
	if bytes.HasPrefix(b, proxyV1) {
		return parseProxyV1(b)
	}
	if bytes.HasPrefix(proxyV2, b) || bytes.HasPrefix(proxyV1, b) {
		return 0, netip.AddrPort{}, errProxyShort
	}
	return 0, netip.AddrPort{}, errProxy
}

func parseProxyV1(b []byte) (int, netip.AddrPort, error) {
	end := bytes.Index(b, []byte("\r\n"))
	if end < 0 && len(b) < proxyV1Max {
		return 0, netip.AddrPort{}, errProxyShort
	}
	if end < 0 || end+2 > proxyV1Max {
		return 0, netip.AddrPort{}, errProxy
	}
	f := strings.Split(string(b[:end]), " ")
	if len(f) >= 2 && f[1] == "UNKNOWN" {
		return end + 2, netip.AddrPort{}, nil
	}
	if len(f) != 6 || (f[1] != "TCP4" && f[1] != "TCP6") {
		return 0, netip.AddrPort{}, errProxy
	}
	src, err := netip.ParseAddr(f[2])
	dst, err2 := netip.ParseAddr(f[3])
	four := f[1] == "TCP4"
	if err != nil || err2 != nil || src.Is4() != four || dst.Is4() != four || src.Zone()+dst.Zone() != "" {
		return 0, netip.AddrPort{}, errProxy
	}
	port, ok := parsePort(f[4])
	if _, ok2 := parsePort(f[5]); !ok || !ok2 {
		return 0, netip.AddrPort{}, errProxy
	}
	return end + 2, netip.AddrPortFrom(src.Unmap(), port), nil
}

func parsePort(s string) (port uint16, ok bool) {
	n, err := strconv.ParseUint(s, 10, 16)
	return uint16(n), err == nil && strconv.FormatUint(n, 10) == s
}

func parseProxyV2(b []byte) (int, netip.AddrPort, error) {
	const head = 16
	if len(b) < head {
		return 0, netip.AddrPort{}, errProxyShort
	}
	length := head + int(binary.BigEndian.Uint16(b[14:16]))
	if b[12]>>4 != 2 || b[12]&0xf > 1 || length > proxyV2Max {
		return 0, netip.AddrPort{}, errProxy
	}
	if len(b) < length {
		return 0, netip.AddrPort{}, errProxyShort
	}
	if b[12]&0xf == 0 { // LOCAL: a health check of the proxy
		return length, netip.AddrPort{}, nil
	}
	body := b[head:length]
	switch b[13] {
	case 0x11: // TCP over IPv4
		if len(body) < 12 {
			return 0, netip.AddrPort{}, errProxy
		}
		src := netip.AddrFrom4([4]byte(body[:4]))
		return length, netip.AddrPortFrom(src, binary.BigEndian.Uint16(body[8:])), nil
	case 0x21: // TCP over IPv6
		if len(body) < 36 {
			return 0, netip.AddrPort{}, errProxy
		}
		src := netip.AddrFrom16([16]byte(body[:16])).Unmap()
		return length, netip.AddrPortFrom(src, binary.BigEndian.Uint16(body[32:])), nil
	}
	return length, netip.AddrPort{}, nil // UNSPEC, unix or datagram: the connection's own address stands
}
