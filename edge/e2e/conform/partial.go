package conform

import (
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Dates of the rows on conditions: of the answer, a day before and a day after.
const (
	dayBefore = "Thu, 29 Feb 2024 10:00:00 GMT"
	modified  = "Fri, 01 Mar 2024 10:00:00 GMT"
	dayAfter  = "Sat, 02 Mar 2024 10:00:00 GMT"
)

// digits is the body of the rows on parts.
const digits = "0123456789"

// page are the fields of an answer with all that conditions and parts are about.
var page = []string{
	"Cache-Control: max-age=100", `ETag: "v1"`, "Last-Modified: " + modified, "Vary: X-Kind",
	"Content-Type: text/plain", "Content-Location: /page", "Expires: Fri, 01 Jan 2100 10:00:00 GMT",
	"Content-Language: en", "Accept-Ranges: bytes",
}

// keep has the proxy store an answer with digits as its body, and returns the answer.
func (c *Case) keep(path string, fields ...string) Reply {
	c.On(path, digits, fields...)
	r := c.Get(path)
	c.Want("first", r, 200, digits)
	return r
}

// asks sends a GET for what is stored, and says what it must bring without the origin.
func (c *Case) asks(path string, status int, body string, fields ...string) Reply {
	r := c.Get(path, fields...)
	c.Want(fmt.Sprint(fields), r, status, body)
	c.WantAsked(path, 1)
	return r
}

// wantFields checks that a reply has these fields as page has them.
func (c *Case) wantFields(what string, r Reply, names ...string) {
	for _, name := range names {
		for _, line := range page {
			if n, value, _ := strings.Cut(line, ": "); n == name && r.Header.Get(name) != value {
				c.Errorf("%s: %s is %q, want %q", what, name, r.Header.Get(name), value)
			}
		}
	}
	if r.Header.Get("Date") == "" {
		c.Errorf("%s: no Date", what)
	}
}

// partial are the rows of RFC 9110 on parts, conditions and fields, as far as a cache answers itself.
var partial = slices.Concat(conditions, parts, heads, hops)

var conditions = []Check{
	{"9110", "13.1.2", "MUST", "compare the tags of If-None-Match weakly", func(c *Case) {
		c.keep("/strong", page...)
		c.asks("/strong", 304, "", `If-None-Match: W/"v1"`)
		c.keep("/weak", "Cache-Control: max-age=100", `ETag: W/"v1"`)
		c.asks("/weak", 304, "", `If-None-Match: "v1"`)
	}},
	{"9110", "13.1.2", "is", "find a tag in a list, and none that is not in it", func(c *Case) {
		c.keep("/a", page...)
		c.asks("/a", 304, "", `If-None-Match: "a", W/"b" , "v1"`)
		c.asks("/a", 304, "", `If-None-Match: "v1","b"`)
		c.asks("/a", 200, digits, `If-None-Match: "v2", "v3"`)
		c.asks("/a", 200, digits, `If-None-Match: "V1"`)
	}},
	{"9110", "5.3", "is", "find a tag in one of several lines of If-None-Match", func(c *Case) {
		c.keep("/a", page...)
		c.asks("/a", 304, "", `If-None-Match: "a"`, `If-None-Match: "v1", "b"`)
	}},
	{"9110", "13.1.2", "is", "take a star in If-None-Match for what is stored", func(c *Case) {
		c.keep("/a", page...)
		c.asks("/a", 304, "", `If-None-Match: *`)
	}},
	{"9110", "8.8.3", "is", "take a comma in a tag as a part of the tag", func(c *Case) {
		c.keep("/a", page...)
		c.asks("/a", 200, digits, `If-None-Match: "x,v1,y"`)
		c.keep("/comma", "Cache-Control: max-age=100", `ETag: "a,b"`)
		c.asks("/comma", 304, "", `If-None-Match: "z", "a,b"`)
	}},
	{"9110", "13.1.3", "SHOULD",
		"answer 304 when nothing was modified since the date, else the whole", func(c *Case) {
			c.keep("/a", page...)
			c.asks("/a", 304, "", "If-Modified-Since: "+modified)
			c.asks("/a", 304, "", "If-Modified-Since: "+dayAfter)
			c.asks("/a", 200, digits, "If-Modified-Since: "+dayBefore)
		}},
	{"9110", "13.1.3", "MUST", "ignore If-Modified-Since beside If-None-Match", func(c *Case) {
		c.keep("/a", page...)
		c.asks("/a", 200, digits, `If-None-Match: "v2"`, "If-Modified-Since: "+dayAfter)
		c.asks("/a", 304, "", `If-None-Match: "v1"`, "If-Modified-Since: "+dayBefore)
	}},
	{"9110", "13.1.3", "MUST", "ignore an If-Modified-Since that is no date", func(c *Case) {
		c.keep("/a", page...)
		for _, date := range []string{"tomorrow", "2024-03-02", "4102480800", "Fri, 31 Feb 2040 10:00:00 GMT"} {
			c.asks("/a", 200, digits, "If-Modified-Since: "+date)
		}
	}},
	{"9110", "5.6.7", "MUST", "read the obsolete forms of dates", func(c *Case) {
		c.keep("/a", page...)
		c.asks("/a", 304, "", "If-Modified-Since: Friday, 01-Mar-24 10:00:00 GMT")
		c.asks("/a", 304, "", "If-Modified-Since: Fri Mar  1 10:00:00 2024")
	}},
	{"9110", "13.1.1", "MAY",
		"ignore If-Match and If-Unmodified-Since of a GET for what is stored", func(c *Case) {
			c.keep("/a", page...)
			c.asks("/a", 200, digits, `If-Match: "v1"`)
			c.asks("/a", 200, digits, "If-Unmodified-Since: "+modified)
		}},
	{"9110", "13.1.1", "is", "leave If-Match and If-Unmodified-Since of a PUT to the origin", func(c *Case) {
		c.keep("/a", page...)
		c.Do("/a", answer(412, "other"))
		r := c.Send("PUT", "/a", "new", `If-Match: "v0"`, "If-Unmodified-Since: "+dayBefore)
		c.Want("PUT", r, 412, "other")
		asked := c.Asked("/a")
		last := asked[len(asked)-1].Header
		if last.Get("If-Match") != `"v0"` || last.Get("If-Unmodified-Since") != dayBefore {
			c.Errorf("the origin got %v", last)
		}
	}},
	{"9110", "13.2.1", "MUST", "ignore conditions when the answer without them is not a 2xx", func(c *Case) {
		c.Do("/a", answer(404, "none", page...))
		c.Want("first", c.Get("/a"), 404, "none")
		c.asks("/a", 404, "none", `If-None-Match: "v1"`)
		c.asks("/a", 404, "none", "If-Modified-Since: "+modified)
	}},
	{"9110", "13.2.2", "MUST", "look at If-None-Match before Range", func(c *Case) {
		c.keep("/a", page...)
		c.asks("/a", 304, "", `If-None-Match: "v1"`, "Range: bytes=0-3")
		c.asks("/a", 206, "0123", `If-None-Match: "v2"`, "Range: bytes=0-3")
	}},
	{"9110", "13.1.5", "MUST",
		"ignore Range when the tag of If-Range is another, and If-Range alone", func(c *Case) {
			c.keep("/a", page...)
			c.asks("/a", 206, "0123", `If-Range: "v1"`, "Range: bytes=0-3")
			c.asks("/a", 200, digits, `If-Range: "v2"`, "Range: bytes=0-3")
			c.asks("/a", 200, digits, `If-Range: "v1"`)
		}},
	{"9110", "13.1.5", "MUST", "compare the tag of If-Range strongly", func(c *Case) {
		c.keep("/strong", page...)
		c.asks("/strong", 200, digits, `If-Range: W/"v1"`, "Range: bytes=0-3")
		c.keep("/weak", "Cache-Control: max-age=100", `ETag: W/"v1"`)
		c.asks("/weak", 200, digits, `If-Range: W/"v1"`, "Range: bytes=0-3")
	}},
	{"9110", "13.1.5", "MUST",
		"ignore Range when the date of If-Range is not exactly that of the answer", func(c *Case) {
			c.keep("/a", page...)
			c.asks("/a", 206, "0123", "If-Range: "+modified, "Range: bytes=0-3")
			c.asks("/a", 200, digits, "If-Range: "+dayBefore, "Range: bytes=0-3")
			c.asks("/a", 200, digits, "If-Range: "+dayAfter, "Range: bytes=0-3")
		}},
	{"9110", "15.4.5", "MUST", "give a 304 the fields that say how to keep the answer", func(c *Case) {
		c.keep("/a", page...)
		r := c.asks("/a", 304, "", `If-None-Match: "v1"`)
		c.wantFields("304", r, "Cache-Control", "ETag", "Vary", "Content-Location", "Expires")
	}},
	{"9110", "15.4.5", "SHOULD NOT", "describe in a 304 the body that it lacks", func(c *Case) {
		c.keep("/a", page...)
		r := c.asks("/a", 304, "", `If-None-Match: "v1"`)
		for _, name := range []string{"Content-Type", "Content-Language"} {
			if v := r.Header.Get(name); v != "" {
				c.Errorf("the 304 has %s: %s", name, v)
			}
		}
	}},
	{"9110", "8.6", "MUST NOT",
		"send with a 304 a length that is not that of the whole, or a body", func(c *Case) {
			c.keep("/a", page...)
			r := c.asks("/a", 304, "", `If-None-Match: "v1"`)
			if n := r.Header.Get("Content-Length"); n != "" && n != "10" || r.Rest != "" {
				c.Errorf("Content-Length: %q, and %d bytes behind the head: %.60q", n, len(r.Rest), r.Rest)
			}
		}},
}

// answer is one answer to all requests.
func answer(status int, body string, fields ...string) func(*http.Request) Answer {
	return func(*http.Request) Answer { return Answer{Status: status, Body: body, Fields: fields} }
}

// wantParts reads a multipart/byteranges of digits and says what its parts must be, as "from-to" with the
// bytes.
func (c *Case) wantParts(r Reply, parts ...string) {
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/byteranges" {
		c.Errorf("Content-Type: %s", r.Header.Get("Content-Type"))
		return
	}
	m := multipart.NewReader(strings.NewReader(r.Body), params["boundary"])
	for _, want := range parts {
		p, err := m.NextRawPart()
		if err != nil {
			c.Errorf("%q: %v", want, err)
			return
		}
		body, err := io.ReadAll(p)
		span, text, _ := strings.Cut(want, " ")
		if at := p.Header.Get("Content-Range"); err != nil || string(body) != text || at != "bytes "+span+"/10" {
			c.Errorf("part %q of %q, %v; want %s", body, at, err, want)
		}
		if k := p.Header.Get("Content-Type"); k != "text/plain" {
			c.Errorf("a part's Content-Type: %q", k)
		}
	}
	if _, err := m.NextRawPart(); err != io.EOF {
		c.Errorf("behind the last part: %v", err)
	}
}

