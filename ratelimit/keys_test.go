package ratelimit

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/penstock-edge/penstock/edge"
)

// TestMistakesOfKeys: each is an error at its place.
func TestMistakesOfKeys(t *testing.T) {
	f := func(keys, want string) {
		t.Helper()
		_, errs := read(t, "rate = \"10/s\"\n"+keys)
		if want == "" && errs != "" || !strings.Contains(errs, want) || strings.Contains(errs, "\n") {
			t.Errorf("%q: %q, want %q", keys, errs, want)
		}
	}
	f("key = \"header:a\"\nmissing = \"skip\"", "")
	f("key = [\"ip\", \"query:a\"]\nmissing = \"refuse\"", "")
	f("key = \"header:a\"\nmissing = \"drop\"", "test.toml:4:11: rate_limit.main.missing: ")
	f("missing = \"skip\"", "test.toml:3:1: rate_limit.main.missing: means nothing to a key that every request has")
	f("key = [\"ip\", \"path\"]\nmissing = \"one\"", "means nothing to a key")
	f("count = \"401,403\"", "")
	f("count = \"200-299, 500-599\"", "")
	for _, count := range []string{"40", "4xx", "401;403", "403-401", "101", "600", "401,", "-401", "0401", "400-", "+40", "400-499-500"} {
		f("count = \""+count+"\"", "test.toml:3:1: rate_limit.main.count: must be statuses from 200 to 599")
	}
	f("exempt = [\"10.0.0.0/8\", \"192.0.2.1\", \"2001:db8::/32\", \"::ffff:192.0.2.1\"]", "")
	f("exempt = []", "")
	f("exempt = \"10.0.0.0/8\"", "must be a list")
	f("exempt = [\"10.0.0.0/33\"]", "test.toml:3:11: rate_limit.main.exempt[1]: must be an address or a network")
	f("exempt = [\"*\"]", "must be an address")
	f("exempt = [7]", "must be a string")
	f("exempt = [[\"192.0.2.1\", \"a\"]]", "must have a value for each part of the key, that is ip; 2 are given")
	f("key = \"header:a\"\nexempt = [\"*\"]", "would exempt everybody")
	f("key = \"header:a\"\nexempt = [\"a\", \"\"]", "test.toml:4:16: rate_limit.main.exempt[2]: must not be empty")
	f("key = [\"header:a\", \"route\"]\nexempt = [\"a\"]", "that is header:A, route; 1 are given")
	f("key = [\"header:a\", \"route\"]\nexempt = [[\"*\", \"*\"]]", "would exempt everybody")
	f("key = [\"header:a\", \"route\"]\nexempt = [[\"*\", \"r\"], [\"a\", \"*\"]]", "")
	f("key = \"global\"\nexempt = [\"a\"]", "is the same of all requests")
	f("key = \"header:a\"\nexempt = [\"file:key\"]", "path of a secret's file must begin with /")
	f("answer = { status = 503, body = \"no\", headers = { X-A = \"b\" } }", "")
	f("answer = {}", "")
	f("answer = { status = 200 }", "rate_limit.main.answer.status")
	f("answer = { status = 600 }", "rate_limit.main.answer.status")
	f("answer = { stats = 429 }", "did you mean")
	f("answer = { headers = { \"a b\" = \"c\" } }", "is not the name of a header")
	f("answer = { headers = { \"A\\r\\nB\" = \"c\" } }", "is not the name of a header")
	f("answer = { headers = { A = \"b\\r\\nSet-Cookie: x\" } }", "one line without control characters")
	f("answer = { headers = { A = \"b\\u0000\" } }", "one line without control characters")
	f("answer = { headers = { A = \" \" } }", "begins and ends with something")
	f("answer = { headers = { A = \"b\", a = \"c\" } }", "is given twice")
	for _, name := range []string{"Connection", "transfer-encoding", "Content-Length", "date", "Retry-After", "RateLimit", "ratelimit-policy"} {
		f("answer = { headers = { "+name+" = \"1\" } }", "rate_limit.main.answer.headers."+name+": ")
	}
}

