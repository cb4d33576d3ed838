package wire

import (
	"net/netip"
	"strconv"
	"strings"
	"testing"
)

var badHosts = []string{
	"", ".", ".a", "a..b", "a b", "a,b", "user:pw@good", "u@a", "<a>", "a\"", "a/b", "a\\b", "a?b", "a#b",
	"a%2eb", "a:0", "a:65536", "a:080", "a:8a", "a:80:80", "a:+80", "é", "a\tb", "a;b,c", "*,a", "a!:b",
	"[::1", "::1", "[]", "[::1]x", "[::1]80", "[::1%25eth0]", "[1::2::3]", "[12345::]", "[1:2]",
	"[:1]", "[1:]", "[::1:]", "[v1.x]", "[1:2:3:4:5:6:7:8:9]", "[1:2:3:4:5:6:7:8::]", "[::256.1.1.1]",
	"[::1.2.3]", "[::01.2.3.4]", "[::1.2.3.4.5]", "[1.2.3.4]", "[::1.2.3.4:5]", strings.Repeat("a", 256),
}

func TestHostAccepted(t *testing.T) {
	f := func(h string) {
		t.Helper()
		if !validHost([]byte(h)) || !twinHost(h) {
			t.Fatalf("%q: refused", h)
		}
	}
	f("a")
	f("A.example-1.ORG")
	f("example.org.")
	f("a_b~c")
	f("a!b$c.example")
	f("0.0.0.0=5000")
	f("'(a)&*+;:1")
	f("a:")
	f("[::1]:")
	f("a:1")
	f("a:65535")
	f("10.0.0.1:8080")
	f("[::]")
	f("[::1]:80")
	f("[2001:DB8::8a2e:370:7334]")
	f("[1:2:3:4:5:6:7:8]")
	f("[1:2:3:4:5:6:7::]")
	f("[::ffff:1.2.3.4]")
	f("[1:2:3:4:5:6:1.2.3.4]:443")
	f(strings.Repeat("a", 255))
}

// twinHost is validHost with the tools of the standard library.
func twinHost(h string) bool {
	name, port, hasPort := h, "", false
	if i := strings.LastIndexByte(h, ':'); i >= 0 && !strings.HasSuffix(h, "]") {
		name, port, hasPort = h[:i], h[i+1:], true
	}
	if hasPort && port != "" {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 || strconv.FormatUint(n, 10) != port {
			return false
		}
	}
	if strings.HasPrefix(name, "[") && strings.HasSuffix(name, "]") {
		a, err := netip.ParseAddr(name[1 : len(name)-1])
		return err == nil && a.Is6() && a.Zone() == ""
	}
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~!$&'()*+;="
	return name != "" && len(name) <= 255 && strings.Trim(name, letters) == "" &&
		!strings.Contains(name, "..") && name[0] != '.' &&
		strings.IndexFunc(name, func(r rune) bool { return !strings.ContainsRune(letters, r) }) < 0
}

func FuzzHost(f *testing.F) {
	for _, h := range badHosts {
		f.Add(h)
	}
	f.Fuzz(func(t *testing.T, h string) {
		if got, want := validHost([]byte(h)), twinHost(h); got != want {
			t.Fatalf("%q: got %v, want %v", h, got, want)
		}
	})
}
