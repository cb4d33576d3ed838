package conform

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// tooOld is the Age that makes an answer stale whose lifetime is that of forAll.
const tooOld = "Age: 101"

// tag is a validator that rows have in common.
const tag = `ETag: "v1"`

// cut is an answer that breaks off in the middle.
func cut(chunked bool) func(*http.Request) Answer {
	return func(*http.Request) Answer {
		return Answer{Body: strings.Repeat("x", 10_000), Fields: []string{"Cache-Control: max-age=100"}, Cut: true,
			Chunked: chunked}
	}
}

// confirms answers conditional requests with 304 and these fields, and others with "new".
func confirms(fields ...string) func(*http.Request) Answer {
	return func(r *http.Request) Answer {
		if r.Header.Get("If-None-Match")+r.Header.Get("If-Modified-Since") != "" {
			return Answer{Status: 304, Fields: fields}
		}
		return Answer{Body: "new", Fields: []string{forAll, `ETag: "new"`}}
	}
}

// echo answers with the value of a field of the request.
func echo(name string, fields ...string) func(*http.Request) Answer {
	return func(r *http.Request) Answer {
		return Answer{Body: "for " + strings.Join(r.Header.Values(name), ", "), Fields: fields}
	}
}

// in returns the date in so many seconds.
func in(seconds int) string {
	return time.Now().Add(time.Duration(seconds) * time.Second).UTC().Format(http.TimeFormat)
}

// wantNew has the origin answer something else, and checks that a GET brings that.
func (c *Case) wantNew(path string, fields ...string) {
	c.On(path, "new", forAll)
	c.Want(fmt.Sprint("GET ", path, fields), c.Get(path, fields...), 200, "new")
}

// wantOld has the origin answer something else, and checks that a GET brings what is kept.
func (c *Case) wantOld(path string, fields ...string) {
	c.On(path, "new", forAll)
	c.Want(fmt.Sprint("GET ", path, fields), c.Get(path, fields...), 200, digits)
}

// wantAge checks that the Age of an answer is one number, which is seconds or, as time goes by, little more.
func (c *Case) wantAge(what string, lines []string, seconds uint64) {
	n, err := strconv.ParseUint(strings.Join(lines, ";"), 10, 32)
	if err != nil || n < seconds || n > seconds+20 {
		c.Errorf("%s: Age is %q, want about %d", what, lines, seconds)
	}
}

// repeat sends a request twice, and says how often the origin must be asked for it.
func (c *Case) repeat(method, path string, a Answer, asked int) {
	c.Do(path, func(*http.Request) Answer { return a })
	for range 2 {
		c.Want(method+" "+path, c.Send(method, path, ""), a.Status, a.Body)
	}
	c.WantAsked(path, asked)
}

// last returns the latest request for a path.
func (c *Case) last(path string) *http.Request {
	asked := c.Asked(path)
	return asked[len(asked)-1]
}

// again sends a GET for what is stale. A proxy that does not ask the origin shows nothing else than that: it
// ends the check.
func (c *Case) again(path string, fields ...string) Reply {
	n := len(c.Asked(path))
	r := c.Get(path, fields...)
	if len(c.Asked(path)) == n {
		panic(errStop)
	}
	return r
}

// confirmed has the origin confirm what is kept, by a 304 with these fields, and returns the answer. A proxy
// that does not ask under a condition, or asks anew after that, shows nothing of what it makes of a 304: it
// ends the check.
func (c *Case) confirmed(path string, fields ...string) Reply {
	c.Do(path, confirms(fields...))
	r := c.again(path)
	if r.Status == 200 && r.Body == "new" {
		panic(errStop)
	}
	c.Want("confirmed", r, 200, digits)
	return r
}
