package conform

import (
	"fmt"
	"net/http"
	"slices"
	"time"
)

// reusing are the rows of RFC 9111 section 4, 4.1, 4.2.x.
var reusing = slices.Concat(selection, variants, lifetimes, ages, stales)

var selection = []Check{
	{"9111", "4", "MUST NOT", "use an answer for another host", func(c *Case) {
		c.Do("/a", func(r *http.Request) Answer { return Answer{Body: r.Host, Fields: []string{forAll}} })
		for _, host := range []string{"a.example", "b.example", "a.example:81", "a.example"} {
			c.Want(host, c.Get("/a", "Host: "+host), 200, host)
		}
		c.WantAsked("/a", 3)
	}},
	{"9111", "4", "MUST NOT", "use an answer for another path or query", func(c *Case) {
		for _, uri := range []string{"/a", "/A", "/a/", "/a?x", "/a?x=1", "/a?X=1", "/a?x=1&y=2", "/b"} {
			path := map[string]string{"/A": "/A", "/a/": "/a/", "/b": "/b"}[uri]
			if path == "" {
				path = "/a"
			}
			c.On(path, uri, forAll)
			c.Want(uri, c.Get(uri), 200, uri)
		}
		c.On("/a", "none of them", forAll)
		for _, uri := range []string{"/a", "/a?x", "/a?x=1", "/a?X=1", "/a?x=1&y=2"} {
			c.Want("again "+uri, c.Get(uri), 200, uri)
		}
	}},
	{"9111", "4", "MUST NOT", "use an answer for another method, but a GET's for HEAD", func(c *Case) {
		for _, method := range []string{"OPTIONS", "POST", "FETCH"} {
			c.keep("/"+method, forAll)
			c.On("/"+method, "new")
			c.Want(method, c.Send(method, "/"+method, ""), 200, "new")
		}
		c.On("/a", digits, forAll)
		c.Want("POST", c.Send("POST", "/a", "x"), 200, digits)
		c.wantNew("/a")
	}},
	{"9111", "4", "MUST", "forward what is unsafe before it is answered", func(c *Case) {
		for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "UNKNOWN"} {
			path := "/" + method
			c.keep(path, forAll+", public")
			c.Do(path, answer(409, "conflict", forAll))
			c.Want(method, c.Send(method, path, "x"), 409, "conflict")
			c.Want(method, c.Send(method, path, "x"), 409, "conflict")
			c.WantAsked(path, 3)
		}
	}},
	{"9111", "4", "MUST", "say how old the answer is that is used again", func(c *Case) {
		for path, age := range map[string]string{"/none": "X-Age: 0", "/some": "Age: 50"} {
			c.keep(path, forAll, age)
			got := c.asks(path, 200, digits).Header.Values("Age")
			c.wantAge(path, got, map[string]uint64{"/some": 50}[path])
		}
	}},
}

// kindly answers with the value of X-Kind, by which answers differ.
var kindly = echo("X-Kind", forAll, "Vary: X-Kind")

