package conform

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// revalidating are the rows of RFC 9111 section 4.3, 4.4.
var revalidating = slices.Concat(asking, conditional, confirmed, freshened, invalidated)

// kindTag answers with a tag for each value of X-Kind, stale at once, and confirms that when asked about it.
func kindTag(r *http.Request) Answer {
	kind := r.Header.Get("X-Kind")
	if strings.Contains(r.Header.Get("If-None-Match"), `"`+kind+`"`) {
		return Answer{Status: 304, Fields: []string{forAll, `ETag: "` + kind + `"`, "Vary: X-Kind"}}
	}
	return Answer{Body: "for " + kind, Fields: []string{forAll, tooOld, "Vary: X-Kind", `ETag: "` + kind + `"`}}
}

var asking = []Check{
	{"9111", "4.3.1", "MUST", "ask by the tag of what is stored", func(c *Case) {
		for path, tag := range map[string]string{"/strong": `"v1"`, "/weak": `W/"v1"`, "/odd": `"a,b \c"`} {
			c.keep(path, forAll, tooOld, "ETag: "+tag)
			c.confirmed(path, forAll, "ETag: "+tag)
			if got := c.last(path).Header.Get("If-None-Match"); got != tag {
				c.Errorf("%s: If-None-Match is %q, want %s", path, got, tag)
			}
		}
	}},
	{"9111", "4.3.1", "SHOULD",
		"ask by the Last-Modified of what is stored, also beside its tag", func(c *Case) {
			for path, more := range map[string][]string{"/alone": nil, "/beside": {tag}} {
				fields := append(more, "Last-Modified: "+modified, forAll)
				c.keep(path, append(fields, tooOld)...)
				c.confirmed(path, fields...)
				if got := c.last(path).Header.Get("If-Modified-Since"); got != modified {
					c.Errorf("%s: If-Modified-Since is %q, want %s", path, got, modified)
				}
			}
		}},
	{"9111", "4.3.1", "is",
		"start from the request that it has, with the fields that Vary names", func(c *Case) {
			c.Do("/a", kindTag)
			for _, kind := range []string{"1", "2"} {
				c.Want("first", c.Get("/a", "X-Kind: "+kind), 200, "for "+kind)
			}
			for _, kind := range []string{"1", "2"} {
				c.Want("second", c.again("/a", "X-Kind: "+kind, "X-Other: 1"), 200, "for "+kind)
				if h := c.last("/a").Header; h.Get("X-Kind") != kind || h.Get("X-Other") != "1" {
					c.Errorf("the origin got %v", h)
				}
			}
		}},
}

var conditional = []Check{
	{"9111", "4.3.2", "SHOULD", "judge the conditions of a request by what is stored", func(c *Case) {
		c.keep("/a", page...)
		c.asks("/a", 304, "", `If-None-Match: "v0", W/"v1"`)
		c.asks("/a", 304, "", "If-Modified-Since: "+modified)
		c.asks("/a", 200, digits, `If-None-Match: "v0"`, "If-Modified-Since: "+modified)
	}},
	{"9111", "4.3.2", "SHOULD", "judge If-Modified-Since by Date where Last-Modified is missing", func(c *Case) {
		c.keep("/a", forAll, "Date: "+in(-50))
		c.asks("/a", 304, "", "If-Modified-Since: "+in(-40))
		c.asks("/a", 200, digits, "If-Modified-Since: "+in(-90))
	}},
	{"9111", "4.3.2", "MUST NOT", "judge the conditions of what it cannot answer", func(c *Case) {
		c.keep("/a", page...)
		c.Do("/a", answer(412, "there"))
		c.Want("PUT", c.Send("PUT", "/a", "x", "If-None-Match: *"), 412, "there")
		c.Want("POST", c.Send("POST", "/a", "x", `If-None-Match: "v1"`), 412, "there")
		for i, want := range map[int]string{1: "*", 2: `"v1"`} {
			if got := c.Asked("/a"); len(got) <= i || got[i].Header.Get("If-None-Match") != want {
				c.Errorf("the origin did not get If-None-Match: %s", want)
			}
		}
	}},
	{"9111", "4.3.2", "MUST NOT", "judge conditions where nothing is stored", func(c *Case) {
		c.On("/a", digits, forAll, tag)
		c.Want("other tag", c.Get("/a", `If-None-Match: "v0"`), 200, digits)
		c.On("/b", digits, forAll, tag)
		if r := c.Get("/b", "If-None-Match: *"); r.Status != 200 && r.Status != 304 {
			c.Errorf("%d %q", r.Status, r.Body)
		}
		c.WantAsked("/b", 1)
	}},
	{"9111", "4.3.2", "MUST",
		"answer 200 where a 304 is about a tag that the client does not have", func(c *Case) {
			c.keep("/a", forAll, tooOld, tag)
			c.Do("/a", confirms(forAll, tag))
			if r := c.again("/a", `If-None-Match: "v0"`); r.Status != 200 || r.Body != digits && r.Body != "new" {
				c.Errorf("%d %q", r.Status, r.Body)
			}
		}},
}

