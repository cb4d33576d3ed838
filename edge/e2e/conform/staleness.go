package conform

import (
	"fmt"
	"net/http"
	"slices"
)

// What is stale when it comes: an age says so, and nobody has to wait.
const (
	tooOldBy10 = "Age: 20"
	revivable  = "Cache-Control: max-age=10, stale-while-revalidate=100"
	rescuable  = "Cache-Control: max-age=10, stale-if-error=100"
)

// fails has the proxy store an answer, after which the origin answers 503.
func (c *Case) fails(path string, fields ...string) {
	c.keep(path, fields...)
	c.Do(path, answer(503, "fault"))
}

// askedAgain checks that the origin is asked a second time, before the answer or after it: without that a
// proxy only took for fresh what is stale.
func (c *Case) askedAgain(path string) {
	c.Eventually("asked again for "+path, func() bool { return len(c.Asked(path)) > 1 })
}

// staleness are the rows of RFC 5861.
var staleness = slices.Concat(revived, rescued)

var revived = []Check{
	{"5861", "3", "MAY", "serve what is stale while it is revalidated", func(c *Case) {
		c.keep("/a", revivable, tooOldBy10)
		c.On("/a", "new", forAll)
		c.Want("stale", c.Get("/a"), 200, digits)
		c.askedAgain("/a")
	}},
	{"5861", "3", "SHOULD", "serve what is new when it is there, and ask but once for that", func(c *Case) {
		c.keep("/a", revivable, tooOldBy10)
		c.On("/a", "new", forAll)
		c.Want("stale", c.Get("/a"), 200, digits)
		c.askedAgain("/a")
		c.Eventually("served what is new", func() bool { return c.Get("/a").Body == "new" })
		c.WantAsked("/a", 2)
	}},
	{"5861", "3", "is",
		"ask with the tag of what is stale, and serve it as fresh after a 304", func(c *Case) {
			c.keep("/a", revivable, tooOldBy10, `ETag: "v1"`)
			c.Do("/a", answer(304, "", `ETag: "v1"`, forAll, "X-New: 1"))
			c.Want("stale", c.Get("/a"), 200, digits)
			c.askedAgain("/a")
			for i, r := range c.Asked("/a") {
				if i == 1 && r.Header.Get("If-None-Match") != `"v1"` {
					c.Errorf("If-None-Match: %s", r.Header.Get("If-None-Match"))
				}
			}
			c.Eventually("made it fresh", func() bool { return c.Get("/a").Header.Get("X-New") == "1" })
			c.WantAsked("/a", 2)
		}},
	{"5861", "3", "MAY", "keep what is stale at once and has nothing to ask by, for that", func(c *Case) {
		c.On("/a", digits, "Cache-Control: max-age=0, stale-while-revalidate=60")
		c.Want("new", c.Get("/a"), 200, digits)
		c.On("/a", "new", forAll)
		c.Want("stale", c.Get("/a"), 200, digits)
		c.askedAgain("/a")
	}},
	{"5861", "3", "is", "count the age of what is served stale on", func(c *Case) {
		c.keep("/a", revivable, tooOldBy10)
		r := c.Get("/a")
		c.Want("stale", r, 200, digits)
		if len(r.Header.Get("Age")) != 2 || r.Header.Get("Age") < "20" {
			c.Errorf("Age: %q", r.Header.Get("Age"))
		}
	}},
	{"5861", "3", "MUST NOT", "serve what is stale beyond the time of stale-while-revalidate", func(c *Case) {
		c.keep("/a", "Cache-Control: max-age=10, stale-while-revalidate=5", tooOldBy10)
		c.On("/a", "new", forAll)
		c.Want("too old", c.Get("/a"), 200, "new")
	}},
	{"5861", "3", "is", "not ask for what is fresh", func(c *Case) {
		c.keep("/a", "Cache-Control: max-age=100, stale-while-revalidate=100", tooOldBy10)
		for range 3 {
			c.asks("/a", 200, digits)
		}
	}},
	{"5861", "3", "MUST NOT", "serve what is stale against must-revalidate", func(c *Case) {
		c.keep("/a", revivable+", must-revalidate", tooOldBy10)
		c.On("/a", "new", forAll)
		c.Want("must-revalidate", c.Get("/a"), 200, "new")
	}},
	{"5861", "3", "MUST NOT", "serve what is stale to a request with no-cache", func(c *Case) {
		c.keep("/a", revivable, tooOldBy10)
		c.On("/a", "new", forAll)
		c.Want("no-cache", c.Get("/a", "Cache-Control: no-cache"), 200, "new")
	}},
}

