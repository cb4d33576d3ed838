// Package proxyproto writes the header of the PROXY protocol, versions 1 and 2, as HAProxy's
// doc/proxy-protocol.txt defines it: it names to a server the client at the other end of a connection that a
// proxy has opened for somebody else.
package proxyproto

import (
	"encoding/binary"
	"net"
	"net/netip"
	"strconv"
)

// Version is the form of the header.
type Version uint8

// The versions.
const (
	None Version = iota // no header
	V1                  // a line of text
	V2                  // binary
)

// Max is the length of the longest header in bytes, of both versions.
const Max = 107

// Parse returns the version that a configuration names: "v1", "v2", or "" for none.
func Parse(name string) Version {
	switch name {
	case "v1":
		return V1
	case "v2":
		return V2
	}
	return None
}

// String returns the name that Parse takes.
func (v Version) String() string {
	switch v {
	case V1:
		return "v1"
	case V2:
		return "v2"
	}
	return ""
}

var (
	localV1 = "PROXY UNKNOWN\r\n"
	signV2  = "\r\n\r\n\x00\r\nQUIT\n"
	localV2 = signV2 + "\x20\x00\x00\x00"
)

// Append appends the header of a connection that a client has opened from src, to dst. IPv4 addresses mapped
// into IPv6 are IPv4. When only one of both is IPv4, it is written as an address mapped into IPv6, for a
// header has one family. Without a valid src the header is that of the proxy's own connections
// (AppendLocal); a dst that is not valid is the unspecified address of src's family.
func (v Version) Append(b []byte, src, dst netip.AddrPort) []byte {
	if !src.IsValid() {
		return v.AppendLocal(b)
	}
	s, d := plain(src.Addr()), plain(dst.Addr())
	switch {
	case !d.IsValid() && s.Is4():
		d = netip.IPv4Unspecified()
	case !d.IsValid():
		d = netip.IPv6Unspecified()
	}
	switch v {
	case V1:
		return appendV1(b, s, d, src.Port(), dst.Port())
	case V2:
		return appendV2(b, s, d, src.Port(), dst.Port())
	}
	return b
}

// AppendLocal appends the header of a connection that the proxy has opened on its own account: UNKNOWN in
// version 1, LOCAL in version 2.
func (v Version) AppendLocal(b []byte) []byte {
	switch v {
	case V1:
		return append(b, localV1...)
	case V2:
		return append(b, localV2...)
	}
	return b
}

func plain(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }

func appendV1(b []byte, s, d netip.Addr, sport, dport uint16) []byte {
	if s.Is4() && d.Is4() {
		b = append(b, "PROXY TCP4 "...)
	} else {
		b = append(b, "PROXY TCP6 "...)
		s, d = netip.AddrFrom16(s.As16()), netip.AddrFrom16(d.As16())
	}
	b = append(s.AppendTo(b), ' ')
	b = append(d.AppendTo(b), ' ')
	b = append(strconv.AppendUint(b, uint64(sport), 10), ' ')
	b = strconv.AppendUint(b, uint64(dport), 10)
	return append(b, "\r\n"...)
}

func appendV2(b []byte, s, d netip.Addr, sport, dport uint16) []byte {
	b = append(b, signV2...)
	if s.Is4() && d.Is4() {
		b = append(b, 0x21, 0x11, 0, 12)
		s4, d4 := s.As4(), d.As4()
		b = append(append(b, s4[:]...), d4[:]...)
	} else {
		b = append(b, 0x21, 0x21, 0, 36)
		s6, d6 := s.As16(), d.As16()
		b = append(append(b, s6[:]...), d6[:]...)
	}
	b = binary.BigEndian.AppendUint16(b, sport)
	return binary.BigEndian.AppendUint16(b, dport)
}

// Before returns a connection whose first write is preceded by the header, in one write of c. One goroutine
// writes at a time.
func Before(c net.Conn, header []byte) net.Conn { return &before{Conn: c, header: header} }

type before struct {
	net.Conn
	header []byte // nil: written
}

// Write implements io.Writer.
func (b *before) Write(p []byte) (int, error) {
	if b.header == nil {
		return b.Conn.Write(p)
	}
	header := len(b.header)
	n, err := b.Conn.Write(append(b.header[:header:header], p...))
	b.header = nil
	return max(n-header, 0), err
}
