package limits

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/penstock-edge/penstock/edge/e2e"
)

// manyLimits is a configuration with a route for each limit, /NAME; keys has those of each.
func manyLimits(target string, keys map[string]string, more ...string) string {
	conf := "[server]\ntrusted_proxies = [\"127.0.0.1\"]\n[[listener]]\naddress = \"{{addr}}\"\n[pool.app]\ntargets = [\"" + target + "\"]\n" +
		strings.Join(more, "\n")
	for name, k := range keys {
		conf += fmt.Sprintf("\n[[route]]\nname = %q\nprefix = \"/%s\"\npool = \"app\"\nrate_limits = [%q]\n[rate_limit.%s]\n%s\n",
			name, name, name, name, k)
	}
	return conf
}

// TestMissingKey: what becomes of requests without a part of the key, a field that is there but empty among them.
func TestMissingKey(t *testing.T) {
	t.Parallel()
	const once = "rate = \"1/h\"\nburst = 1\n"
	g := e2e.Start(t, manyLimits(e2e.Record(t, nil).Addr, map[string]string{
		"default":       once + "key = \"header:X-Key\"\n",
		"one":           once + "key = \"header:X-Key\"\nmissing = \"one\"\n",
		"ip":            once + "key = \"header:X-Key\"\nmissing = \"ip\"\n",
		"skip":          once + "key = \"header:X-Key\"\nmissing = \"skip\"\n",
		"refuse":        once + "key = \"header:X-Key\"\nmissing = \"refuse\"\n",
		"refuse-cookie": once + "key = \"cookie:id\"\nmissing = \"refuse\"\n",
		"refuse-query":  once + "key = \"query:k\"\nmissing = \"refuse\"\n",
		"refuse-list":   once + "key = [\"path\", \"header:X-Key\", \"cookie:id\"]\nmissing = \"refuse\"\n",
		"skip-list":     once + "key = [\"header:X-Key\", \"cookie:id\"]\nmissing = \"skip\"\n",
		"ip-list":       once + "key = [\"header:X-Key\", \"cookie:id\"]\nmissing = \"ip\"\n",
		"watched":       once + "key = \"header:X-Key\"\nmissing = \"refuse\"\nmode = \"observe\"\n",
		"shared":        once + "key = \"header:X-Key\"\nmissing = \"ip\"\nalgorithm = \"gcra\"\nexact = true\n",
	}))
	f := func(path string, want string, requests ...[]string) {
		t.Helper()
		got := ""
		for _, lines := range requests {
			a := g.AskLines(path, lines...)
			got += fmt.Sprint(a.StatusCode, " ")
			if a.StatusCode == 401 && (a.Code() != "rate_limit_key_missing" || a.Header.Get("WWW-Authenticate") == "" ||
				a.Header.Get("RateLimit") != "") {
				t.Errorf("%s: %q %v", path, a.Body, a.Header)
			}
		}
		if got != want+" " {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
	is := func(lines ...string) []string { return lines }
	from := func(ip string, lines ...string) []string { return append(lines, "X-Forwarded-For: "+ip) }
	f("/default", "200 429 429 200", from("192.0.2.1"), from("192.0.2.2"), is("X-Key:"), is("X-Key: a"))
	f("/one", "200 429 429 200", from("192.0.2.1"), from("192.0.2.2"), is("X-Key:", "X-Key: "), is("X-Key: a"))
	f("/ip", "200 200 429 429 200 429", from("192.0.2.1"), from("192.0.2.2"), from("192.0.2.1", "X-Key: "), from("192.0.2.2", "X-Key:"),
		from("192.0.2.1", "X-Key: a"), from("192.0.2.2", "X-Key: a"))
	f("/ip", "200 200 429 429", from("65.66.67.68"), from("65.66.67.68", "X-Key: ABCD"), from("65.66.67.68"), is("X-Key: ABCD")) // as bytes
	f("/skip", "200 200 200 200 429", is(), is(), is("X-Key:"), is("X-Key: a"), is("X-Key: a"))
	f("/refuse", "401 401 200 429", is(), is("X-Key:"), is("X-Key: a"), is("X-Key: a"))
	f("/refuse", "200", is("X-Key:", "X-Key: b"))
	f("/refuse-cookie", "401 401 401 200 429", is(), is("Cookie: id="), is("Cookie: a=1", "Cookie: id"), is("Cookie: id=a"), is("Cookie: id=a"))
	f("/refuse-query", "401", is())
	f("/refuse-query?k=", "401", is())
	f("/refuse-query?K=1", "401", is())
	f("/refuse-query?k=1", "200 429", is(), is())
	f("/refuse-list", "401 401 401 200 429", is(), is("X-Key: a"), is("Cookie: id=a"), is("Cookie: id=a", "X-Key: a"), is("Cookie: id=a", "X-Key: a"))
	f("/skip-list", "200 200 200 200 429", is("X-Key: a"), is("X-Key: a"), is("Cookie: id=1"), is("Cookie: id=1", "X-Key: a"),
		is("Cookie: id=1", "X-Key: a"))
	f("/ip-list", "200 200 429 200 200", from("192.0.2.1", "X-Key: a"), from("192.0.2.2", "X-Key: a"), from("192.0.2.1", "X-Key: a", "Cookie: id="),
		from("192.0.2.1", "X-Key: b"), from("192.0.2.1", "Cookie: id=a"))
	f("/watched", "200 200 200", is(), is(), is("X-Key: a"))
	g.Counted(`penstock_rate_limit_missing_total{limit="refuse"}`, 2)
	g.Counted(`penstock_rate_limit_missing_total{limit="default"}`, 3)
	g.Counted(`penstock_rate_limit_decisions_total{decision="missing",limit="refuse"}`, 2)
	g.Counted(`penstock_rate_limit_decisions_total{decision="observed",limit="watched"}`, 2)
	g.Counted(`penstock_rejections_total{code="rate_limit_key_missing",route="refuse"}`, 2)
	var all sync.WaitGroup
	for i := range 8 {
		ip := fmt.Sprint("198.51.100.", i)
		all.Go(func() { f("/ip", "200 429 429", from(ip), from(ip), from(ip, "X-Key:")) })
	}
	all.Wait()
}

// TestRepeatedFieldsLimit: a limit reads repeated fields, cookies and parameters as every other feature: an empty line hides
// nothing, Cookie lines are one, and requests that could mean different things to a target have different keys.
func TestRepeatedFieldsLimit(t *testing.T) {
	t.Parallel()
	g := e2e.Start(t, manyLimits(e2e.Record(t, nil).Addr, map[string]string{
		"header": "rate = \"1/h\"\nburst = 3\nkey = \"header:X-Key\"\nmissing = \"refuse\"\n",
		"cookie": "rate = \"1/h\"\nburst = 3\nkey = \"cookie:id\"\nmissing = \"refuse\"\n",
		"query":  "rate = \"1/h\"\nburst = 3\nkey = \"query:k\"\nmissing = \"refuse\"\n",
	}))
	var all sync.WaitGroup
	same := func(path string, requests ...[]string) { // all of one key: three pass, whoever comes first
		all.Go(func() {
			var each sync.WaitGroup
			var mu sync.Mutex
			n := map[int]int{}
			for _, lines := range requests {
				each.Go(func() {
					target := path
					if strings.HasPrefix(path, "/query") {
						target, lines = path+"?"+lines[0], nil
					}
					a := g.AskLines(target, lines...)
					mu.Lock()
					defer mu.Unlock()
					n[a.StatusCode]++
				})
			}
			each.Wait()
			if n[200] != 3 || n[429] != len(requests)-3 {
				t.Errorf("%s %q: %v, want 3 to pass", path, requests, n)
			}
		})
	}
	is := func(lines ...string) []string { return lines }
	same("/header", is("X-Key: a"), is("X-Key: a", "X-Key:"), is("X-Key:", "X-Key: a"), is("X-Key: a", "X-Key: a"), is("X-Key: ", "x-key: a", "X-Key: a"))
	same("/header", is("X-Key: a", "X-Key: b"), is("X-Key: a", "X-Key:", "X-Key: b"), is("X-Key:", "X-Key: a", "X-Key: b"),
		is("X-Key: a", "X-Key: b", "X-Key: a"))
	same("/header", is("X-Key: b", "X-Key: a"), is("X-Key: b", "X-Key: a"), is("X-Key:", "X-Key: b", "X-Key: a"), is("X-Key: b", "X-Key: a", "X-Key: b"))
	same("/header", is("X-Key: b"), is("X-Key: b"), is("X-Key: b"), is("X-Key:", "X-Key: b"))
	same("/cookie", is("Cookie: id=a"), is("Cookie: x=1; id=a"), is("Cookie: x=1", "Cookie: id=a"), is("Cookie: id=", "Cookie: id=a"),
		is("Cookie: id=a", "Cookie: id=a"), is("Cookie: id=a; id="))
	same("/cookie", is("Cookie: id=a; id=b"), is("Cookie: id=a", "Cookie: id=b"), is("Cookie: id=a; x=1", "Cookie: y=2; id=b"),
		is("Cookie:", "Cookie: id=; id=a", "Cookie: id=b; id=a"))
	same("/cookie", is("Cookie: id=b; id=a"), is("Cookie: id=b", "Cookie: id=a"), is("Cookie: id=b", "Cookie: x=1", "Cookie: id=a"),
		is("Cookie: id=b", "Cookie: id=a"))
	same("/query", is("k=a"), is("k=&k=a"), is("k=a&k=%61"), is("%6b=a&x=1"), is("x=1&k=a&k="))
	same("/query", is("k=a&k=b"), is("k=a&x=1&k=b"), is("k=&k=a&k=b"), is("k=a&k=b&k=a"))
	same("/query", is("k=b&k=a"), is("k=b&k=a"), is("k=b&x=1&k=a"), is("k=b&k=%61"))
	all.Wait()
}

// TestExemptKeys: keys that a limit names are not limited; those that only look alike are.
func TestExemptKeys(t *testing.T) {
	t.Parallel()
	secret := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(secret, []byte("from-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const once = "rate = \"1/h\"\nburst = 1\n"
	g := e2e.Start(t, manyLimits(e2e.Record(t, nil).Addr, map[string]string{
		"key":  once + "key = \"header:X-Key\"\nexempt = [\"monitor\", \"file:" + secret + "\"]\n",
		"ip":   once + "key = \"ip\"\nexempt = [\"192.0.2.0/24\", \"2001:db8::7\"]\n",
		"list": once + "key = [\"header:X-Key\", \"cookie:id\"]\nexempt = [[\"a\", \"b\"], [\"*\", \"c\"]]\n",
		"net":  once + "key = [\"ip\", \"path\"]\nexempt = [[\"198.51.100.0/24\", \"/net/free\"]]\n",
		"skip": once + "key = \"header:X-Key\"\nmissing = \"refuse\"\nexempt = [\"monitor\"]\n",
	}))
	var all sync.WaitGroup
	f := func(free bool, path string, lines ...string) {
		all.Go(func() {
			want := "[200 429 429]"
			if free {
				want = "[200 200 200]"
			}
			var got []int
			for range 3 {
				got = append(got, g.AskLines(path, lines...).StatusCode)
			}
			if fmt.Sprint(got) != want {
				t.Errorf("%s %q: %v, want %s", path, lines, got, want)
			}
		})
	}
	f(true, "/key", "X-Key: monitor")
	f(true, "/key", "X-Key:", "X-Key: monitor")
	f(true, "/key", "X-Key: from-file")
	f(false, "/key", "X-Key: Monitor")
	f(false, "/key", "X-Key: monitor", "X-Key: other")
	f(false, "/key", "X-Key: other", "X-Key: monitor")
	f(false, "/key")
	f(true, "/ip", "X-Forwarded-For: 192.0.2.77")
	f(true, "/ip", "X-Forwarded-For: ::ffff:192.0.2.78")
	f(true, "/ip", "X-Forwarded-For: 2001:db8::7")
	f(false, "/ip", "X-Forwarded-For: 2001:db8::8")
	f(false, "/ip", "X-Forwarded-For: 192.0.3.1")
	f(true, "/list", "X-Key: a", "Cookie: id=b")
	f(true, "/list", "X-Key: x", "Cookie: id=c")
	f(true, "/list", "Cookie: id=c")
	f(false, "/list", "X-Key: a", "Cookie: id=a")
	f(false, "/list", "X-Key: ab")
	f(true, "/net/free", "X-Forwarded-For: 198.51.100.1")
	f(false, "/net/else", "X-Forwarded-For: 198.51.100.1")
	f(false, "/net/free", "X-Forwarded-For: 198.51.101.1")
	f(true, "/skip", "X-Key: monitor")
	all.Wait()
	g.Counted(`penstock_rate_limit_decisions_total{decision="skipped",limit="key"}`, 9)
}
