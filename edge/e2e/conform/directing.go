package conform

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// directing are the rows of RFC 9111 section 5.
var directing = slices.Concat(ageField, asked, directives, strictness, otherFields)

var ageField = []Check{
	{"9111", "5.1", "SHOULD", "use the first of several values of Age", func(c *Case) {
		c.wantNotStored("/a", nil, forAll, "Age: 101, 0")
		c.wantNotStored("/b", nil, forAll, "Age: 101", "Age: 0")
		for path, fields := range map[string][]string{"/c": {"Age: 30, 101"}, "/d": {"Age: 30", "Age: 101"}} {
			c.keep(path, append(fields, forAll)...)
			c.wantAge(path, c.asks(path, 200, digits).Header.Values("Age"), 30)
		}
	}},
	{"9111", "5.1", "SHOULD", "ignore an Age that is no number", func(c *Case) {
		for i, v := range []string{"x", "-5", "101x", "1e9", "101.5", "", `"101"`} {
			path := fmt.Sprint("/", i)
			c.keep(path, forAll, "Age: "+v)
			c.wantAge(path, c.asks(path, 200, digits).Header.Values("Age"), 0)
		}
	}},
	{"9111", "5.2", "MUST", "pass the directives on, of requests and of answers, known or not", func(c *Case) {
		const request, reply = `No-Transform, x-unknown="a, b"`, `max-age=100, X-Unknown="b, c"`
		first := c.keep("/a", "Cache-Control: "+reply)
		for what, r := range map[string]Reply{"first": first, "stored": c.asks("/a", 200, digits)} {
			if got := r.Header.Get("Cache-Control"); got != reply {
				c.Errorf("%s: Cache-Control is %q", what, got)
			}
		}
		c.On("/b", digits, forAll)
		c.Want("request", c.Get("/b", "Cache-Control: "+request), 200, digits)
		if got := c.last("/b").Header.Get("Cache-Control"); got != request {
			c.Errorf("the origin got Cache-Control: %s", got)
		}
	}},
	{"9111", "5.2", "is", "read directives in any case, over several lines, and not in quotes", func(c *Case) {
		c.wantStored("/a", nil, "cache-control: MAX-AGE=100")
		c.wantNotStored("/b", nil, "CACHE-CONTROL: Max-Age=100, NO-STORE")
		c.wantNotStored("/c", nil, forAll, "Cache-Control: No-Cache")
		c.wantNotStored("/d", nil, "Cache-Control: PRIVATE", forAll)
		c.wantStored("/e", nil, "Cache-Control:public ,, max-age=100 ,")
		c.wantStored("/f", nil, `Cache-Control: x="no-store, private, no-cache", max-age=100`)
		c.wantStored("/g", nil, `Cache-Control: x="a\", no-store, \"b", max-age=100`)
		c.wantNotStored("/h", nil, `Cache-Control: x="max-age=100", max-age=0`)
	}},
	{"9111", "5.2", "is", "read an argument as a token and as a quoted string", func(c *Case) {
		c.wantStored("/a", nil, `Cache-Control: max-age="100"`)
		c.wantStored("/b", nil, `Cache-Control: max-age=0, s-maxage="100"`)
		c.wantNotStored("/c", nil, `Cache-Control: max-age="0", public`)
		c.keep("/d", forAll+", private=X-One", "X-One: 1", "X-Two: 2")
		if r := c.Get("/d"); len(c.Asked("/d")) == 1 && r.Header.Get("X-One") != "" {
			c.Errorf("private as a token: X-One is there again")
		}
	}},
}

