package section

import (
	"strings"
	"testing"
	"time"

	"github.com/penstock-edge/penstock/edge"
)

func TestRetryCovers(t *testing.T) {
	f := func(on string, fault *edge.Fault, status int, want bool) {
		t.Helper()
		c, errs := readPool("[pool.a]\ntargets = [\"a:1\"]\n[pool.a.retry]\non = [" + on + "]\n")
		if errs != nil {
			t.Fatal(errs)
		}
		if got := c.Retry.Covers(fault, status); got != want {
			t.Errorf("on %s, %v, %d: %v", on, fault, status, got)
		}
	}
	f(`"503"`, nil, 503, true)
	f(`"503"`, nil, 502, false)
	f(`"500-599"`, nil, 599, true)
	f(`"500-599"`, nil, 200, false)
	f(`"500-599"`, edge.UpstreamReset, 0, false)
	f(`"connect"`, edge.UpstreamConnect, 0, true)
	f(`"connect"`, edge.UpstreamUnsent, 0, true)
	f(`"connect"`, edge.UpstreamConnectTimeout, 0, true)
	f(`"connect"`, edge.UpstreamReset, 0, false)
	f(`"timeout"`, edge.UpstreamConnectTimeout, 0, true)
	f(`"timeout"`, edge.UpstreamTimeout, 0, true)
	f(`"reset"`, edge.UpstreamTimeout, 0, false)
	f(`"reset"`, edge.UpstreamReset, 0, true)
	f(`"reset"`, edge.UpstreamStale, 0, true)
	f(`"reset"`, edge.UpstreamTruncated, 0, true)
	f(`"reset", "connect"`, edge.UpstreamProtocol, 0, false)
}

func TestMistakesOfParts(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		_, errs := readPool("[pool.a]\ntargets = [\"a:1\"]\n" + text)
		if len(errs) != 1 || !strings.Contains(errs[0].Error(), want) {
			t.Errorf("%s: %v, want %s", text, errs, want)
		}
	}
	f("retry = { on = [\"sometimes\"] }\n", "neither connect, reset or timeout")
	f("retry = { on = [\"200\"] }\n", "neither connect, reset or timeout")
	f("retry = { on = [\"504-502\"] }\n", "neither connect, reset or timeout")
	f("hedge = { after = \"p40\" }\n", "must be a quantile")
	f("hedge = { after = \"1us\" }\n", "must be a quantile")
	f("hedge = { after = \"pp\" }\n", "must be a quantile")
	f("sticky = { cookie = \"a b\" }\n", "is not the name of a cookie")
	f("sticky = { path = \"a\" }\n", "must begin with /")
	f("sticky = { path = \"/;a\" }\n", "must begin with /")
	f("sticky = { ttl = \"1ms\" }\n", "must be 1s or more")
	f("fallback = {}\n", "needs a pool or a status")
	f("fallback = { status = 503, pool = \"b\" }\n", "needs a pool or a status")
	f("fallback = { status = 103 }\n", "must be 200 to 599")
	f("fallback = { status = 503, content_type = \"a\\nb\" }\n", "content_type")
	f("fallback = { status = 503, headers = { \"a b\" = \"c\" } }\n", "headers")
	f("fallback = { status = 503, headers = { X-A = \"c\", x-a = \"d\" } }\n", "is given twice")
}

func TestHedge(t *testing.T) {
	f := func(keys string, quantile float64, fixed time.Duration, percent float64) {
		t.Helper()
		c, errs := readPool("[pool.a]\ntargets = [\"a:1\"]\n" + keys)
		if errs != nil {
			t.Fatal(errs)
		}
		h := c.Hedge
		if h.Quantile != quantile || h.Fixed != fixed || h.Percent < percent-1e-9 || h.Percent > percent+1e-9 {
			t.Errorf("%s: %v, %v, %v %%", keys, h.Quantile, h.Fixed, h.Percent)
		}
	}
	f("hedge = {}\n", 0.95, 0, 5)
	f("hedge = { after = \"p50\" }\n", 0.5, 0, 20)
	f("hedge = { after = \"20ms\" }\n", 0, 20*time.Millisecond, 20)
	f("hedge = { after = \"20ms\" }\nretry = { budget_percent = 7 }\n", 0, 20*time.Millisecond, 7)
	f("hedge = { after = \"p99\" }\nretry = { budget_percent = 7 }\n", 0.99, 0, 1)
}

func TestOfTheWhole(t *testing.T) {
	c, errs := readPool("[pool.a]\ntargets = [\"a:1\"]\nconnect_timeout = \"2s\"\nmax_connections = 7\n" +
		"max_response_header_bytes = \"8KiB\"\nproxy_protocol = \"v2\"\n")
	if errs != nil {
		t.Fatal(errs)
	}
	s := c.Transport
	if s.ConnectTimeout != 2*time.Second || s.MaxPlaces != 7 || s.MaxHeadBytes != 8<<10 || s.TLS != &c.TLS {
		t.Errorf("transports go by %+v", s)
	}
	if key := c.KeyOf("a:1"); !strings.HasPrefix(key, "a:1/") || !strings.HasSuffix(key, "/v2") {
		t.Errorf("the key is %q", key)
	}
	if c.Changes() {
		t.Error("the only target can go")
	}
	f := func(address, serverName, want string) {
		t.Helper()
		d := &Config{}
		d.TLS.ServerName = serverName
		if got := d.HostFor(address); got != want {
			t.Errorf("%s: %s, want %s", address, got, want)
		}
	}
	f("a:1", "", "a:1")
	f("unix:/run/app.sock", "", "localhost")
	f("10.0.0.1:443", "app.internal", "app.internal")
}