var variants = []Check{
	{"9111", "4.1", "MUST NOT", "use an answer for other values of a field in Vary", func(c *Case) {
		c.Do("/a", kindly)
		for range 2 { // then each has its own
			for _, kind := range []string{"1", "2", "12", "1, 2", "a", "A"} {
				c.Want(kind, c.Get("/a", "X-Kind: "+kind, "X-Other: x"+kind), 200, "for "+kind)
			}
		}
		c.WantAsked("/a", 6)
	}},
	{"9111", "4.1", "MUST NOT", "take a field in Vary that is absent for one that is there", func(c *Case) {
		c.Do("/a", kindly)
		c.Want("absent", c.Get("/a"), 200, "for ")
		c.Want("there", c.Get("/a", "X-Kind: 1"), 200, "for 1")
		c.Want("absent", c.Get("/a"), 200, "for ")
		c.WantAsked("/a", 2)
		c.Do("/b", kindly)
		c.Want("there", c.Get("/b", "X-Kind: 1"), 200, "for 1")
		c.Want("absent", c.Get("/b"), 200, "for ")
		c.WantAsked("/b", 2)
	}},
	{"9111", "4.1", "is", "find no request that fits Vary: *", func(c *Case) {
		c.wantNotStored("/a", nil, forAll, "Vary: *")
		c.wantNotStored("/b", nil, forAll, "Vary: X-Kind, *")
		c.wantNotStored("/c", nil, forAll, "Vary: X-Kind", "Vary: *")
	}},
	{"9111", "4.1", "MUST NOT",
		"overlook one of several fields in Vary, in a line or in several", func(c *Case) {
			for path, vary := range map[string][]string{"/line": {"Vary: X-One, X-Two"},
				"/spaced": {"Vary: X-One ,, X-Two"}, "/lines": {"Vary: X-One", "Vary: X-Two"},
				"/other": {"Vary: X-Two", "Vary: X-Other, X-One"}} {
				c.On(path, digits, append(vary, forAll)...)
				c.Want(path, c.Get(path, "X-One: 1", "X-Two: 2"), 200, digits)
				c.wantNew(path, "X-One: 1", "X-Two: 3")
				c.wantNew(path, "X-One: 3", "X-Two: 2")
			}
		}},
	{"9111", "4.1", "is", "read the names in Vary without regard to case and order", func(c *Case) {
		c.On("/a", digits, forAll, "Vary: x-ONE, X-Two")
		c.Want("first", c.Get("/a", "X-One: 1", "X-Two: 2"), 200, digits)
		c.wantOld("/a", "x-two: 2", "X-ONE: 1")
		c.wantNew("/a", "x-two: 3", "X-ONE: 1")
	}},
	{"9111", "4.1", "is", "take space around the value of a field in Vary for nothing", func(c *Case) {
		c.On("/a", digits, forAll, "Vary: X-Kind")
		c.Want("first", c.Get("/a", "X-Kind: 1"), 200, digits)
		c.wantOld("/a", "X-Kind:   1  ")
		c.wantOld("/a", "X-Kind:1")
	}},
	{"9111", "4.1", "SHOULD", "prefer an answer that has a Vary to one that lacks it", func(c *Case) {
		c.Do("/a", func(r *http.Request) Answer {
			if r.Header.Get("X-Kind") == "" {
				return Answer{Body: "for ", Fields: []string{forAll}}
			}
			return kindly(r)
		})
		c.Want("with", c.Get("/a", "X-Kind: 1"), 200, "for 1")
		c.Want("without", c.Get("/a"), 200, "for ")
		c.Want("with", c.Get("/a", "X-Kind: 1"), 200, "for 1")
	}},
}

