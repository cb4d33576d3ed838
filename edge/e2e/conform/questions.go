package conform

import (
	"io"
	"net/http"
)

// answersTo answers with the method, the type and the body of the request.
func answersTo(fields ...string) func(*http.Request) Answer {
	return func(r *http.Request) Answer {
		body, _ := io.ReadAll(r.Body) // it is in memory
		return Answer{Body: r.Method + " " + r.Header.Get("Content-Type") + " " + string(body), Fields: fields}
	}
}

// questions are the rows of RFC 10008, as far as they are about caches.
var questions = []Check{
	{"10008", "2", "MUST", "have the body of a QUERY, and what says how to read it, in its key", func(c *Case) {
		c.Do("/a", answersTo(forAll))
		for range 2 {
			for _, one := range [][2]string{{"x", "a/b"}, {"y", "a/b"}, {"x", "c/d"}, {"xy", "a/b"}} {
				body, kind := one[0], one[1]
				c.Want(kind+" "+body, c.Send("QUERY", "/a", body, "Content-Type: "+kind), 200, "QUERY "+kind+" "+body)
			}
			c.Want("GET", c.Get("/a"), 200, "GET  ")
		}
	}},
	{"10008", "2", "MAY", "answer a QUERY from what is stored for the same one", func(c *Case) {
		c.Do("/a", answersTo(forAll))
		for range 3 {
			c.Want("QUERY", c.Send("QUERY", "/a", "x", "Content-Type: a/b"), 200, "QUERY a/b x")
		}
		c.WantAsked("/a", 1)
	}},
	{"10008", "2", "MUST NOT", "use for others the answer to a QUERY with Authorization", func(c *Case) {
		c.Do("/a", answersTo(forAll))
		c.Send("QUERY", "/a", "x", "Authorization: Basic YTph")
		c.Send("QUERY", "/a", "x", "Authorization: Basic Yjpi")
		c.Send("QUERY", "/a", "x")
		c.WantAsked("/a", 3)
	}},
	{"10008", "2", "is", "keep what is stored after a QUERY, which is safe", func(c *Case) {
		c.wantGone(false, "/a", "QUERY", "/a", Answer{Body: "other", Fields: []string{"Content-Location: /a"}})
	}},
}
