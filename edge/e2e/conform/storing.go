package conform

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// storing are the rows of RFC 9111 section 3, and of what it takes from sections 1 and 2.
var storing = slices.Concat(admission, storedFields, incomplete)

var admission = []Check{
	{"9111", "1.2.2", "MUST", "take more seconds than can be counted for very many", func(c *Case) {
		c.wantStored("/a", nil, "Cache-Control: max-age=99999999999999999999")
		c.wantStored("/b", nil, "Cache-Control: max-age=9223372036854775808")
		c.wantStored("/c", nil, "Cache-Control: max-age=4294967296")
	}},
	{"9111", "3", "is", "an answer with explicit freshness is used again", func(c *Case) {
		c.wantStored("/a", nil, "Cache-Control: max-age=100")
		c.wantStored("/b", nil, "Cache-Control: s-maxage=100")
		c.wantStored("/c", nil, "Expires: "+in(100))
	}},
	{"9111", "3", "MUST NOT", "store against no-store", func(c *Case) {
		c.wantNotStored("/a", nil, "Cache-Control: no-store, max-age=100")
		c.wantNotStored("/b", nil, "Cache-Control: max-age=100", "Cache-Control: no-store")
	}},
	{"9111", "3", "MUST NOT", "store the answer to a method that it does not understand", func(c *Case) {
		for _, method := range []string{"FETCH", "OPTIONS", "PATCH"} {
			c.repeat(method, "/"+method, Answer{Status: 200, Body: digits, Fields: []string{forAll}}, 2)
		}
	}},
	{"9111", "3", "MAY", "store what has another status and explicit freshness", func(c *Case) {
		for _, status := range []int{203, 300, 301, 302, 307, 308, 404, 410} {
			c.repeat("GET", fmt.Sprint("/", status), Answer{Status: status, Body: digits, Fields: []string{forAll,
				"Location: /elsewhere"}}, 1)
		}
	}},
	{"9111", "3", "MAY", "store what has an error or an unknown status and explicit freshness", func(c *Case) {
		for _, status := range []int{299, 303, 400, 403, 499, 500, 502, 503, 504, 599} {
			for path, field := range map[string]string{"/age": forAll, "/date": "Expires: " + in(100)} {
				c.repeat("GET", fmt.Sprint(path, status), Answer{Status: status, Body: digits,
					Fields: []string{field, "Location: /elsewhere"}}, 1)
			}
		}
	}},
	{"9111", "3", "MUST NOT",
		"store what has no freshness and a status for which none may be guessed", func(c *Case) {
			for _, status := range []int{299, 302, 303, 307, 400, 403, 499, 500, 502, 503, 504, 599} {
				c.repeat("GET", fmt.Sprint("/", status), Answer{Status: status, Body: digits,
					Fields: []string{"Last-Modified: " + modified, "Location: /elsewhere"}}, 2)
			}
		}},
	{"9111", "3.5", "MUST NOT", "use for others the answer to a request with Authorization", func(c *Case) {
		for path, second := range map[string][]string{"/none": nil, "/other": {"Authorization: Basic Yjpi"}} {
			c.On(path, digits, forAll)
			c.Want(path, c.Get(path, "Authorization: Basic YTph"), 200, digits)
			c.wantNew(path, second...)
		}
		for path, field := range map[string]string{"/a": forAll + ", proxy-revalidate",
			"/b": forAll + ", immutable", "/c": "Expires: " + in(100)} {
			c.wantNotStored(path, []string{"Authorization: Basic YTph"}, field)
		}
	}},
	{"9111", "3.5", "MAY",
		"use for others what had Authorization and says that they may have it", func(c *Case) {
			for path, directive := range map[string]string{"/a": "public", "/b": "must-revalidate",
				"/c": "s-maxage=100"} {
				c.On(path, digits, forAll+", "+directive)
				c.Want(path, c.Get(path, "Authorization: Basic YTph"), 200, digits)
				c.wantOld(path)
				c.wantOld(path, "Authorization: Basic Yjpi")
			}
		}},
}