// asked are the rows on directives of requests, which caches may ignore but for no-store.
var asked = []Check{
	{"9111", "5.2.1.1", "MAY", "take max-age of a request for the greatest age that it wants", func(c *Case) {
		c.keep("/a", forAll, "Age: 50")
		c.asks("/a", 200, digits, "Cache-Control: max-age=80")
		c.wantNew("/a", "Cache-Control: max-age=40")
		c.keep("/b", forAll, "Age: 5")
		c.wantNew("/b", "Cache-Control: max-age=0")
		c.keep("/stale", old("")...)
		c.wantNew("/stale", "Cache-Control: max-age=1000")
	}},
	{"9111", "5.2.1.2", "MAY",
		"serve to a request with max-stale what is stale for so long at most", func(c *Case) {
			c.keep("/a", old("")...)
			c.wantOld("/a", "Cache-Control: max-stale=60")
			c.wantOld("/a", "Cache-Control: max-stale")
			c.keep("/b", forAll, "Age: 200", tag)
			c.wantNew("/b", "Cache-Control: max-stale=10")
			c.keep("/c", forAll, "Age: 200", tag)
			c.wantNew("/c", "Cache-Control: max-stale=0")
		}},
	{"9111", "5.2.1.3", "MAY",
		"serve to a request with min-fresh only what is fresh for so long yet", func(c *Case) {
			c.keep("/a", forAll, "Age: 50")
			c.asks("/a", 200, digits, "Cache-Control: min-fresh=20")
			c.wantNew("/a", "Cache-Control: min-fresh=60")
		}},
	{"9111", "5.2.1.4", "MAY", "ask the origin for a request with no-cache", func(c *Case) {
		c.keep("/a", forAll, tag)
		c.Do("/a", confirms(forAll, tag))
		if r := c.Get("/a", "Cache-Control: no-cache"); r.Status != 200 || r.Body != digits && r.Body != "new" {
			c.Errorf("%d %q", r.Status, r.Body)
		}
		c.WantAsked("/a", 2)
		c.keep("/b", forAll)
		c.wantNew("/b", "Cache-Control: no-cache")
		c.On("/b", "newer", forAll)
		c.Want("afterwards", c.Get("/b"), 200, "new")
	}},
	{"9111", "5.2.1.5", "MUST NOT", "store an answer to a request with no-store", func(c *Case) {
		c.On("/a", digits, forAll)
		c.Want("no-store", c.Get("/a", "Cache-Control: no-store"), 200, digits)
		c.wantNew("/a")
		c.On("/b", digits, forAll)
		c.Want("no-store", c.Get("/b", "Cache-Control: max-age=5, No-Store"), 200, digits)
		c.wantNew("/b")
	}},
	{"9111", "5.2.1.6", "is", "leave the content as it is for a request with no-transform", func(c *Case) {
		text := strings.Repeat("text ", 1000)
		for range 2 {
			c.On("/a", text, forAll, "Content-Type: text/plain")
			r := c.Get("/a", "Cache-Control: no-transform", "Accept-Encoding: gzip, br, zstd")
			if c.Want("no-transform", r, 200, text); r.Header.Get("Content-Encoding") != "" {
				c.Errorf("it is encoded")
			}
		}
	}},
	{"9111", "5.2.1.7", "SHOULD", "answer only-if-cached from what is stored or with 504", func(c *Case) {
		c.On("/none", digits, forAll)
		if r := c.Get("/none", "Cache-Control: only-if-cached"); r.Status != 504 {
			c.Errorf("nothing stored: %d %q", r.Status, r.Body)
		}
		c.WantAsked("/none", 0)
		c.keep("/fresh", forAll)
		c.asks("/fresh", 200, digits, "Cache-Control: only-if-cached")
		c.keep("/stale", old(", must-revalidate")...)
		if r := c.Get("/stale", "Cache-Control: only-if-cached"); r.Status != 504 {
			c.Errorf("stale: %d %q", r.Status, r.Body)
		}
		c.WantAsked("/stale", 1)
	}},
}

