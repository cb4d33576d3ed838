package ip

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func set(prefixes ...string) *Set {
	var list []netip.Prefix
	for _, p := range prefixes {
		list = append(list, netip.MustParsePrefix(p))
	}
	return NewSet(list)
}

func TestSet(t *testing.T) {
	s := set("10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32", "::ffff:172.16.0.0/108", "fe80::/10")
	f := func(addr string, want bool) {
		t.Helper()
		if got := s.Contains(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: %v, want %v", addr, got, want)
		}
	}
	f("10.0.0.0", true)
	f("10.255.255.255", true)
	f("11.0.0.0", false)
	f("::ffff:10.1.2.3", true)
	f("::10.1.2.3", false)
	f("192.0.2.7", true)
	f("192.0.2.8", false)
	f("172.31.0.1", true)
	f("172.32.0.1", false)
	f("2001:db8:1::", true)
	f("2001:db9::", false)
	f("fe80::1%eth0", true)
}

func TestSetCorners(t *testing.T) {
	f := func(s *Set, a netip.Addr, want bool) {
		t.Helper()
		if got := s.Contains(a); got != want {
			t.Errorf("%v: %v, want %v", a, got, want)
		}
	}
	one := netip.MustParseAddr("192.0.2.1")
	f(nil, one, false)
	f(NewSet(nil), one, false)
	f(NewSet([]netip.Prefix{{}}), one, false)
	f(set("0.0.0.0/0"), one, true)
	f(set("::/0"), one, false)
	f(set("::ffff:0.0.0.0/96"), one, true)
	f(set("::ffff:0.0.0.0/90"), one, false)
	f(set("::ffff:0.0.0.0/90"), netip.MustParseAddr("::ffc0:0:1"), true)
	f(set("192.0.2.9/24"), one, true) // bits beyond the prefix do not count
	f(set("0.0.0.0/0", "::/0"), netip.Addr{}, false)
}

func TestAppendAddr(t *testing.T) {
	f := func(addr, want string) {
		t.Helper()
		a, _ := netip.ParseAddr(addr)
		if got := string(AppendAddr([]byte("x="), a)); got != "x="+want {
			t.Errorf("%q: %q, want %q", addr, got, want)
		}
	}
	f("", "")
	f("192.0.2.1", "192.0.2.1")
	f("::ffff:192.0.2.1", "192.0.2.1")
	f("2001:db8:0:0::1", "2001:db8::1")
	f("fe80::1%eth0", "fe80::1")
}

func TestRealClient(t *testing.T) {
	trusted := set("10.0.0.0/8", "2001:db8::/32")
	f := func(peer, xff, want string) {
		t.Helper()
		got := RealClient(netip.MustParseAddr(peer), []byte(xff), trusted)
		if got.String() != want {
			t.Errorf("peer %s, %q: %v, want %s", peer, xff, got, want)
		}
	}
	// A peer that is not trusted may say what it likes.
	f("192.0.2.1", "", "192.0.2.1")
	f("192.0.2.1", "198.51.100.1", "192.0.2.1")
	f("::ffff:192.0.2.1", "10.0.0.9", "192.0.2.1")
	// A trusted one is believed about the hop before it.
	f("10.0.0.1", "", "10.0.0.1")
	f("10.0.0.1", "198.51.100.1", "198.51.100.1")
	f("::ffff:10.0.0.1", "198.51.100.1", "198.51.100.1")
	f("10.0.0.1", "198.51.100.1:4711", "198.51.100.1")
	f("10.0.0.1", " [2001:db9::1]:80 ", "2001:db9::1")
	f("10.0.0.1", "::ffff:198.51.100.1", "198.51.100.1")
	// What the client wrote itself stands to the left of what our proxies wrote.
	f("10.0.0.1", "1.1.1.1, 198.51.100.1", "198.51.100.1")
	f("10.0.0.1", "1.1.1.1,198.51.100.1,\t10.0.0.2 , 2001:db8::5", "198.51.100.1")
	f("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3")
	// A hop that is no address ends the walk at the last one understood.
	f("10.0.0.1", "198.51.100.1, unknown", "10.0.0.1")
	f("10.0.0.1", "198.51.100.1, _hidden, 10.0.0.2", "10.0.0.2")
	f("10.0.0.1", "198.51.100.1, fe80::1%eth0", "10.0.0.1")
	f("10.0.0.1", "198.51.100.1 10.0.0.2", "10.0.0.1")
	// Empty elements do not count.
	f("10.0.0.1", ",", "10.0.0.1")
	f("10.0.0.1", "198.51.100.1,, ,10.0.0.2,", "198.51.100.1")
	f("10.0.0.1", ", 10.0.0.2", "10.0.0.2")
}

func TestRealClientWithoutTrust(t *testing.T) {
	peer := netip.MustParseAddr("10.0.0.1")
	if got := RealClient(peer, []byte("1.1.1.1"), nil); got != peer {
		t.Errorf("got %v", got)
	}
	if got := RealClient(netip.Addr{}, []byte("1.1.1.1"), set("0.0.0.0/0")); got.IsValid() {
		t.Errorf("a peer without address gave %v", got)
	}
}