var storedFields = []Check{
	{"9111", "3.1", "MUST", "keep all fields, also those that it does not know", func(c *Case) {
		first := c.keep("/a", forAll, "X-Unknown: a  b", "x-lines: 1", "X-Other: o", "X-LINES: 2",
			"Warning: 199 - x", "Set-Cookie2: a=b", "Link: </a>; rel=b", "Link: </c>; rel=d")
		for what, r := range map[string]Reply{"first": first, "stored": c.asks("/a", 200, digits)} {
			for name, want := range map[string][]string{"X-Unknown": {"a  b"}, "X-Other": {"o"}, "X-Lines": {"1", "2"},
				"Warning": {"199 - x"}, "Set-Cookie2": {"a=b"}, "Link": {"</a>; rel=b", "</c>; rel=d"}} {
				if got := r.Header.Values(name); !slices.Equal(got, want) {
					c.Errorf("%s: %s is %q, want %q", what, name, got, want)
				}
			}
		}
	}},
	{"9111", "3.1", "MUST NOT", "store the fields that are about a proxy before it", func(c *Case) {
		c.keep("/a", forAll, "Proxy-Authenticate: Basic realm=x", "Proxy-Authentication-Info: x=y")
		r := c.asks("/a", 200, digits)
		for _, name := range []string{"Proxy-Authenticate", "Proxy-Authentication-Info"} {
			if got := r.Header.Values(name); got != nil {
				c.Errorf("%s: %q", name, got)
			}
		}
	}},
	{"9111", "3.2", "MUST", "replace and add the fields that a 304 has, and keep the others", func(c *Case) {
		c.keep("/a", forAll, tooOld, tag, "X-Old: 1", "X-Both: 1", "X-Both: 2")
		r := c.confirmed("/a", "Cache-Control: max-age=200", tag, "X-Both: 3", "X-New: 4", "X-New: 5")
		for what, r := range map[string]Reply{"confirmed": r, "stored": c.Get("/a")} {
			c.Want(what, r, 200, digits)
			for name, want := range map[string][]string{"X-Old": {"1"}, "X-Both": {"3"}, "X-New": {"4", "5"},
				"Cache-Control": {"max-age=200"}} {
				if got := r.Header.Values(name); !slices.Equal(got, want) {
					c.Errorf("%s: %s is %q, want %q", what, name, got, want)
				}
			}
		}
	}},
	{"9111", "3.2", "MUST NOT", "take the length of a 304 for that of what is stored", func(c *Case) {
		c.keep("/a", forAll, tooOld, tag)
		r := c.confirmed("/a", forAll, tag, "Content-Length: 3")
		for what, r := range map[string]Reply{"confirmed": r, "stored": c.Get("/a")} {
			if n := r.Header.Get("Content-Length"); n != "" && n != "10" {
				c.Errorf("%s: Content-Length is %q", what, n)
			}
			c.Want(what, r, 200, digits)
		}
	}},
	{"9111", "3.2", "MUST NOT", "take fields from a 304 that were of its connection", func(c *Case) {
		c.keep("/a", forAll, tooOld, tag, "X-End: 1")
		r := c.confirmed("/a", forAll, tag, "Connection: X-Hop", "X-Hop: 2")
		for what, r := range map[string]Reply{"confirmed": r, "stored": c.Get("/a")} {
			if r.Header.Get("X-Hop") != "" || r.Header.Get("X-End") != "1" {
				c.Errorf("%s: %v", what, r.Header)
			}
		}
	}},
	{"9111", "3.2", "MUST", "take from a 304 also fields whose names begin with Content-", func(c *Case) {
		c.keep("/a", forAll, tooOld, tag, "Content-Security-Policy: default-src 'none'",
			"Content-Disposition: inline", "Content-Location: /old")
		r := c.confirmed("/a", forAll, tag, "Content-Security-Policy: default-src 'self'",
			"Content-Disposition: attachment", "Content-Location: /new")
		for name, want := range map[string]string{"Content-Security-Policy": "default-src 'self'",
			"Content-Disposition": "attachment", "Content-Location": "/new"} {
			if got := r.Header.Get(name); got != want {
				c.Errorf("%s is %q, want %q", name, got, want)
			}
		}
	}},
}

var incomplete = []Check{
	{"9111", "3.3", "MUST NOT", "take an answer that broke off for whole", func(c *Case) {
		for _, chunked := range []bool{false, true} {
			path := map[bool]string{false: "/length", true: "/chunked"}[chunked]
			c.Do(path, cut(chunked))
			for range 2 {
				if r := c.Get(path); r.Err == nil && r.Status == 200 {
					c.Errorf("%s: %d bytes of 10000 as a whole answer", path, len(r.Body))
				}
			}
			if n := len(c.Asked(path)); n < 2 {
				c.Errorf("%s: half an answer was used again", path)
			}
		}
	}},
	{"9111", "3.3", "MUST NOT", "take a part for the whole", func(c *Case) {
		c.Do("/asked", ranged(`"v1"`))
		c.wantPart("/asked", 0, 3, digits)
		c.Want("whole", c.Get("/asked"), 200, digits)
		c.wantPart("/asked", 4, 6, digits)
		c.Do("/unasked", answer(206, "0123", forAll, tag, "Content-Range: bytes 0-3/10"))
		_ = c.Get("/unasked") // the proxy may call this an error
		c.On("/unasked", digits, forAll)
		c.Want("whole", c.Get("/unasked"), 200, digits)
	}},
	{"9111", "3.4", "MUST NOT", "join parts of answers that have other tags", func(c *Case) {
		const letters = "abcdefghij"
		c.Do("/a", ranged(`"v1"`))
		c.wantPart("/a", 0, 4, digits)
		c.Do("/a", func(r *http.Request) Answer {
			a := ranged(`"v2"`)(r)
			a.Body = letters[strings.Index(digits, a.Body):][:len(a.Body)]
			return a
		})
		c.wantPart("/a", 5, 9, digits, letters)
		if r := c.Get("/a"); r.Status != 200 || r.Body != digits && r.Body != letters {
			c.Errorf("whole: %d %q", r.Status, r.Body)
		}
	}},
}

// ranged answers with digits, or the part of them that is asked for, under a tag.
func ranged(tag string) func(*http.Request) Answer {
	return func(r *http.Request) Answer {
		var from, to int
		fields := []string{forAll, "ETag: " + tag}
		if _, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &from, &to); err != nil {
			return Answer{Status: 200, Body: digits, Fields: fields}
		}
		return Answer{Status: 206, Body: digits[from : to+1],
			Fields: append(fields, fmt.Sprintf("Content-Range: bytes %d-%d/10", from, to))}
	}
}

// wantPart asks for a part of one of these texts, which may be answered by all of it.
func (c *Case) wantPart(path string, from, to int, texts ...string) {
	r := c.Get(path, fmt.Sprintf("Range: bytes=%d-%d", from, to))
	for _, text := range texts {
		if r.Status == 200 && r.Body == text || r.Status == 206 && r.Body == text[from:to+1] {
			return
		}
	}
	c.Errorf("bytes %d to %d: %d %q", from, to, r.Status, r.Body)
}
