package admin

import (
	"net"
	"net/netip"
	"strings"
	"testing"
)

// FuzzKnownHost holds the check of Host against the standard library's way to split it: what is let in is an
// address or one of the names.
func FuzzKnownHost(f *testing.F) {
	for _, host := range []string{"127.0.0.1", "[::1]:9901", "localhost:9901", "localhost.", "evil.example:80",
		"127.0.0.1.evil.example", "localhost:80:80", "::1", "[localhost]", "127.0.0.1@evil.example", "fe80::1%eth0"} {
		f.Add(host)
	}
	s := &Server{hosts: []string{"localhost", "edge1"}}
	f.Fuzz(func(t *testing.T, host string) {
		if !s.knownHost([]byte(host)) || host == "" {
			return
		}
		name, _, err := net.SplitHostPort(host)
		if err != nil {
			name = host
		}
		name = strings.ToLower(name)
		if _, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil {
			return
		}
		if name = strings.TrimSuffix(name, "."); name != "localhost" && name != "edge1" {
			t.Errorf("%q is let in as %q", host, name)
		}
	})
}
