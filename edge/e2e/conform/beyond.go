package conform

import (
	"net/http"
	"slices"
)

// beyond are rows of RFC 9111 on what else a proxy does with answers that come before, behind or beside
// others.
var beyond = slices.Concat(uncommon, headed)

var uncommon = []Check{
	{"9111", "3", "MUST NOT", "store an answer that is not final", func(c *Case) {
		c.Do("/a", func(*http.Request) Answer {
			return Answer{Early: []string{forAll, "X-Early: 1"}, Body: digits, Fields: []string{forNobody}}
		})
		for range 2 {
			if r := c.Get("/a"); r.Status == 200 && r.Header.Get("X-Early") != "" {
				c.Errorf("the final answer has fields of the one before it: %v", r.Header)
			}
		}
		c.WantAsked("/a", 2)
	}},
	{"9111", "3.1", "MUST NOT", "put fields that come behind the body among those before it", func(c *Case) {
		c.Do("/a", func(*http.Request) Answer {
			return Answer{Body: digits, Fields: []string{forAll, "Trailer: X-Behind"}, Chunked: true,
				Trailers: []string{"X-Behind: 1", "ETag: \"behind\""}}
		})
		for _, what := range []string{"first", "stored"} {
			r := c.Get("/a") // whether the body comes through is not asked here
			if r.Header.Get("X-Behind") != "" || r.Header.Get("ETag") == `"behind"` {
				c.Errorf("%s: %v", what, r.Header)
			}
		}
	}},
	{"9111", "4.2.2", "MAY", "guess how long is fresh what does not say so", func(c *Case) {
		c.wantStored("/a", nil, "Last-Modified: "+in(-10_000_000))
	}},
	{"9111", "4.3.2", "MUST NOT", "judge If-Match and If-Unmodified-Since, made for origins", func(c *Case) {
		fields := map[string]string{"/tag": `If-Match: "v0"`, "/date": "If-Unmodified-Since: " + dayBefore}
		for path, field := range fields {
			c.keep(path, page...)
			if r := c.Get(path, field); r.Status == 412 && len(c.Asked(path)) == 1 {
				c.Errorf("%s: 412 without the origin", field)
			}
		}
	}},
}

// headed are the rows on a HEAD which shows that a stored answer to GET is still the right one.
var headed = []Check{
	{"9111", "4.3.5", "SHOULD", "take for fresh what a HEAD has shown to be the same", func(c *Case) {
		kinds := map[string][]string{"/tag": {tag}, "/date": {"Last-Modified: " + modified}, "/length": nil}
		for path, validators := range kinds {
			c.keep(path, slices.Concat(validators, []string{forAll, tooOld})...)
			c.On(path, digits, slices.Concat(validators, []string{forAll})...)
			c.Want(path+" HEAD", c.Send("HEAD", path, ""), 200, "")
			c.wantOld(path)
			c.WantAsked(path, 2)
		}
	}},
	{"9111", "4.3.5", "MUST", "update by the fields of a HEAD what it takes for fresh after it", func(c *Case) {
		c.keep("/a", forAll, tooOld, tag, "X-Old: 1", "X-Both: 1")
		c.On("/a", digits, "Cache-Control: max-age=200", tag, "X-Both: 2", "X-New: 3")
		c.Want("HEAD", c.Send("HEAD", "/a", ""), 200, "")
		if len(c.Asked("/a")) == 1 {
			return // the origin has said nothing that could be used
		}
		c.On("/a", "new", forAll)
		r := c.Get("/a")
		if r.Body == digits && (r.Header.Get("X-Both") != "2" || r.Header.Get("X-New") != "3" ||
			r.Header.Get("Cache-Control") != "max-age=200") {
			c.Errorf("%v", r.Header)
		}
	}},
}