var confirmed = []Check{
	{"9111", "4.3.3", "MUST", "answer with what comes in place of a 304, and forget the old", func(c *Case) {
		c.keep("/a", forAll, tooOld, tag)
		c.On("/a", "new", forAll, `ETag: "v2"`)
		c.Want("new", c.again("/a", `If-None-Match: "v1"`), 200, "new")
		c.Want("again", c.Get("/a"), 200, "new")
		c.keep("/b", forAll, tooOld, tag)
		c.On("/b", "private", "Cache-Control: private", tag)
		c.Want("not stored", c.again("/b"), 200, "private")
		c.wantNew("/b")
		c.keep("/c", forAll, tooOld, tag)
		c.Do("/c", answer(410, "gone"))
		c.Want("gone", c.again("/c"), 410, "gone")
	}},
	{"9111", "4.3.3", "is", "forward an error 5xx or answer with what is stored, and keep that", func(c *Case) {
		c.keep("/a", forAll, tooOld, tag)
		c.Do("/a", answer(503, "fault"))
		r := c.again("/a")
		if (r.Status != 503 || r.Body != "fault") && (r.Status != 200 || r.Body != digits) {
			c.Errorf("%d %q", r.Status, r.Body)
		}
		c.Want("afterwards", c.confirmed("/a", forAll, tag), 200, digits)
	}},
	{"9111", "4.3.3", "MAY", "keep what is stored beside an error 5xx, and ask about it again", func(c *Case) {
		c.keep("/a", forAll, tooOld, tag)
		c.Do("/a", answer(503, "fault"))
		c.Want("error", c.again("/a"), 503, "fault")
		c.Do("/a", confirms(forAll, tag))
		c.Want("confirmed", c.Get("/a"), 200, digits)
	}},
	{"9111", "4.3.4", "is", "use again, and as fresh, what a 304 confirms", func(c *Case) {
		for path, validator := range map[string]string{"/strong": tag, "/weak": `ETag: W/"v1"`,
			"/date": "Last-Modified: " + modified} {
			c.keep(path, forAll, tooOld, validator)
			c.Do(path, confirms(forAll, validator))
			for _, what := range []string{"confirmed", "again"} {
				c.Want(path+" "+what, c.Get(path), 200, digits)
			}
			c.WantAsked(path, 2)
		}
	}},
	{"9111", "4.3.4", "MUST", "obey the directives that a 304 brings", func(c *Case) {
		for i, directive := range []string{"max-age=0", "no-cache", "no-store"} {
			path := fmt.Sprint("/", i)
			c.keep(path, forAll, tooOld, tag)
			c.confirmed(path, "Cache-Control: "+directive, tag)
			c.wantNew(path)
		}
	}},
	{"9111", "4.3.4", "MUST NOT", "update what is stored by a 304 with another strong tag", func(c *Case) {
		c.keep("/a", forAll, tooOld, tag)
		c.Do("/a", confirms(forAll, `ETag: "v2"`, "X-New: 1"))
		r := c.again("/a")
		if r.Body == digits && (r.Header.Get("ETag") == `"v2"` || r.Header.Get("X-New") != "") {
			c.Errorf("the old body has new fields: %v", r.Header)
		}
		c.On("/a", "newer", forAll)
		if r := c.Get("/a"); r.Body == digits {
			c.Errorf("then the old body is taken for fresh: %v", r.Header)
		}
	}},
	{"9111", "4.3.4", "MUST NOT", "put the strong tag of a 304 on what has a weak one or none", func(c *Case) {
		for path, validator := range map[string]string{"/weak": `ETag: W/"v1"`,
			"/none": "Last-Modified: " + modified} {
			c.keep(path, forAll, tooOld, validator)
			c.Do(path, confirms(forAll, tag))
			if r := c.again(path); r.Body == digits && r.Header.Get("ETag") == `"v1"` {
				c.Errorf("%s: the old body has a strong tag", path)
			}
		}
	}},
}

var freshened = []Check{
	{"9111", "4.3.5", "SHOULD", "not take for fresh what a HEAD has shown to be another answer", func(c *Case) {
		for path, fields := range map[string][]string{"/tag": {`ETag: "v2"`}, "/length": {tag},
			"/date": {tag, "Last-Modified: " + dayAfter}} {
			c.keep(path, forAll, tag, "Last-Modified: "+modified)
			c.On(path, "another", append(fields, forAll)...)
			c.Want("HEAD", c.Send("HEAD", path, "", "Cache-Control: no-cache"), 200, "")
			if len(c.Asked(path)) == 1 {
				return // it was answered from what is stored
			}
			c.Want("GET "+path, c.Get(path), 200, "another")
		}
	}},
}

