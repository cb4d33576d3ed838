package ratelimit

import (
	"testing"

	"github.com/penstock-edge/penstock/edge"
)

// TestWhoSharesALimit: which requests are those of one key.
func TestWhoSharesALimit(t *testing.T) {
	type request = []func(x *edge.Exchange)
	f := func(keys string, same bool, a, b request) {
		t.Helper()
		g := newGateway(t, one("main", 1, keys)+"[[route]]\nname = \"a\"\nprefix = \"/\"\nrate_limits = [\"main\"]\n"+
			"[[route]]\nname = \"b\"\nprefix = \"/b\"\nrate_limits = [\"main\"]\n")
		g.expect(200, a...)
		g.expect(429, a...)
		want := 200
		if same {
			want = 429
		}
		if r := g.ask(b...); r.status != want {
			t.Errorf("%s: another request of the same key: want %v, and it got %d", keys, same, r.status)
		}
	}
	of := func(has ...func(x *edge.Exchange)) request { return has }
	f(``, true, of(), of(path("/b/x"), query("a=1"), with("Host", "other")))
	f(``, false, of(), of(from("192.0.2.8")))
	f(`ipv4_prefix = 24`, true, of(), of(from("192.0.2.200")))
	f(`ipv4_prefix = 24`, false, of(), of(from("192.0.3.7")))
	f(``, true, of(), of(from("::ffff:192.0.2.7")))
	f(``, true, of(from("2001:db8::1")), of(from("2001:db8::2:1")))
	f(``, false, of(from("2001:db8::1")), of(from("2001:db8:0:1::1")))
	f(`ipv6_prefix = 128`, false, of(from("2001:db8::1")), of(from("2001:db8::2")))
	f(`ipv6_prefix = 48`, true, of(from("2001:db8::1")), of(from("2001:db8:0:ffff::1")))
	f(`key = "global"`, true, of(), of(from("2001:db8::1"), path("/b"), with("X-Key", "b")))
	f(`key = "route"`, true, of(path("/x")), of(path("/y"), from("192.0.2.9")))
	f(`key = "route"`, false, of(path("/x")), of(path("/b")))
	f(`key = "path"`, false, of(path("/x")), of(path("/y")))
	f(`key = "method"`, true, of(), of(path("/y")))
	f(`key = "method"`, false, of(), of(func(x *edge.Exchange) { x.Method = []byte("HEAD") }))
	f(`key = "host"`, false, of(), of(func(x *edge.Exchange) { x.Host = []byte("other.example.com") }))
	f(`key = "header:x-key"`, true, of(with("X-Key", "a")), of(with("x-kEY", "a"), from("192.0.2.9")))
	f(`key = "header:x-key"`, false, of(with("X-Key", "a")), of(with("X-Key", "A")))
	f(`key = "header:x-key"`, false, of(with("X-Key", "a")), of(with("X-Key", "a"), with("X-Key", "b")))
	f(`key = "header:x-key"`, false, of(with("X-Key", "a"), with("X-Key", "b")), of(with("X-Key", "b"), with("X-Key", "a")))
	f(`key = "cookie:id"`, true, of(cookie("id=1; b=2")), of(cookie("a=id; id=1")))
	f(`key = "cookie:id"`, false, of(cookie("id=1")), of(cookie("ID=1")))
	f(`key = "query:q"`, true, of(query("q=a%20b")), of(query("x=1&q=a+b")))
	f(`key = "query:q"`, false, of(query("q=1")), of(query("q=1&q=2")))
	f(`key = ["ip", "header:x-key"]`, false, of(with("X-Key", "a")), of(with("X-Key", "a"), from("192.0.2.8")))
	f(`key = ["ip", "header:x-key"]`, false, of(with("X-Key", "a")), of(with("X-Key", "b")))
	f(`key = ["header:x-key", "cookie:id"]`, false, of(with("X-Key", "a")), of(cookie("id=a")))
}

