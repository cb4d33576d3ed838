package ratelimit

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/dunglas/httpsfv"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/config"
	"github.com/penstock-edge/penstock/ratelimit/bucket"
)

// read reads the keys of a limit.
func read(t *testing.T, keys string) (*Config, string) {
	t.Helper()
	file := config.Parse("test.toml", []byte("[rate_limit.main]\n"+keys), config.Options{})
	c := readConfig(file.Root.Children("rate_limit")[0])
	var all []string
	for _, e := range file.Finish() {
		all = append(all, e.Error())
	}
	return c, strings.Join(all, "\n")
}

func TestConfig(t *testing.T) {
	f := func(keys, want string) {
		t.Helper()
		if _, errs := read(t, keys); want == "" && errs != "" || !strings.Contains(errs, want) {
			t.Errorf("%q: %q, want %q", keys, errs, want)
		}
	}
	f(`rate = "10/s"`, "")
	f(`rate = "10/s"`+"\n"+`key = ["ip", "header:X-A", "cookie:b", "query:c", "route", "global"]`, "")
	f("", "a limit needs a rate")
	f(`rate = "0/s"`, "rate")
	f(`rate = "10/s"`+"\n"+`key = "header"`, "must be ip, route")
	f(`rate = "10/s"`+"\n"+`key = "ip:1"`, "must be ip, route")
	f(`rate = "10/s"`+"\n"+`key = ["ip", 7]`, "must be a string")
	f(`rate = "10/s"`+"\n"+`max_in_flight = 3`, "means nothing to the algorithm \"gcra\"")
	f(`algorithm = "concurrency"`, "needs max_in_flight")
	f(`algorithm = "concurrency"`+"\nmax_in_flight = 3\nburst = 2", "means nothing to the algorithm")
	f(`rate = "10/s"`+"\n"+`cost_header = "a b"`, "not the name of a header field")
	f(`rate = "5000000/day"`+"\n"+`algorithm = "sliding_window"`, "at most")
	f(`rate = "10/s"`+"\n"+`allow = ["10.0.0.0/33"]`, "allow")
}

func TestDefaultBurst(t *testing.T) {
	f := func(rate string, want int64) {
		t.Helper()
		if c, errs := read(t, `rate = "`+rate+`"`); c.Burst != want || errs != "" {
			t.Errorf("%s: burst %d, want %d %s", rate, c.Burst, want, errs)
		}
	}
	f("100/s", 100)
	f("600/min", 10)
	f("10/h", 1)
	f("1000000/day", 11)
}

func TestNetworks(t *testing.T) {
	f := func(a, b string, v4, v6 int, same bool) {
		t.Helper()
		one := appendNetwork(nil, netip.MustParseAddr(a), v4, v6)
		two := appendNetwork(nil, netip.MustParseAddr(b), v4, v6)
		if (string(one) == string(two)) != same {
			t.Errorf("%s and %s by /%d and /%d: not %v", a, b, v4, v6, same)
		}
	}
	f("1.2.3.4", "1.2.3.4", 32, 64, true)
	f("1.2.3.4", "1.2.3.5", 32, 64, false)
	f("1.2.3.4", "1.2.3.200", 24, 64, true)
	f("1.2.3.4", "1.2.4.4", 24, 64, false)
	f("1.2.3.4", "::ffff:1.2.3.4", 32, 64, true)
	f("2001:db8::1", "2001:db8::ffff:1", 32, 64, true)
	f("2001:db8::1", "2001:db8:0:1::1", 32, 64, false)
	f("2001:db8::1", "2001:db8::2", 32, 128, false)
	f("2001:db8:0:8::", "2001:db8:0:f::", 32, 61, true)
}

func TestParseCost(t *testing.T) {
	f := func(v string, want int64, ok bool) {
		t.Helper()
		if n, good := parseCost([]byte(v)); good != ok || n != want {
			t.Errorf("%q: %d %v", v, n, good)
		}
	}
	f("0", 0, true)
	f("17", 17, true)
	f("1000000001", 1_000_000_001, true)
	f("99999999999999999999", mostCost, true)
	f("-1", 0, true)
	f("-99999999999999999999", 0, true)
	for _, bad := range []string{"", "-", "--1", "1-", "1.5", " 1", "+1", "1e3", "0x1"} {
		f(bad, unsaid, false)
	}
}

// What is told can be parsed, whatever is left.
func TestFieldsParse(t *testing.T) {
	f := func(keys string, last bucket.Result, policy, state string) {
		t.Helper()
		c, errs := read(t, keys)
		if errs != "" {
			t.Fatal(errs)
		}
		l := &limit{name: "a-1_b", conf: c}
		s := newState(c)
		l.meter, l.flights = s.meter, s.flights
		l.describe()
		u := &use{limit: l, last: last}
		for got, want := range map[string]string{string(appendItem(nil, l.policy, u)): policy, string(u.appendState(nil)): state} {
			if _, err := httpsfv.UnmarshalList([]string{got}); err != nil || !strings.HasPrefix(got, want+";pk=:") {
				t.Errorf("%q, want %q: %v", got, want, err)
			}
		}
	}
	f("rate = \"10/s\"\nburst = 25", bucket.Result{OK: true, Remaining: 3, Reset: 2200 * time.Millisecond},
		`"a-1_b";q=25;w=3`, `"a-1_b";r=3;t=3`)
	f("rate = \"10/min\"\nburst = 1", bucket.Result{Reset: 6 * time.Second, Retry: time.Millisecond},
		`"a-1_b";q=1;w=6`, `"a-1_b";r=0;t=1`)
	f("rate = \"10/h\"\nalgorithm = \"sliding_window\"", bucket.Result{OK: true, Remaining: -4, Reset: time.Hour},
		`"a-1_b";q=10;w=3600`, `"a-1_b";r=0;t=3600`)
	f("algorithm = \"concurrency\"\nmax_in_flight = 7", bucket.Result{OK: true, Remaining: 2},
		`"a-1_b";q=7;qu="concurrent-requests"`, `"a-1_b";r=2`)
}

// Parts of a key do not run into each other.
func TestKeysDoNotRunTogether(t *testing.T) {
	c, _ := read(t, "rate = \"1/s\"\nkey = [\"host\", \"path\"]")
	key := func(host, path string) string {
		x := &edge.Exchange{}
		x.Host, x.Path = []byte(host), []byte(path)
		b, _ := c.appendKey(nil, x, "route")
		return string(b)
	}
	if key("ab", "c") == key("a", "bc") || key("", "ab") == key("ab", "") {
		t.Error("two keys with other parts are the same")
	}
}