// wantGone sends a request for a path, and reports whether what is kept for another path goes by it.
func (c *Case) wantGone(gone bool, kept, method, path string, a Answer) {
	c.keep(kept, forAll)
	c.asks(kept, 200, digits)
	c.Do(path, func(*http.Request) Answer { return a })
	status := a.Status
	if status == 0 {
		status = 200
	}
	c.Want(method, c.Send(method, path, "x"), status, a.Body)
	if gone {
		c.wantNew(kept)
	} else {
		c.wantOld(kept)
	}
}

var invalidated = []Check{
	{"9111", "4.4", "MUST",
		"forget what is stored for a URI when an unsafe method goes well there", func(c *Case) {
			for _, method := range []string{"POST", "PUT", "DELETE", "PATCH"} {
				c.wantGone(true, "/"+method, method, "/"+method, Answer{Body: "done"})
				c.wantGone(true, "/2"+method, method, "/2"+method, Answer{Body: "done", Fields: []string{forAll, tag}})
			}
			c.wantGone(true, "/created", "PUT", "/created", Answer{Status: 201, Body: "done"})
			c.wantGone(true, "/empty", "DELETE", "/empty", Answer{Status: 204})
		}},
	{"9111", "4.4", "MUST", "forget what is stored when an unsafe method is redirected", func(c *Case) {
		for path, status := range map[string]int{"/a": 301, "/b": 302, "/c": 303, "/d": 307} {
			c.wantGone(true, path, "POST", path,
				Answer{Status: status, Body: "there", Fields: []string{"Location: /elsewhere"}})
		}
	}},
	{"9111", "4.4", "MUST", "forget what is stored after a method that it does not know", func(c *Case) {
		c.wantGone(true, "/a", "FROB", "/a", Answer{Body: "done"})
		c.wantGone(true, "/b", "M-SEARCH", "/b", Answer{Body: "done"})
	}},
	{"9111", "4.4", "MUST", "forget all variants of a URI together", func(c *Case) {
		c.Do("/a", kindly)
		for _, kind := range []string{"1", "2", "3"} {
			c.Want("first", c.Get("/a", "X-Kind: "+kind), 200, "for "+kind)
		}
		c.On("/a", "done")
		c.Want("POST", c.Send("POST", "/a", "x", "X-Kind: 2"), 200, "done")
		for _, kind := range []string{"1", "2", "3"} {
			c.wantNew("/a", "X-Kind: "+kind)
		}
	}},
	{"9111", "4.4", "is", "keep what is stored after what fails, is safe, or is for another URI", func(c *Case) {
		for path, status := range map[string]int{"/a": 400, "/b": 403, "/c": 404, "/d": 500, "/e": 503} {
			c.wantGone(false, path, "POST", path, Answer{Status: status, Body: "no"})
		}
		c.wantGone(false, "/safe", "OPTIONS", "/safe", Answer{Body: "done"})
		c.wantGone(false, "/f", "POST", "/g", Answer{Body: "done"})
		c.On("/q", digits, forAll)
		c.Want("first", c.Get("/q?x=1"), 200, digits)
		c.On("/q", "done")
		c.Want("POST", c.Send("POST", "/q?x=2", "x"), 200, "done")
		c.Want("other query", c.Get("/q?x=1"), 200, digits)
	}},
	{"9111", "4.4", "MAY", "forget what Location and Content-Location of the same origin name", func(c *Case) {
		for path, name := range map[string]string{"/a": "Location: ", "/b": "Content-Location: "} {
			for i, uri := range []string{"http://h.example" + c.prefix, c.prefix} {
				kept := fmt.Sprint(path, i)
				c.wantGone(true, kept, "POST", path+"/post",
					Answer{Status: 201, Body: "done", Fields: []string{name + uri + kept}})
			}
		}
	}},
	{"9111", "4.4", "MUST NOT",
		"forget what Location and Content-Location of another origin name", func(c *Case) {
			for i, name := range []string{"Location: ", "Content-Location: "} {
				for j, uri := range []string{"http://other.example", "http://h.example:81", "http://h.example.org",
					"http://www.h.example", "https://h.example"} {
					kept := fmt.Sprintf("/%d-%d", i, j)
					_, host, _ := strings.Cut(uri, "://")
					c.On(kept, digits, forAll)
					c.Want("first", c.Get(kept, "Host: "+host), 200, digits)
					c.On("/post", "done", name+uri+c.prefix+kept)
					c.Want("POST", c.Send("POST", "/post", "x"), 200, "done")
					c.wantOld(kept, "Host: "+host)
				}
			}
		}},
}