func TestWalkOverLines(t *testing.T) {
	trusted := set("10.0.0.0/8")
	f := func(want string, lines ...string) {
		t.Helper()
		a, more := netip.MustParseAddr("10.0.0.1"), true
		for i := len(lines) - 1; i >= 0 && more; i-- {
			a, more = Walk(a, []byte(lines[i]), trusted)
		}
		if a.String() != want {
			t.Errorf("%q: %v, want %s", lines, a, want)
		}
		joined := RealClient(netip.MustParseAddr("10.0.0.1"), []byte(strings.Join(lines, ", ")), trusted)
		if joined != a {
			t.Errorf("%q: %v in lines, %v in one", lines, a, joined)
		}
	}
	f("10.0.0.1")
	f("198.51.100.1", "198.51.100.1")
	f("198.51.100.1", "1.1.1.1", "198.51.100.1", "10.0.0.2")
	f("198.51.100.1", "1.1.1.1, 198.51.100.1", "", "10.0.0.3, 10.0.0.2")
	f("10.0.0.2", "1.1.1.1", "unknown", "10.0.0.2")
}

// slowParse is Parse by means of the standard library.
func slowParse(s string) (a netip.Addr, ok bool) {
	var err error
	switch {
	case strings.Contains(s, "%"):
		return a, false
	case strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]"):
		if a, err = netip.ParseAddr(s[1 : len(s)-1]); err == nil && a.Is4() {
			return netip.Addr{}, false
		}
	default:
		if a, err = netip.ParseAddr(s); err != nil {
			var ap netip.AddrPort
			ap, err = netip.ParseAddrPort(s)
			a = ap.Addr()
		}
	}
	if err != nil {
		return netip.Addr{}, false
	}
	return a.Unmap(), true
}

// slowClient is RealClient on a list of strings.
func slowClient(peer netip.Addr, xff string, trusted []netip.Prefix) netip.Addr {
	in := func(a netip.Addr) bool {
		return slices.ContainsFunc(trusted, func(p netip.Prefix) bool { return p.Contains(a) })
	}
	client := peer.Unmap().WithZone("")
	hops := strings.Split(xff, ",")
	slices.Reverse(hops)
	for _, hop := range hops {
		hop = strings.Trim(hop, " \t")
		if hop == "" {
			continue
		}
		a, ok := slowParse(hop)
		if !in(client) || !ok {
			break
		}
		client = a
	}
	return client
}

func same(t interface{ Fatalf(string, ...any) }, s string) {
	got, ok := Parse([]byte(s))
	want, wantOK := slowParse(s)
	if ok != wantOK || got != want {
		t.Fatalf("Parse(%q) = %v %v, want %v %v", s, got, ok, want, wantOK)
	}
}

func TestParseAgainstNetip(t *testing.T) {
	f := func(s string) {
		t.Helper()
		same(t, s)
	}
	for _, s := range strings.Fields(addresses) {
		f(s)
		f("[" + s + "]")
		f("[" + s + "]:80")
		f(s + ":80")
		f(s + ".")
		f(s + ":")
		f("." + s)
		f(":" + s)
	}
	f("")
	f(" 1.2.3.4")
	f("1.2.3.4:65535")
	f("1.2.3.4:65536")
	f("1.2.3.4:99999999999999999999")
	f("1.2.3.4:-1")
	f("1.2.3.4:0080")
	f("[::1")
	f("[::1]80")
	f("[::1]x:80")
	f("[::1]:8:0")
	f("[[::1]]")
}

const addresses = `1.2.3.4 0.0.0.0 255.255.255.255 256.1.1.1 1.2.3 1.2.3.4.5 1..2.3 01.2.3.4 1.2.3.00 1.2.3.4a
	:: ::1 1:: 1::8 1:2:3:4:5:6:7:8 1:2:3:4:5:6:7:8:9 1:2:3:4:5:6:7 1:2:3:4:5:6:7:: ::2:3:4:5:6:7:8
	1:2:3:4::5:6:7:8 1::2::3 ::: 1::: :::1 : 12345:: abcd:EF01:: g:: ::ffff:1.2.3.4 ::1.2.3.4
	1:2:3:4:5:6:1.2.3.4 1:2:3:4:5:6:7:1.2.3.4 1:2:3:4:5::1.2.3.4 ::1.2.3 ::1.2.3.400 ::1.2.3.4:5
	1.2.3.4:: ::ffff:0102:0304 fe80::1%eth0 1: 1:2 ::01.2.3.4 ::00001 ::1.2.3.4.`

func TestParseProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		same(t, rapid.StringMatching(`\[?[0-9a-f:.]{0,20}(::)?[0-9A-F:.]{0,20}\]?(:[0-9]{0,6})?`).Draw(t, "s"))
	})
}

func FuzzParse(f *testing.F) {
	f.Add("192.0.2.1:80")
	f.Fuzz(func(t *testing.T, s string) { same(t, s) })
}

func FuzzRealClient(f *testing.F) {
	prefixes := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::/32")}
	trusted := NewSet(prefixes)
	peer := netip.MustParseAddr("10.0.0.1")
	f.Add("198.51.100.1, 10.0.0.2")
	f.Fuzz(func(t *testing.T, xff string) {
		got, want := RealClient(peer, []byte(xff), trusted), slowClient(peer, xff, prefixes)
		if got != want {
			t.Fatalf("%q: %v, want %v", xff, got, want)
		}
		if again, ok := Parse(AppendAddr(nil, got)); !ok || again != got {
			t.Fatalf("%v does not survive being written and read: %v", got, again)
		}
	})
}
