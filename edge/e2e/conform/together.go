package conform

import (
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// together are rows about several clients at once: what those get that wait for the fetch of another.
var together = []Check{
	{"9111", "4", "MUST NOT", "give an answer with no-cache to another client that waits for it",
		func(c *Case) {
			c.wantOwn("/a", "Cache-Control: no-cache")
		}},
	{"9111", "4", "MUST NOT", "give what is stale at once and must be asked about to another who waits",
		func(c *Case) {
			c.wantOwn("/a", "Cache-Control: max-age=0, must-revalidate")
			c.wantOwn("/b", "Cache-Control: s-maxage=0")
		}},
	{"9111", "4", "MUST NOT", "give an answer with private or no-store to another client that waits",
		func(c *Case) {
			c.wantOwn("/a", "Cache-Control: private, max-age=100")
			c.wantOwn("/b", "Cache-Control: no-store, max-age=100")
		}},
	{"9111", "4", "MUST NOT", "let one client's 304 stand for another who would be refused", func(c *Case) {
		c.Get("/a") // nothing is scripted: a peer that keeps a 404 is not asked about it here
		c.On("/b", digits, "Cache-Control: no-cache", tag)
		c.Get("/b")
		c.Do("/b", func(r *http.Request) Answer {
			if r.Header.Get("X-Api-Key") != "0" {
				return Answer{Status: 403, Body: "refused", Fields: []string{"Cache-Control: no-store"}}
			}
			return Answer{Status: 304, Fields: []string{"Cache-Control: no-cache", tag}}
		})
		for i, r := range c.atOnce("/b", 4, key) {
			if i > 0 && r.Status != 403 {
				c.Errorf("client %d is refused, and got %d %q", i, r.Status, r.Body)
			}
		}
	}},
	{"9111", "3.5", "MUST NOT", "give an answer to a request with Authorization to another who waits",
		func(c *Case) {
			c.Do("/a", echo("Authorization", forAll))
			c.eachOwn("/a", func(i int) []string { return []string{"Authorization: Bearer " + name(i)} },
				func(i int) string { return "for Bearer " + name(i) })
		}},
	{"9111", "4.1", "MUST NOT", "give an answer to one who waits with other values of the fields in Vary",
		func(c *Case) {
			c.Do("/a", echo("X-Lang", forAll, "Vary: X-Lang"))
			c.eachOwn("/a", func(i int) []string { return []string{"X-Lang: " + name(i)} },
				func(i int) string { return "for " + name(i) })
		}},
	{"9111", "5.2.1.4", "SHOULD NOT", "answer a request with no-cache from what was asked for before it",
		func(c *Case) {
			c.Do("/a", func(r *http.Request) Answer {
				body := "old"
				if r.Header.Get("X-Api-Key") != "0" {
					body = "new"
				}
				return Answer{Body: body, Fields: []string{forAll}}
			})
			replies := c.atOnce("/a", 2, func(i int) []string {
				if i == 0 {
					return key(i)
				}
				return append(key(i), "Cache-Control: no-cache")
			})
			c.Want("no-cache", replies[1], 200, "new")
		}},
	{"9111", "4", "is", "one fetch for all clients that wait for an answer that may be used again",
		func(c *Case) {
			c.On("/a", digits, forAll)
			for _, r := range c.atOnce("/a", 8, key) {
				c.Want("each", r, 200, digits)
			}
			c.WantAsked("/a", 1)
		}},
	{"5861", "4", "is", "what is stale for all clients that wait while the origin fails", func(c *Case) {
		c.keep("/a", forAll+", stale-if-error=100", tooOld)
		c.Do("/a", func(*http.Request) Answer { return Answer{Status: 503} })
		for _, r := range c.atOnce("/a", 4, key) {
			c.Want("each", r, 200, digits)
		}
	}},
	{"9110", "5.3", "MUST NOT", "let an empty line of Authorization hide the one behind it", func(c *Case) {
		c.Do("/a", echo("Authorization", forAll))
		c.Get("/a", "Authorization:", "Authorization: Bearer x")
		if r := c.Get("/a"); strings.Contains(r.Body, "Bearer") {
			c.Errorf("somebody else got %q", r.Body)
		}
	}},
	{"9110", "5.3", "MUST NOT", "let an empty line of a field in Vary hide the one behind it",
		func(c *Case) {
			c.Do("/a", echo("X-Lang", forAll, "Vary: X-Lang"))
			c.Get("/a", "X-Lang:", "X-Lang: x")
			if r := c.Get("/a"); strings.Contains(r.Body, "x") {
				c.Errorf("somebody else got %q", r.Body)
			}
		}},
}

func name(i int) string { return string(rune('a' + i)) }

// key is the field that names the client.
func key(i int) []string { return []string{"X-Api-Key: " + string(rune('0'+i))} }

// wantOwn fails unless clients who ask at once for an answer with these fields, and a tag, get each their
// own.
func (c *Case) wantOwn(path string, fields ...string) {
	c.Do(path, func(r *http.Request) Answer {
		k := r.Header.Get("X-Api-Key")
		return Answer{Body: "for " + k, Fields: append([]string{`ETag: "` + k + `"`}, fields...)}
	})
	c.eachOwn(path, key, func(i int) string { return "for " + string(rune('0'+i)) })
}

// eachOwn fails unless clients who ask at once, with fields of their own, get what want returns.
func (c *Case) eachOwn(path string, fields func(i int) []string, want func(i int) string) {
	for i, r := range c.atOnce(path, 4, fields) {
		if r.Err != nil || r.Status != 200 || r.Body != want(i) {
			c.Errorf("%s: client %d got %d %q, %v", path, i, r.Status, r.Body, r.Err)
		}
	}
}

// holdFor bounds how long the origin holds the first answer back for others to come.
const holdFor = 100 * time.Millisecond

// atOnce has n clients ask for a path while the origin holds its answer to the first: the others come when
// that has been asked for, and wait at the proxy, or reach the origin too.
func (c *Case) atOnce(path string, n int, fields func(i int) []string) []Reply {
	replies := make([]Reply, n)
	arrived := make(chan struct{})
	var asked atomic.Int64
	hold := func() {
		switch asked.Add(1) {
		case 1:
			close(arrived)
			time.Sleep(holdFor) // a proxy does not show which clients wait there
		}
	}
	c.origin.mu.Lock()
	script := c.origin.scripts[c.prefix+path]
	answer := script.answer
	script.answer = func(r *http.Request) Answer {
		a := answer(r)
		a.Hold = hold
		return a
	}
	c.origin.mu.Unlock()
	var all sync.WaitGroup
	ask := func(i int) {
		all.Go(func() {
			defer func() {
				if p := recover(); p != nil && p != errStop { //nolint:errorlint // it is what was thrown
					panic(p)
				}
			}()
			replies[i] = c.Send("GET", path, "", fields(i)...)
		})
	}
	ask(0)
	select {
	case <-arrived:
	case <-time.After(5 * time.Second):
	}
	for i := 1; i < n; i++ {
		ask(i)
	}
	all.Wait()
	return replies
}