var directives = []Check{
	{"9111", "5.2.2.1", "MUST", "take for stale what is older than its max-age", func(c *Case) {
		c.wantStored("/a", nil, "Cache-Control: max-age=200", "Age: 150")
		c.wantNotStored("/b", nil, "Cache-Control: max-age=200", "Age: 201")
		c.wantNotStored("/c", nil, "Cache-Control: max-age=0")
	}},
	{"9111", "5.2.2.3", "SHOULD", "store what has must-understand against no-store", func(c *Case) {
		c.wantStored("/a", nil, "Cache-Control: no-store, must-understand, max-age=100")
		c.wantStored("/b", nil, "Cache-Control: max-age=100, must-understand", "Cache-Control: no-store")
	}},
	{"9111", "5.2.2.3", "MUST NOT",
		"store what has must-understand and a status that is unknown", func(c *Case) {
			for _, status := range []int{299, 499, 599} {
				c.repeat("GET", fmt.Sprint("/", status), Answer{Status: status, Body: digits,
					Fields: []string{"Cache-Control: must-understand, max-age=100"}}, 2)
				c.repeat("GET", fmt.Sprint("/no-store/", status), Answer{Status: status, Body: digits,
					Fields: []string{"Cache-Control: must-understand, no-store, max-age=100"}}, 2)
			}
		}},
	{"9111", "5.2.2.4", "MUST NOT",
		"use what has no-cache without asking, whatever else it says", func(c *Case) {
			c.wantNotStored("/a", nil, "Cache-Control: no-cache, max-age=100", tag)
			c.wantNotStored("/b", nil, "Cache-Control: public, s-maxage=100, no-cache", "Expires: "+in(1000), tag)
			c.wantNotStored("/c", nil, "Cache-Control: no-cache", "Last-Modified: "+modified)
			c.wantNotStored("/d", nil, `Cache-Control: no-cache="", max-age=100`, tag)
			c.keep("/e", "Cache-Control: no-cache, max-age=100, stale-if-error=100", tag)
			c.Do("/e", answer(500, "fault"))
			c.Want("error", c.Get("/e", "Cache-Control: max-stale"), 500, "fault")
		}},
	{"9111", "5.2.2.4", "MUST NOT", "use the fields that no-cache names without asking", func(c *Case) {
		c.limited("no-cache")
	}},
	{"9111", "5.2.2.5", "MUST NOT",
		"use for another request what has no-store, whatever else it says", func(c *Case) {
			c.wantNotStored("/a", nil, "Cache-Control: public, s-maxage=100, no-store", "Expires: "+in(1000), tag)
			c.wantNotStored("/b", nil, "Cache-Control: no-store=x, max-age=100")
			c.keep("/c", forAll, tooOld, tag)
			c.On("/c", "secret", "Cache-Control: no-store", tag)
			_ = c.Get("/c") // what is stored then is asked about below
			c.Do("/c", confirms(forAll, tag))
			if r := c.Get("/c"); r.Body == "secret" {
				c.Errorf("it was used again")
			}
		}},
	{"9111", "5.2.2.6", "MUST NOT", "transform the content of what has no-transform", func(c *Case) {
		text := strings.Repeat("text ", 1000)
		c.On("/a", text, forAll+", no-transform", "Content-Type: text/plain")
		for range 2 {
			r := c.Get("/a", "Accept-Encoding: gzip, br, zstd")
			if c.Want("no-transform", r, 200, text); r.Header.Get("Content-Encoding") != "" {
				c.Errorf("it is encoded")
			}
		}
	}},
	{"9111", "5.2.2.7", "MUST NOT", "store what is private", func(c *Case) {
		c.wantNotStored("/a", nil, "Cache-Control: private, max-age=100")
		c.wantNotStored("/b", nil, "Cache-Control: s-maxage=100, private", "Expires: "+in(1000))
		c.wantNotStored("/c", nil, `Cache-Control: max-age=100, private=""`)
		c.wantNotStored("/d", nil, `Cache-Control: private="X-One", private, max-age=100`, "X-One: 1")
	}},
	{"9111", "5.2.2.7", "MUST NOT", "store the fields that private names", func(c *Case) {
		c.limited("private")
	}},
	{"9111", "5.2.2.7", "is", "give the fields that private names to the one whom they are for", func(c *Case) {
		for path, directive := range map[string]string{"/a": "private", "/b": "no-cache"} {
			r := c.keep(path, forAll+", "+directive+`="X-One"`, "X-One: 1")
			if r.Header.Get("X-One") != "1" {
				c.Errorf("%s: the first client gets %v", directive, r.Header)
			}
		}
	}},
	{"9111", "5.2.2.9", "MAY", "store what is public and has had Authorization", func(c *Case) {
		c.wantStored("/a", []string{"Authorization: Basic YTph"}, forAll+", public")
	}},
	{"9111", "5.2.2.10", "MUST", "let s-maxage count in place of max-age, shorter or longer", func(c *Case) {
		c.wantStored("/a", nil, "Cache-Control: s-maxage=100, max-age=0")
		c.wantNotStored("/b", nil, "Cache-Control: s-maxage=0, max-age=100")
		c.wantNotStored("/c", nil, "Cache-Control: max-age=100, s-maxage=0", "Expires: "+in(1000))
	}},
}

// limited checks that fields named by a directive are not sent again, and others are, unless the answer is
// not stored at all.
func (c *Case) limited(directive string) {
	for path, names := range map[string]string{"/one": "X-One", "/two": "x-one, X-THREE",
		"/spaced": "X-Three , X-One"} {
		c.On(path, digits, fmt.Sprintf("Cache-Control: max-age=100, %s=%q", directive, names), "X-One: 1",
			"X-Two: 2", "x-one: 3")
		c.Want(path, c.Get(path), 200, digits)
		r := c.Get(path)
		c.Want(path, r, 200, digits)
		if len(c.Asked(path)) == 1 && (r.Header.Get("X-One") != "" || r.Header.Get("X-Two") != "2") {
			c.Errorf("%s: again with %v", path, r.Header)
		}
	}
}