var parts = []Check{
	{"9110", "14.2", "MAY", "answer a range from what is stored", func(c *Case) {
		c.keep("/a", page...)
		c.asks("/a", 206, "0123", "Range: bytes=0-3")
		c.asks("/a", 206, "456", "Range: bytes=4-6")
		c.asks("/a", 206, "9", "Range: bytes=9-9")
	}},
	{"9110", "14.1.2", "is", "count a range from the end, up to the end, and no further", func(c *Case) {
		c.keep("/a", page...)
		c.asks("/a", 206, "789", "Range: bytes=-3")
		c.asks("/a", 206, "6789", "Range: bytes=6-")
		c.asks("/a", 206, "89", "Range: bytes=8-99999999999999999999")
		c.asks("/a", 206, digits, "Range: bytes=-99999999999999999999")
	}},
	{"9110", "14.1", "is", "know the unit bytes in any case, and no other", func(c *Case) {
		c.keep("/a", page...)
		c.asks("/a", 206, "0123", "Range: Bytes=0-3")
		c.asks("/a", 200, digits, "Range: lines=0-3")
	}},
	{"9110", "14.2", "MAY", "ignore or reject a range that is malformed", func(c *Case) {
		c.keep("/a", page...)
		for _, f := range []string{"bytes=4-2", "bytes=x-2", "bytes=", "bytes=--3", "bytes", "bytes=1-2-3"} {
			r := c.Get("/a", "Range: "+f)
			if r.Err != nil || r.Status != 400 && r.Status != 416 && (r.Status != 200 || r.Body != digits) {
				c.Errorf("%s: %d %q %v", f, r.Status, r.Body, r.Err)
			}
		}
		c.WantAsked("/a", 1)
	}},
	{"9110", "14.2", "MUST",
		"ignore the range of what is not a GET, and not a 200 without it", func(c *Case) {
			c.keep("/a", page...)
			r := c.Send("HEAD", "/a", "", "Range: bytes=0-3")
			if r.Status != 200 || r.Header.Get("Content-Range") != "" || r.Header.Get("Content-Length") != "10" {
				c.Errorf("%d %v", r.Status, r.Header)
			}
			c.Do("/none", answer(404, digits, page...))
			c.Want("first", c.Get("/none"), 404, digits)
			c.asks("/none", 404, digits, "Range: bytes=0-3")
		}},
	{"9110", "15.3.7.1", "MUST", "say in a 206 which part of what length it is", func(c *Case) {
		c.keep("/a", page...)
		for asked, want := range map[string]string{"0-3": "0-3", "4-": "4-9", "-2": "8-9", "5-50": "5-9"} {
			r := c.Get("/a", "Range: bytes="+asked)
			if got := r.Header.Get("Content-Range"); r.Status != 206 || got != "bytes "+want+"/10" {
				c.Errorf("%s: %d, Content-Range: %s", asked, r.Status, got)
			}
			if n := r.Header.Get("Content-Length"); n != "" && n != fmt.Sprint(len(r.Body)) {
				c.Errorf("%s: Content-Length: %s of %d", asked, n, len(r.Body))
			}
		}
	}},
	{"9110", "15.3.7", "MUST", "give a 206 the fields that say how to keep the answer", func(c *Case) {
		c.keep("/a", page...)
		r := c.asks("/a", 206, "0123", "Range: bytes=0-3")
		c.wantFields("206", r, "Cache-Control", "ETag", "Vary", "Content-Location", "Expires")
	}},
	{"9110", "15.3.7.2", "MUST",
		"send several parts as multipart/byteranges, if not the whole", func(c *Case) {
			c.keep("/a", page...)
			r := c.Get("/a", "Range: bytes=0-1, 4-5,-1")
			if r.Status == 206 {
				c.wantParts(r, "0-1 01", "4-5 45", "9-9 9")
				if at := r.Header.Get("Content-Range"); at != "" {
					c.Errorf("the head of several parts has Content-Range: %s", at)
				}
			} else {
				c.Want("several ranges", r, 200, digits)
			}
			c.WantAsked("/a", 1)
		}},
	{"9110", "15.3.7.2", "MUST NOT", "send one range as multipart", func(c *Case) {
		c.keep("/a", page...)
		r := c.asks("/a", 206, "45", "Range: bytes=4-5")
		if k := r.Header.Get("Content-Type"); k != "text/plain" {
			c.Errorf("Content-Type: %s", k)
		}
	}},
	{"9110", "14.2", "is",
		"leave out ranges that have nothing of the body beside some that have", func(c *Case) {
			c.keep("/a", page...)
			r := c.Get("/a", "Range: bytes=100-200, 4-5")
			if strings.HasPrefix(r.Header.Get("Content-Type"), "multipart/") {
				c.wantParts(r, "4-5 45")
			} else {
				c.Want("one of two", r, 206, "45")
			}
		}},
	{"9110", "17.15", "SHOULD", "not let many ranges make more of the body than it is", func(c *Case) {
		body := strings.Repeat("0123456789", 1000)
		c.On("/a", body, page...)
		c.Want("first", c.Get("/a"), 200, body)
		r := c.Get("/a", "Range: bytes=0-"+strings.Repeat(",0-", 100))
		if r.Err != nil || len(r.Body) > 2*len(body) {
			c.Errorf("%d: %d bytes of %d, %v", r.Status, len(r.Body), len(body), r.Err)
		}
		c.WantAsked("/a", 1)
	}},
	{"9110", "15.5.17", "SHOULD",
		"answer 416 with the length of the whole when nothing of it is in a range", func(c *Case) {
			c.keep("/a", page...)
			for _, f := range []string{"bytes=10-", "bytes=10-20", "bytes=-0", "bytes=50-60,70-"} {
				r := c.Get("/a", "Range: "+f)
				if at := r.Header.Get("Content-Range"); r.Status != 416 || at != "bytes */10" {
					c.Errorf("%s: %d %q, Content-Range: %s", f, r.Status, r.Body, at)
				}
			}
			c.WantAsked("/a", 1)
		}},
	{"9110", "14.2", "is", "take the right bytes of what is not stored yet", func(c *Case) {
		c.On("/a", digits, page...)
		if r := c.Get("/a", "Range: bytes=4-6"); r.Status == 206 {
			c.Want("part", r, 206, "456")
		} else {
			c.Want("whole", r, 200, digits)
		}
		c.Want("afterwards", c.Get("/a"), 200, digits)
	}},
}

