package forwarded

import (
	"bytes"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/ip"
	"github.com/penstock-edge/penstock/edge/lib/wire"
	"github.com/penstock-edge/penstock/edge/live"
	"github.com/penstock-edge/penstock/pool"
)

const (
	proxy    = "10.0.0.1"
	stranger = "192.0.2.1"
	socket   = "" // a Unix socket
)

// exchange returns what peer has sent over plain HTTP.
func exchange(t testing.TB, peer string, lines ...string) *edge.Exchange {
	t.Helper()
	x := new(edge.Exchange)
	x.Peer, _ = netip.ParseAddr(peer)
	x.Client, x.Scheme = x.Peer, "http"
	head := "GET /a?b HTTP/1.1\r\nHost: Shop.Example:8080\r\n" + strings.Join(append(lines, "", ""), "\r\n")
	var m wire.Request
	clean, v := wire.ScanRequest(nil, []byte(head), &m)
	if v != nil {
		t.Fatal(v)
	}
	x.TakeRequest(&m, clean)
	return x
}

func believer() *trustForwarded {
	return &trustForwarded{ip.NewSet([]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")})}
}

func TestBelieve(t *testing.T) {
	f := func(peer, client, scheme string, lines ...string) {
		t.Helper()
		x := exchange(t, peer, lines...)
		if v := believer().Run(x); v != edge.Next {
			t.Fatalf("verdict %v", v)
		}
		got := ""
		if x.Client.IsValid() {
			got = x.Client.String()
		}
		if got != client || x.Scheme != scheme || x.Trusted != (peer != stranger) {
			t.Errorf("%s %q: client %s scheme %s trusted %v, want %s %s",
				peer, lines, got, x.Scheme, x.Trusted, client, scheme)
		}
	}
	f(stranger, stranger, "http")
	f(stranger, stranger, "http", "X-Forwarded-For: 1.1.1.1", "X-Forwarded-Proto: https")
	f(proxy, proxy, "http")
	f(proxy, "1.1.1.1", "https", "X-Forwarded-For: 1.1.1.1", "X-Forwarded-Proto: https")
	f(proxy, "1.1.1.1", "http", "X-Forwarded-For: 6.6.6.6, 1.1.1.1, 10.0.0.9")
	f(proxy, "1.1.1.1", "http", "X-Forwarded-For: 6.6.6.6", "X-Forwarded-For: 1.1.1.1", "X-Forwarded-For: 10.0.0.9")
	f(proxy, proxy, "http", "X-Forwarded-For: 1.1.1.1, unknown")
	f(proxy, proxy, "http", "X-Forwarded-Proto: gopher")
	f(proxy, proxy, "https", "X-Forwarded-Proto: HTTPS")
	f(proxy, proxy, "http", "X-Forwarded-Proto: https, http")
	f(proxy, proxy, "https", "X-Forwarded-Proto: https, https")
	f(proxy, proxy, "https", "X-Forwarded-Proto: http,\thttps ,")
	f(proxy, proxy, "https", "X-Forwarded-Proto: http", "x-forwarded-proto: http, https", "X-Forwarded-Proto:")
	f(proxy, proxy, "http", "X-Forwarded-Proto: https", "X-Forwarded-Proto: http")
	f(socket, "", "http")
	f(socket, "1.1.1.1", "https", "X-Forwarded-For: 6.6.6.6, 1.1.1.1", "X-Forwarded-Proto: https")
	f(socket, "1.1.1.1", "http", "X-Forwarded-For: 6.6.6.6, 1.1.1.1, 10.0.0.9 ,")
	f(socket, "1.1.1.1", "http", "X-Forwarded-For: 6.6.6.6, 1.1.1.1", "X-Forwarded-For: ,, ", "X-Forwarded-For: 10.0.0.9")
	f(socket, "", "http", "X-Forwarded-For: 6.6.6.6", "X-Forwarded-For: unknown")
	f(socket, "", "http", "X-Forwarded-For: ,")
}

// fields returns the lines of the head toward the target, without Host.
func fields(x *edge.Exchange) []string {
	lines := strings.Split(strings.TrimSuffix(string(x.Req.Lines()), "\r\n"), "\r\n")
	return slices.DeleteFunc(lines, func(l string) bool { return l == "" || strings.HasPrefix(l, "Host:") })
}

func TestTell(t *testing.T) {
	f := func(peer string, got []string, want ...string) {
		t.Helper()
		x := exchange(t, peer, got...)
		believer().Run(x)
		if v := (addForwarded{}).Run(x); v != edge.Next {
			t.Fatalf("verdict %v, %v", v, x.Cause)
		}
		if sent := fields(x); !slices.Equal(sent, want) {
			t.Errorf("%s %q:\n got %q\nwant %q", peer, got, sent, want)
		}
		if string(x.Req.Get("Host")) != "Shop.Example:8080" {
			t.Errorf("the head has changed: %q", x.Req.Lines())
		}
	}
	const proto, host = "X-Forwarded-Proto: http", "X-Forwarded-Host: Shop.Example:8080"
	f(stranger, nil, "X-Forwarded-For: 192.0.2.1", proto, host, "Via: 1.1 penstock")
	// What a stranger claims goes. The order of everything else stays.
	f(stranger, []string{"Via: 1.0 fred", "x-forwarded-for: 6.6.6.6", "X-Forwarded-Proto: https", "X-Forwarded-Host: evil"},
		"X-Forwarded-For: 192.0.2.1", proto, host, "Via: 1.1 penstock")
	f(stranger, []string{"X-Real-Ip: 6.6.6.6", "Accept: 1", "X-Forwarded-For: 6.6.6.6", "Cookie: b=\"2\"; a=1",
		"X-FORWARDED-FOR: 7.7.7.7", "Accept: 2", "X-Forwarded-Port: 1", "X-Forwarded-Prefix: /x", "Cookie: c", "Accept: 3",
		"Forwarded: for=6.6.6.6", "Xforwarded: no"},
		"Accept: 1", "Cookie: b=\"2\"; a=1", "Accept: 2", "Cookie: c", "Accept: 3", "Xforwarded: no",
		"X-Forwarded-For: 192.0.2.1", proto, host, "Via: 1.1 penstock")
	// A trusted proxy's word is passed on.
	f(proxy, []string{"X-Forwarded-For: 1.1.1.1", "X-Forwarded-Proto: https", "X-Forwarded-Host: public.example",
		"Via: 1.1 lb", "X-Real-Ip: 1.1.1.1", "X-Forwarded-Port: 443", "Forwarded: for=1.1.1.1"},
		"X-Forwarded-For: 1.1.1.1, 10.0.0.1", "X-Forwarded-Proto: https", "X-Forwarded-Host: public.example",
		"Via: 1.1 lb, 1.1 penstock", "X-Real-Ip: 1.1.1.1", "X-Forwarded-Port: 443", "Forwarded: for=1.1.1.1")
	f(proxy, []string{"X-Forwarded-For: 1.1.1.1", "Via: 1.1 a", "X-Forwarded-Host: a", "X-Forwarded-For: 2.2.2.2, 3.3.3.3",
		"Via: 1.1 b", "X-Forwarded-Host: b", "X-Real-Ip: 1.1.1.1"},
		"X-Forwarded-For: 1.1.1.1, 2.2.2.2, 3.3.3.3, 10.0.0.1", "Via: 1.1 a, 1.1 b, 1.1 penstock", "X-Forwarded-Host: a, b",
		"X-Real-Ip: 1.1.1.1", proto)
	f(proxy, []string{"X-Forwarded-Host: a, b.example:80"},
		"X-Forwarded-Host: a, b.example:80", "X-Forwarded-For: 10.0.0.1", proto, "Via: 1.1 penstock")
	f(proxy, []string{"X-Forwarded-Host: a/b"},
		host, "X-Forwarded-For: 10.0.0.1", proto, "Via: 1.1 penstock")
	f(socket, nil, proto, host, "Via: 1.1 penstock")
	f(socket, []string{"X-Forwarded-For: 1.1.1.1"},
		"X-Forwarded-For: 1.1.1.1", proto, host, "Via: 1.1 penstock")
}

func TestTellOldClient(t *testing.T) {
	x := exchange(t, stranger, "X-Forwarded-Host: evil", "Accept: 1", "Accept: 2")
	x.Minor, x.Authority, x.Scheme = 0, nil, "https"
	addForwarded{}.Run(x)
	want := []string{"Accept: 1", "Accept: 2", "X-Forwarded-For: 192.0.2.1", "X-Forwarded-Proto: https", "Via: 1.0 penstock"}
	if got := fields(x); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

func TestLargeHead(t *testing.T) {
	big := "X-Big: " + strings.Repeat("x", 64<<10)
	x := exchange(t, stranger)
	x.NoClaims = false // what follows could have come with the head
	x.Req.Add("X-Big", strings.Repeat("x", 64<<10))
	x.Req.Add("X-Real-Ip", "6.6.6.6")
	addForwarded{}.Run(x)
	if got := fields(x); got[0] != big || len(got) != 5 {
		t.Errorf("%d fields, the first of %d bytes", len(got), len(got[0]))
	}
}

func TestSign(t *testing.T) {
	f := func(want []string, lines ...string) {
		t.Helper()
		x := new(edge.Exchange)
		for _, l := range lines {
			x.Resp.Add("Via", l)
		}
		addVia{}.Run(x)
		var got []string
		for v := range x.Resp.All("Via") {
			got = append(got, string(v))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q: %q", lines, got)
		}
	}
	f([]string{"1.1 penstock"})
	f([]string{"1.1 app", "1.1 penstock"}, "1.1 app")
}

func TestExample(t *testing.T) {
	text, err := os.ReadFile("../../configs/forwarded.toml")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("README.md")
	if err != nil || !bytes.Contains(readme, text) {
		t.Errorf("README.md does not show the example (%v)", err)
	}
	b, err := live.Check("forwarded.toml", text, []edge.Feature{Feature, pool.Feature})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	p := b.Plans[0]
	if len(b.Early) != 1 || len(p.Filters(edge.Rewrite)) != 1 || len(p.Filters(edge.Receive)) != 1 {
		t.Error("filters are missing")
	}
	if !b.Early[0].(*trustForwarded).trusted.Contains(netip.MustParseAddr("2001:db8:1::5")) {
		t.Error("trusted_proxies was not taken")
	}
	if len(b.Nowhere.Filters(edge.Rewrite)) != 0 {
		t.Error("a request without a route is not forwarded")
	}
}
