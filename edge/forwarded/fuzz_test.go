package forwarded

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/wire"
)

// FuzzTell holds tell against a twin that works on a list of lines.
func FuzzTell(f *testing.F) {
	f.Add("Accept: 1\r\nX-Forwarded-For: 6.6.6.6\r\nAccept: 2\r\nX-Real-Ip: 1\r\n", true)
	f.Add("X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 7.7.7.7\r\n", false)
	f.Fuzz(func(t *testing.T, lines string, trusted bool) {
		x := new(edge.Exchange)
		head := "GET / HTTP/1.1\r\nHost: h\r\n" + lines + "\r\n"
		var m wire.Request
		clean, v := wire.ScanRequest(nil, []byte(head), &m)
		if v != nil {
			t.Skip("no head")
		}
		x.TakeRequest(&m, clean)
		before := fields(x)
		x.Trusted, x.Minor, x.Peer = trusted, 1, netip.MustParseAddr("10.0.0.1")
		x.Scheme, x.Authority = "http", []byte("h")
		addForwarded{}.Run(x)
		after := fields(x)
		if got, want := others(after, trusted), others(before, trusted); !slices.Equal(got, want) {
			t.Fatalf("other fields: %q, want %q", got, want)
		}
		f := func(name, want string) {
			var got []string
			for _, l := range after {
				if v, ok := strings.CutPrefix(l, name+": "); ok {
					got = append(got, v)
				}
			}
			if len(got) != 1 || got[0] != want {
				t.Fatalf("%s: %q, want %q", name, got, want)
			}
		}
		f("X-Forwarded-For", joined(before, "X-Forwarded-For", trusted, "10.0.0.1"))
		f("Via", joined(before, "Via", trusted, "1.1 penstock"))
		f("X-Forwarded-Proto", "http")
	})
}

func joined(lines []string, name string, trusted bool, own string) string {
	var list []string
	for _, l := range lines {
		given, v, _ := strings.Cut(l, ":")
		if v = strings.Trim(v, " \t"); trusted && v != "" && strings.EqualFold(given, name) {
			list = append(list, v)
		}
	}
	return strings.Join(append(list, own), ", ")
}

// others returns the lines that tell must leave alone, in order.
func others(lines []string, trusted bool) []string {
	return slices.DeleteFunc(slices.Clone(lines), func(l string) bool {
		name, _, _ := strings.Cut(l, ":")
		switch name = strings.ToLower(name); name {
		case "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "via":
			return true
		case "forwarded", "x-real-ip":
			return !trusted
		}
		return !trusted && strings.HasPrefix(name, "x-forwarded-")
	})
}