var heads = []Check{
	{"9110", "9.3.1", "MAY", "answer HEAD from a stored answer to GET", func(c *Case) {
		c.keep("/a", page...)
		c.Want("HEAD", c.Send("HEAD", "/a", ""), 200, "")
		c.WantAsked("/a", 1)
	}},
	{"9110", "9.3.2", "MUST NOT", "send a body to HEAD", func(c *Case) {
		c.keep("/a", page...)
		r := c.Send("HEAD", "/a", "")
		c.Want("HEAD", r, 200, "")
		if r.Rest != "" {
			c.Errorf("%d bytes behind the head: %.60q", len(r.Rest), r.Rest)
		}
	}},
	{"9110", "9.3.2", "SHOULD", "send the fields to HEAD that a GET gets", func(c *Case) {
		c.keep("/a", page...)
		r := c.Send("HEAD", "/a", "")
		c.wantFields("HEAD", r, "Cache-Control", "ETag", "Vary", "Content-Location", "Expires", "Last-Modified",
			"Content-Type", "Content-Language")
		if n := r.Header.Get("Content-Length"); n != "" && n != "10" {
			c.Errorf("Content-Length: %s", n)
		}
		c.WantAsked("/a", 1)
	}},
	{"9110", "9.3.2", "is", "answer a GET with its body after a HEAD", func(c *Case) {
		c.On("/a", digits, page...)
		c.Want("HEAD", c.Send("HEAD", "/a", ""), 200, "")
		c.Want("GET", c.Get("/a"), 200, digits)
	}},
	{"9110", "13.2.2", "MUST", "answer a HEAD under a condition as a GET", func(c *Case) {
		c.keep("/a", page...)
		c.Want("the same", c.Send("HEAD", "/a", "", `If-None-Match: "v1"`), 304, "")
		c.Want("another", c.Send("HEAD", "/a", "", `If-None-Match: "v2"`), 200, "")
		c.WantAsked("/a", 1)
	}},
}