// strictness are the rows on directives that forbid to use what is stale.
var strictness = []Check{
	{"9111", "5.2.2.2", "MUST NOT", "use what has must-revalidate stale before it is confirmed", func(c *Case) {
		c.strict("must-revalidate")
	}},
	{"9111", "5.2.2.2", "MUST",
		"answer with an error when that is stale and nobody can be asked", func(c *Case) {
			c.unreachable("must-revalidate")
		}},
	{"9111", "5.2.2.8", "MUST NOT", "use what has proxy-revalidate stale before it is confirmed", func(c *Case) {
		c.strict("proxy-revalidate")
		c.unreachable("proxy-revalidate")
	}},
	{"9111", "5.2.2.10", "MUST NOT", "use what has s-maxage stale before it is confirmed", func(c *Case) {
		c.strict("s-maxage=50")
		c.unreachable("s-maxage=50")
	}},
}

// strict checks that an answer with a directive is not used stale while the origin can be asked.
func (c *Case) strict(directive string) {
	c.keep("/strict", old(", "+directive)...)
	c.Do("/strict", confirms("Cache-Control: max-age=100, "+directive, tag, tooOld))
	for n := 2; n < 4; n++ {
		r := c.Get("/strict", "Cache-Control: max-stale=1000")
		if r.Status != 200 || r.Body != digits && r.Body != "new" {
			c.Errorf("%d %q", r.Status, r.Body)
		}
		c.WantAsked("/strict", n)
		if r.Body == "new" {
			return // it was not asked about but replaced
		}
	}
	c.wantNew("/strict")
}

// unreachable checks that an answer with a directive is not used stale when the origin fails.
func (c *Case) unreachable(directive string) {
	for what, f := range map[string]func(*http.Request) Answer{"error": answer(503, "fault"),
		"dropped": func(*http.Request) Answer { return Answer{Drop: true} }} {
		path := "/unreachable/" + what
		c.keep(path, old(", "+directive)...)
		c.Do(path, f)
		if r := c.Get(path, "Cache-Control: max-stale"); r.Err == nil && r.Status < 500 || r.Body == digits {
			c.Errorf("%s: %d %q", what, r.Status, r.Body)
		}
	}
}

var otherFields = []Check{
	{"9111", "5.2.3", "MUST", "ignore directives that it does not know", func(c *Case) {
		c.wantStored("/a", nil, `Cache-Control: x-unknown, max-age=100, y=1, z="a, b", no-stores, max-ages=0`)
		c.wantNotStored("/b", nil, `Cache-Control: private, community="x", max-age=100`)
		c.keep("/c", forAll)
		c.asks("/c", 200, digits, "Cache-Control: x-unknown, no-caches, y=no-cache")
	}},
	{"9111", "5.3", "MUST", "take an Expires that is no date, such as 0, for one that is past", func(c *Case) {
		for i, v := range []string{"0", "-1", "now", "", "Fri, 01 Jan 2100", "4102480800", "2100-01-01T10:00:00Z",
			"Fri, 31 Feb 2100 10:00:00 GMT"} {
			c.wantNotStored(fmt.Sprint("/", i), nil, "Expires: "+v, "Last-Modified: "+modified)
		}
	}},
	{"9111", "5.3", "MUST", "ignore Expires beside max-age and s-maxage", func(c *Case) {
		c.wantStored("/a", nil, forAll, "Expires: "+in(-1000))
		c.wantStored("/b", nil, "Expires: 0", forAll)
		c.wantStored("/c", nil, "Cache-Control: s-maxage=100", "Expires: 0")
		c.wantNotStored("/d", nil, "Cache-Control: max-age=0", "Expires: "+in(1000))
		c.wantNotStored("/e", nil, "Cache-Control: s-maxage=0", "Expires: "+in(1000))
	}},
	{"9111", "5.4", "MAY",
		"take Pragma: no-cache for no-cache in a request without Cache-Control", func(c *Case) {
			c.keep("/a", forAll)
			c.wantNew("/a", "Pragma: no-cache")
		}},
}