// TestMissing: what becomes of requests that lack a part of the key. One that is there and empty is missing.
func TestMissing(t *testing.T) {
	g := newGateway(t, one("main", 1, `key = "header:x-key"`, `missing = "one"`))
	g.expect(200)
	g.expect(429, from("192.0.2.8"))
	g.expect(429, with("X-Key", ""))
	g.expect(200, with("X-Key", "a"))
	g = newGateway(t, one("main", 1, `key = "header:x-key"`, `missing = "ip"`))
	g.expect(200)
	g.expect(429)
	g.expect(200, from("192.0.2.8"))
	g.expect(200, with("X-Key", "192.0.2.7"))
	g.expect(200, with("X-Key", "\xc0\x00\x02\x07"))
	g = newGateway(t, one("main", 1, `key = "header:x-key"`, `missing = "skip"`))
	for range 3 {
		if r := g.expect(200); r.left("main") != "" {
			t.Errorf("a request that is not counted is told %v", r.head)
		}
	}
	if n := g.decided("main", skipped); n != 3 {
		t.Errorf("%d were skipped", n)
	}
	g = newGateway(t, one("other", 1)+one("main", 1, `key = ["header:x-key", "query:q"]`, `missing = "refuse"`))
	for range 2 {
		r := g.expect(401, with("X-Key", "a"))
		if r.code != "rate_limit_key_missing" || r.head["WWW-Authenticate"] != "ApiKey" || r.head["RateLimit"] != "" {
			t.Errorf("%q, %v", r.code, r.head)
		}
	}
	if r := g.expect(200, with("X-Key", "a"), query("q=1")); r.left("other") != "0" || r.head["WWW-Authenticate"] != "" {
		t.Errorf("the other limit was charged by what is refused: %v", r.head)
	}
	if s := g.status("main"); s.Decisions["missing"] != 2 || s.Lacking != 2 || s.Missing != "refuse" {
		t.Errorf("%+v", s)
	}
	if n := g.counter(`penstock_rate_limit_missing_total{limit="main"}`); n != "2" {
		t.Errorf("%q are counted", n)
	}
}

// TestListsOfClients: who is exempt of a limit is so of this one alone; who is denied by one gets nowhere.
func TestListsOfClients(t *testing.T) {
	g := newGateway(t, one("first", 1, `allow = ["10.0.0.0/8", "::1/128"]`, `deny = ["10.6.6.6/32", "203.0.113.0/24"]`)+
		one("second", 2, `key = ["ip", "header:x-key"]`, `exempt = [["192.0.2.0/24", "hush"], ["2001:db8::/32", "*"]]`))
	for range 2 {
		if r := g.expect(200, from("10.1.2.3")); r.left("first") != "" || r.left("second") == "" {
			t.Errorf("on the allow-list of the first: %v", r.head)
		}
	}
	g.expect(429, from("10.1.2.3"))
	if r := g.expect(429, from("::ffff:10.1.2.3")); r.left("first") != "" {
		t.Errorf("by another way of writing it: %v", r.head)
	}
	for range 3 {
		if r := g.expect(403, from("203.0.113.9")); r.code != "denied" || r.head["RateLimit"] != "" {
			t.Errorf("on the deny-list: %q, %v", r.code, r.head)
		}
	}
	g.expect(403, from("10.6.6.6"))
	if r := g.expect(200, with("X-Key", "hush")); r.left("first") != "0" || r.left("second") != "" {
		t.Errorf("exempted by the second: %v", r.head)
	}
	g.expect(429, with("X-Key", "hush"))
	if r := g.expect(200, from("192.0.2.9"), with("X-Key", "loud")); r.left("second") != "1" {
		t.Errorf("not exempted: %v", r.head)
	}
	g.expect(200, from("2001:db8::1"), with("X-Key", "any"))
	g.expect(429, from("2001:db8::2"), with("X-Key", "any"))
	first, second := g.status("first"), g.status("second")
	if first.Decisions["skipped"] != 4 || first.Decisions["denied"] != 4 || second.Decisions["skipped"] != 4 || second.Exempt != 2 {
		t.Errorf("%+v and %+v", first.Decisions, second.Decisions)
	}
}

// TestPenalty: who is refused too often is refused early, and by this limit alone; nobody else is.
func TestPenalty(t *testing.T) {
	g := newGateway(t, one("main", 1, `answer = { status = 403 }`, `penalty = { strikes = 3, window = "1h", ban = "2h" }`)+one("other", 100))
	g.expect(200)
	for range 3 {
		if r := g.expect(403); r.left("other") != "99" || r.head["Retry-After"] == "7200" {
			t.Errorf("a refusal: %v", r.head)
		}
	}
	for range 2 {
		r := g.expect(403)
		if r.left("other") != "" || r.left("main") != "0" || r.code != "rate_limited" || r.head["Retry-After"] != "7200" {
			t.Errorf("the penalty: %q %v", r.code, r.head)
		}
	}
	g.expect(200, from("192.0.2.8"))
	s := g.status("main")
	if s.Banned != 1 || s.Decisions["banned"] != 2 || s.Decisions["limited"] != 3 {
		t.Errorf("%+v", s)
	}
	if o := s.Offenders; len(o) != 1 || o[0].Refused != 3 || o[0].Key[:12] != "ip=192.0.2.7" {
		t.Errorf("%+v", o)
	}
	g.reload(one("main", 5, `answer = { status = 403 }`)) // the penalty has been taken out
	g.expect(200)
	g.reload(one("main", 5, `penalty = { strikes = 3, window = "1h", ban = "1h" }`)) // and comes back with what was left of it
	if r := g.expect(429); r.head["Retry-After"] != "3600" && r.head["Retry-After"] != "3599" {
		t.Errorf("a shorter ban: %v", r.head)
	}
}