var hops = []Check{
	{"9110", "7.6.1", "MUST", "take fields that Connection names out of requests", func(c *Case) {
		c.On("/a", digits, page...)
		r := c.Get("/a", "Connection: X-Hop, x-other", "X-Hop: 1", "X-Other: 1", "X-End: 1")
		c.Want("first", r, 200, digits)
		h := c.Asked("/a")[0].Header
		if h.Get("X-Hop") != "" || h.Get("X-Other") != "" || h.Get("X-End") != "1" {
			c.Errorf("the origin got %v", h)
		}
	}},
	{"9110", "7.6.1", "MUST",
		"take fields that Connection names out of answers, stored or not", func(c *Case) {
			first := c.keep("/a", "Cache-Control: max-age=100", "Connection: X-Hop", "X-Hop: 1", "X-End: 1")
			for _, r := range []Reply{first, c.asks("/a", 200, digits)} {
				if r.Header.Get("X-Hop") != "" || r.Header.Get("X-End") != "1" {
					c.Errorf("%v", r.Header)
				}
			}
		}},
	{"9110", "7.6.1", "SHOULD", "take out fields that are known to be of the connection", func(c *Case) {
		c.On("/a", digits, "Cache-Control: max-age=100", "Keep-Alive: timeout=77", "Proxy-Connection: x")
		first := c.Get("/a", "Keep-Alive: timeout=77", "Proxy-Connection: x")
		for _, h := range []http.Header{c.Asked("/a")[0].Header, first.Header, c.asks("/a", 200, digits).Header} {
			if strings.Contains(h.Get("Keep-Alive"), "77") || h.Get("Proxy-Connection") != "" {
				c.Errorf("%v", h)
			}
		}
	}},
	{"9110", "6.6.1", "MUST", "add a Date to an answer that comes without", func(c *Case) {
		first := c.keep("/a", "Cache-Control: max-age=100")
		for _, r := range []Reply{first, c.asks("/a", 200, digits)} {
			if _, err := http.ParseTime(r.Header.Get("Date")); err != nil {
				c.Errorf("Date: %v", err)
			}
		}
	}},
	{"9110", "6.6.1", "is", "keep the Date that the origin gave", func(c *Case) {
		date := time.Now().Add(-20 * time.Second).UTC().Format(http.TimeFormat)
		first := c.keep("/a", "Cache-Control: max-age=100", "Date: "+date)
		for _, r := range []Reply{first, c.asks("/a", 200, digits)} {
			if got := r.Header.Values("Date"); len(got) != 1 || got[0] != date {
				c.Errorf("Date: %q, want %s", got, date)
			}
		}
	}},
	{"9110", "7.6.3", "MUST", "add a Via to requests", func(c *Case) {
		c.keep("/a", page...)
		if via := c.Asked("/a")[0].Header.Get("Via"); !strings.HasPrefix(via, "1.1 ") {
			c.Errorf("Via: %s", via)
		}
	}},
	{"9110", "7.6.3", "is", "say in Via that a request came through it", func(c *Case) {
		c.On("/a", digits, page...)
		c.Want("first", c.Get("/a"), 200, digits)
		if via := strings.Join(c.Asked("/a")[0].Header.Values("Via"), ", "); !strings.HasPrefix(via, "1.1 ") {
			c.Errorf("Via: %s", via)
		}
	}},
	{"9110", "7.6.3", "MAY", "add a Via to answers, stored or not", func(c *Case) {
		first := c.keep("/a", page...)
		for _, r := range []Reply{first, c.asks("/a", 200, digits)} {
			if !r.Has("Via", "1.1 ") {
				c.Errorf("Via: %q", r.Header.Values("Via"))
			}
		}
	}},
}