var lifetimes = []Check{
	{"9111", "4.2", "SHOULD", "read the names in dates without regard to case", func(c *Case) {
		c.wantStored("/a", nil, "Expires: FRI, 01 JAN 2100 10:00:00 GMT")
		c.wantStored("/b", nil, "Expires: fri, 01 jan 2100 10:00:00 gmt")
	}},
	{"9111", "4.2", "SHOULD", "take a date in a zone that is not GMT for none", func(c *Case) {
		c.wantNotStored("/c", nil, "Expires: Fri, 01 Jan 2100 10:00:00 UTC")
		c.wantNotStored("/a", nil, "Expires: Fri, 01 Jan 2100 10:00:00 EST")
		c.wantNotStored("/b", nil, "Expires: Fri, 01 Jan 2100 10:00:00 +0000")
	}},
	{"9111", "4.2", "is", "read the obsolete forms of dates in Expires", func(c *Case) {
		c.wantStored("/a", nil, "Expires: Fri Jan  1 10:00:00 2100")
		c.wantStored("/b", nil, "Expires: Thursday, 01-Jan-60 10:00:00 GMT")
	}},
	{"9111", "4.2.1", "is", "count the lifetime from Date to Expires, or from when it came", func(c *Case) {
		c.wantStored("/a", nil, "Date: "+in(0), "Expires: "+in(100))
		c.wantNotStored("/b", nil, "Date: "+in(0), "Expires: "+in(-1))
		c.wantNotStored("/c", nil, "Date: "+in(150), "Expires: "+in(100))
		c.wantStored("/d", nil, "Expires: "+in(100))
	}},
	{"9111", "4.2.1", "is", "take no second value that is fresher than the first", func(c *Case) {
		c.wantNotStored("/a", nil, "Cache-Control: max-age=0, max-age=100")
		c.wantNotStored("/b", nil, "Cache-Control: max-age=0", "Cache-Control: max-age=100")
		c.wantNotStored("/c", nil, "Cache-Control: s-maxage=0, max-age=100, s-maxage=100")
		c.wantNotStored("/d", nil, "Expires: "+in(-100), "Expires: "+in(100))
		c.wantNotStored("/e", nil, "Expires: 0", "Expires: "+in(100))
	}},
	{"9111", "4.2.1", "is", "obey the strictest of directives that contradict each other", func(c *Case) {
		c.wantNotStored("/a", nil, "Cache-Control: max-age=100, no-cache")
		c.wantNotStored("/b", nil, "Cache-Control: public, max-age=100, no-store")
		c.wantNotStored("/c", nil, "Cache-Control: public, private, max-age=100")
		c.wantNotStored("/d", nil, "Cache-Control: no-cache, s-maxage=100", tag)
	}},
	{"9111", "4.2.1", "is", "take for stale what has a max-age that is no number", func(c *Case) {
		for i, v := range []string{"x", "1e9", "100.5", "-1", "", "100x", "0x100", "+100"} {
			c.wantNotStored(fmt.Sprint("/", i), nil, "Cache-Control: max-age="+v, "Expires: "+in(1000))
		}
		c.wantNotStored("/none", nil, "Cache-Control: max-age")
	}},
	{"9111", "4.2.2", "MUST NOT", "guess how long is fresh what says so itself", func(c *Case) {
		for path, field := range map[string]string{"/a": "Cache-Control: max-age=0",
			"/b": "Cache-Control: s-maxage=0", "/c": "Expires: " + in(-10), "/d": "Expires: 0"} {
			c.wantNotStored(path, nil, field, "Last-Modified: "+modified)
		}
	}},
}

var ages = []Check{
	{"9111", "4.2.3", "is", "count the Age that an answer comes with, whatever its Date", func(c *Case) {
		c.wantStored("/a", nil, forAll, "Age: 50")
		c.wantNotStored("/b", nil, forAll, tooOld)
		c.wantNotStored("/c", nil, forAll, "Age: 100")
		c.wantNotStored("/d", nil, forAll, "Date: "+in(1000), tooOld)
		c.keep("/e", forAll, "Date: "+in(1000), "Age: 50")
		c.wantAge("/e", c.asks("/e", 200, digits).Header.Values("Age"), 50)
	}},
	{"9111", "4.2.3", "MAY", "count the time since Date where Age says less", func(c *Case) {
		c.wantNotStored("/a", nil, forAll, "Date: "+in(-150))
		c.wantNotStored("/b", nil, forAll, "Date: "+in(-150), "Age: 3")
		c.wantStored("/c", nil, forAll, "Date: "+in(-50))
	}},
	{"9111", "4.2.3", "MUST", "count the age from when the origin was asked", func(c *Case) {
		c.Do("/a", func(*http.Request) Answer {
			<-time.After(1100 * time.Millisecond) // on the way the answer gets too old
			return Answer{Body: digits, Fields: []string{forAll, "Age: 99"}}
		})
		c.Want("slow", c.Get("/a"), 200, digits)
		c.wantNew("/a")
	}},
	{"9111", "4.2.3", "is", "count the age anew from a 304, and the Age that it comes with", func(c *Case) {
		c.keep("/a", forAll, tooOld, tag)
		c.confirmed("/a", forAll, tag, "Age: 30")
		c.wantAge("stored", c.Get("/a").Header.Values("Age"), 30)
		c.keep("/b", forAll, tooOld, tag)
		c.confirmed("/b", forAll, tag, tooOld)
		c.wantNew("/b")
	}},
}

// old are the fields of an answer that is stale when it comes, by what allows nobody to use it stale.
func old(directives string) []string {
	return []string{"Cache-Control: max-age=100" + directives, tooOld, tag}
}

var stales = []Check{
	{"9111", "4.2.4", "MUST NOT", "serve what is stale while the origin can be asked", func(c *Case) {
		c.keep("/a", old("")...)
		c.wantNew("/a")
		c.keep("/b", "Expires: "+in(-1000), tag)
		c.wantNew("/b")
	}},
}