var rescued = []Check{
	{"5861", "4", "MAY", "serve what is stale when the origin answers 500, 502, 503 or 504", func(c *Case) {
		for _, status := range []int{500, 502, 503, 504} {
			path := fmt.Sprintf("/%d", status)
			c.keep(path, rescuable, tooOldBy10)
			c.Do(path, answer(status, "fault"))
			c.Want(path, c.Get(path), 200, digits)
			c.askedAgain(path)
		}
	}},
	{"5861", "4", "MAY",
		"serve what is stale when the origin ends the connection without an answer", func(c *Case) {
			c.keep("/a", rescuable, tooOldBy10)
			c.Do("/a", func(*http.Request) Answer { return Answer{Drop: true} })
			c.Want("stale", c.Get("/a"), 200, digits)
			c.askedAgain("/a")
		}},
	{"5861", "4", "MAY", "keep what is stale at once and has nothing to ask by, for errors", func(c *Case) {
		c.On("/a", digits, "Cache-Control: max-age=0, stale-if-error=60")
		c.Want("new", c.Get("/a"), 200, digits)
		c.Do("/a", answer(503, "down"))
		c.Want("stale", c.Get("/a"), 200, digits)
	}},
	{"5861", "4", "MAY", "serve what is stale also when the error says that it is fresh", func(c *Case) {
		c.keep("/a", rescuable, tooOldBy10)
		c.Do("/a", answer(500, "fault", forAll))
		for range 2 {
			c.Want("stale", c.Get("/a"), 200, digits)
		}
		c.askedAgain("/a")
	}},
	{"5861", "4", "is", "let the status 404 through, which is no error", func(c *Case) {
		c.keep("/a", rescuable, tooOldBy10)
		c.Do("/a", answer(404, "gone"))
		c.Want("404", c.Get("/a"), 404, "gone")
	}},
	{"5861", "4", "is", "let the status 501 through, which is none of the errors", func(c *Case) {
		c.keep("/a", rescuable, tooOldBy10)
		c.Do("/a", answer(501, "unknown"))
		c.Want("501", c.Get("/a"), 501, "unknown")
	}},
	{"5861", "4", "MUST NOT", "serve what is stale beyond the time of stale-if-error", func(c *Case) {
		c.fails("/a", "Cache-Control: max-age=10, stale-if-error=5", tooOldBy10)
		c.Want("too old", c.Get("/a"), 503, "fault")
	}},
	{"5861", "4", "MUST NOT", "serve what is stale in an error against must-revalidate", func(c *Case) {
		c.fails("/a", rescuable+", must-revalidate", tooOldBy10)
		if r := c.Get("/a"); r.Status < 500 || r.Body == digits {
			c.Errorf("%d %q", r.Status, r.Body)
		}
	}},
	{"5861", "4", "is", "serve what is new when the origin is well again", func(c *Case) {
		c.fails("/a", rescuable, tooOldBy10)
		c.Want("stale", c.Get("/a"), 200, digits)
		c.On("/a", "new", forAll)
		c.Want("new", c.Get("/a"), 200, "new")
	}},
	{"5861", "4", "MAY", "obey stale-if-error in a request", func(c *Case) {
		c.fails("/a", "Cache-Control: max-age=10", tooOldBy10, `ETag: "v1"`)
		c.Want("stale", c.Get("/a", "Cache-Control: stale-if-error=100"), 200, digits)
		c.askedAgain("/a")
	}},
}