// TestMakeKey: what an operator writes is the key of the requests that it describes, and of no others.
func TestMakeKey(t *testing.T) {
	c, errs := read(t, "rate = \"1/s\"\nmissing = \"ip\"\n"+
		`key = ["ip", "route", "host", "method", "path", "global", "header:x-a", "cookie:c", "query:q"]`)
	if errs != "" {
		t.Fatal(errs)
	}
	client := "192.0.2.7"
	of := func(headers []string, cookie, query string) string {
		x := &edge.Exchange{}
		x.Client, x.Host, x.Method, x.Path = netip.MustParseAddr(client), []byte("example.com"), []byte("GET"), []byte("/p")
		var lines string
		for _, v := range headers {
			lines += "X-A: " + v + "\r\n"
		}
		x.Req.SetLines([]byte(lines), nil) // Add lets nothing in that would break a head
		x.Cookie, x.Query = []byte(cookie), []byte(query)
		b, _ := c.appendKey(nil, x, "r1")
		return string(b)
	}
	made := func(address string, last ...string) string {
		t.Helper()
		b, err := c.makeKey(append([]string{client, "r1", "Example.com", "GET", "/p", ""}, last...), address)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	all := []string{of([]string{"a"}, "c=1", "q=2"), of([]string{"a", "", "b"}, "c=1; c=2", "q=%31&q=+"), of(nil, "", ""),
		of([]string{client}, "c="+client, "q="+client), of([]string{"a"}, "", "q=2"), of([]string{"\xc0\x00\x02\x07"}, "c=1", "q=2")}
	same := []string{made("", "a", "1", "2"), made("", "a\nb", "1\n2", "1\n "), made(client, "", "", ""), made("", client, client, client),
		made(client, "a", "", "2"), made("", "\xc0\x00\x02\x07", "1", "2")}
	for i := range all {
		for j := range same {
			if (all[i] == same[j]) != (i == j) {
				t.Errorf("request %d and key %d: %v", i, j, all[i] == same[j])
			}
		}
	}
	f := func(want, address string, values ...string) {
		t.Helper()
		if _, err := c.makeKey(values, address); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", values, err, want)
		}
	}
	f("header:X-A, cookie:c, query:q; 0 are given", "")
	f("ip: \"\" is not an address", "", "", "r", "h", "m", "p", "", "1", "2", "3")
	f("query:q: requests without it have a key of their own for each address", "", client, "r", "h", "m", "p", "", "1", "2", "")
	f("called global", "", client, "r", "h", "m", "p", "g", "1", "2", "3")
}

func FuzzNextPart(f *testing.F) {
	f.Add("a", "", true)
	f.Add("", "b\nc", false)
	f.Fuzz(func(t *testing.T, one, two string, byIP bool) {
		c := &Config{parts: []part{{kind: byHeader}, {kind: byCookie}}, Missing: "one"}
		address := ""
		if byIP {
			c.Missing, address = "ip", "192.0.2.1"
		}
		c.IPv4Prefix = 32
		b, err := c.makeKey([]string{one, two}, address)
		if err != nil {
			t.Fatal(err)
		}
		first, rest := nextPart(b)
		second, rest := nextPart(rest)
		if string(first) != one || string(second) != two || len(rest) > 0 {
			t.Errorf("%q and %q are read as %q, %q and %q", one, two, first, second, rest)
		}
	})
}

// TestStatuses: the set has what was written, whatever it is asked for.
func TestStatuses(t *testing.T) {
	s, err := parseStatuses("200, 401-403,599")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for status := -1; status < 2000; status++ {
		if s.has(status) {
			got = append(got, fmt.Sprint(status))
		}
	}
	if strings.Join(got, " ") != "200 401 402 403 599" {
		t.Errorf("%v", got)
	}
}
