package conform

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/dunglas/httpsfv"
)

// member is what a cache says of itself in Cache-Status.
type member struct {
	name any
	*httpsfv.Params
}

// members reads the Cache-Status of a reply. It ends the check when that is no list of items.
func (c *Case) members(r Reply) (all []member) {
	list, err := httpsfv.UnmarshalList(r.Header.Values("Cache-Status"))
	if err != nil {
		c.stop(err)
	}
	for _, m := range list {
		item, ok := m.(httpsfv.Item)
		if !ok {
			c.stop(errors.New("Cache-Status has a list in it"))
		}
		all = append(all, member{item.Value, item.Params})
	}
	return all
}

// says returns what the proxy under test says, which is the last of the members. It ends the check when the
// proxy says nothing.
func (c *Case) says(r Reply) member {
	all := c.members(r)
	if len(all) == 0 || all[len(all)-1].name == httpsfv.Token("Upstream") {
		c.stop(errors.New("no Cache-Status"))
	}
	return all[len(all)-1]
}

// is reports whether a parameter has a value.
func (m member) is(name string, want any) bool {
	got, _ := m.Get(name)
	return got == want
}

// wantHit and wantForward say what the proxy must say.
func (c *Case) wantHit(what string, r Reply) {
	if m := c.says(r); !m.is("hit", true) || slices.Contains(m.Names(), "fwd") {
		c.Errorf("%s: %q is no hit", what, r.Header.Values("Cache-Status"))
	}
}

func (c *Case) wantForward(what string, r Reply, reason string) {
	if m := c.says(r); !m.is("fwd", httpsfv.Token(reason)) || m.is("hit", true) {
		c.Errorf("%s: %q, want fwd=%s", what, r.Header.Values("Cache-Status"), reason)
	}
}

// wantTTL checks that the ttl is between these seconds.
func (c *Case) wantTTL(r Reply, least, most int64) {
	got, _ := c.says(r).Get("ttl")
	if n, ok := got.(int64); !ok || n < least || n > most {
		c.Errorf("%q: want a ttl of %d to %d", r.Header.Values("Cache-Status"), least, most)
	}
}

// kinds gets replies of all kinds: a miss, a hit, a 304, a part, a stale answer, one that is asked about, one
// that is not stored, another method, a request that wants no stored answer, and a fault of the origin.
func (c *Case) kinds() map[string]Reply {
	c.On("/kept", digits, page...)
	c.On("/passed", digits, "Cache-Control: no-store")
	c.Do("/old", revalidates)
	c.On("/stale", digits, "Cache-Control: max-age=10, stale-while-revalidate=100", "Age: 20")
	c.Do("/fault", answer(500, "fault"))
	return map[string]Reply{
		"miss": c.Get("/kept"), "hit": c.Get("/kept"), "304": c.Get("/kept", `If-None-Match: "v1"`),
		"part": c.Get("/kept", "Range: bytes=0-3"), "no-cache": c.Get("/kept", "Cache-Control: no-cache"),
		"pass": c.Get("/passed"), "method": c.Send("POST", "/kept", "x"), "fault": c.Get("/fault"),
		"old": c.Get("/old"), "asked": c.Get("/old"), "new": c.Get("/stale"), "stale": c.Get("/stale"),
	}
}

// revalidates answers what is stale at once, and 304 when it is asked about.
func revalidates(r *http.Request) Answer {
	if r.Header.Get("If-None-Match") != "" {
		return Answer{Status: 304, Fields: []string{`ETag: "v1"`, "Cache-Control: max-age=10", "Age: 20"}}
	}
	return Answer{Body: digits, Fields: []string{`ETag: "v1"`, "Cache-Control: max-age=10", "Age: 20"}}
}

// together sends the same GET from several clients at once.
func (c *Case) together(n int, path string) []Reply {
	replies, cases := make([]Reply, n), make([]Case, n)
	var wg sync.WaitGroup
	for i := range n {
		cases[i] = Case{addr: c.addr, origin: c.origin, prefix: c.prefix}
		wg.Go(func() {
			defer func() {
				if p := recover(); p != nil && p != errStop { //nolint:errorlint // it is what was thrown
					panic(p)
				}
			}()
			replies[i] = cases[i].Get(path)
		})
	}
	wg.Wait()
	for i := range cases {
		c.errs = append(c.errs, cases[i].errs...)
	}
	return replies
}

// telling are the rows of RFC 9211.
var telling = slices.Concat(said, reasons, details)

var said = []Check{
	{"9211", "2", "is", "write Cache-Status as a list whose members describe a cache each", func(c *Case) {
		for _, r := range c.kinds() {
			c.says(r)
		}
	}},
	{"9211", "2", "MUST",
		"name the cache by a string or a token, and keep to the types of parameters", func(c *Case) {
			for what, r := range c.kinds() {
				m := c.says(r)
				if !typed("detail", m.name) {
					c.Errorf("%s: the name is %v", what, m.name)
				}
				for _, name := range m.Names() {
					if v, _ := m.Get(name); !typed(name, v) {
						c.Errorf("%s: %s is %v", what, name, v)
					}
				}
			}
		}},
	{"9211", "2", "SHOULD", "keep what caches before it say, in front of its own", func(c *Case) {
		miss := c.keep("/a", "Cache-Control: max-age=100", "Cache-Status: First; hit; ttl=7",
			"Cache-Status: Upstream; fwd=stale")
		for what, r := range map[string]Reply{"miss": miss, "hit": c.asks("/a", 200, digits)} {
			c.says(r)
			all := c.members(r)
			if len(all) != 3 || all[0].name != httpsfv.Token("First") || all[1].name != httpsfv.Token("Upstream") {
				c.Errorf("%s: %q", what, r.Header.Values("Cache-Status"))
				continue
			}
			if !all[0].is("ttl", int64(7)) || !all[1].is("fwd", httpsfv.Token("stale")) {
				c.Errorf("%s: changed: %q", what, r.Header.Values("Cache-Status"))
			}
		}
	}},
	{"9211", "2", "SHOULD NOT", "speak of a stored answer where the proxy answers by itself", func(c *Case) {
		c.keep("/a", page...)
		c.says(c.asks("/a", 200, digits)) // else it is no merit to be silent
		c.Do("/gone", func(*http.Request) Answer { return Answer{Drop: true} })
		for what, r := range map[string]Reply{"only-if-cached": c.Get("/none", "Cache-Control: only-if-cached"),
			"no answer": c.Get("/gone")} {
			if r.Status < 500 || r.Header.Get("Cache-Status") != "" {
				c.Errorf("%s: %d, %q", what, r.Status, r.Header.Values("Cache-Status"))
			}
		}
	}},
	{"9211", "2.1", "is",
		"say hit of what is answered from the store, also by a 304, a part and a head", func(c *Case) {
			c.keep("/a", page...)
			c.wantHit("200", c.asks("/a", 200, digits))
			c.wantHit("304", c.asks("/a", 304, "", `If-None-Match: "v1"`))
			c.wantHit("206", c.asks("/a", 206, "0123", "Range: bytes=0-3"))
			c.wantHit("HEAD", c.Send("HEAD", "/a", ""))
		}},
	{"9211", "2.1", "is", "say one of hit and fwd and not both", func(c *Case) {
		for what, r := range c.kinds() {
			m := c.says(r)
			if m.is("hit", true) == slices.Contains(m.Names(), "fwd") {
				c.Errorf("%s: %q", what, r.Header.Values("Cache-Status"))
			}
		}
	}},
}

// typed reports whether a value has the type of a parameter.
func typed(name string, v any) bool {
	ok := true
	switch name {
	case "hit", "stored", "collapsed":
		_, ok = v.(bool)
	case "fwd-status", "ttl":
		_, ok = v.(int64)
	case "key":
		_, ok = v.(string)
	case "fwd":
		reason, _ := v.(httpsfv.Token)
		ok = slices.Contains(forwards, reason)
	case "detail":
		if _, ok = v.(string); !ok {
			_, ok = v.(httpsfv.Token)
		}
	}
	return ok
}

// forwards are the reasons that a request may go forward for.
var forwards = []httpsfv.Token{"bypass", "method", "uri-miss", "vary-miss", "miss", "request", "stale",
	"partial"}

var reasons = []Check{
	{"9211", "2.2", "SHOULD", "say uri-miss when nothing is stored for the URI", func(c *Case) {
		c.wantForward("first", c.keep("/a", page...), "uri-miss")
	}},
	{"9211", "2.2", "SHOULD", "say vary-miss when only the fields in Vary do not fit", func(c *Case) {
		c.On("/a", digits, page...)
		c.Want("first", c.Get("/a", "X-Kind: 1"), 200, digits)
		c.wantForward("another", c.Get("/a", "X-Kind: 2"), "vary-miss")
		c.wantHit("again", c.Get("/a", "X-Kind: 1"))
	}},
	{"9211", "2.2", "SHOULD", "say stale when what is stored is too old", func(c *Case) {
		c.On("/a", digits, `ETag: "v1"`, "Cache-Control: max-age=10", "Age: 20")
		c.Want("first", c.Get("/a"), 200, digits)
		c.wantForward("replaced", c.Get("/a"), "stale")
		c.Do("/a", revalidates)
		c.wantForward("the same", c.Get("/a"), "stale")
	}},
	{"9211", "2.2", "SHOULD", "say request when the client does not want what is fresh", func(c *Case) {
		for _, directive := range []string{"no-cache", "max-age=0", "min-fresh=1000"} {
			c.keep("/"+directive, "Cache-Control: max-age=100", "Age: 5")
			c.wantForward(directive, c.Get("/"+directive, "Cache-Control: "+directive), "request")
		}
	}},
	{"9211", "2.2", "SHOULD", "say method when it is the method that goes forward", func(c *Case) {
		c.keep("/a", page...)
		c.wantForward("POST", c.Send("POST", "/a", "x"), "method")
		c.wantForward("OPTIONS", c.Send("OPTIONS", "/a", ""), "method")
	}},
	{"9211", "2.2", "SHOULD", "say bypass or request when it does not look for an answer", func(c *Case) {
		c.keep("/a", page...)
		r := c.Get("/a", "Cookie: a=b")
		if len(c.Asked("/a")) == 1 {
			c.wantHit("with a cookie", r) // which is none of its business then
			return
		}
		c.wantForward("with a cookie", r, "bypass")
	}},
	{"9211", "2.3", "is",
		"say in fwd-status what the origin answered, at least when the client gets another status", func(c *Case) {
			c.Do("/b", revalidates)
			c.Want("first", c.Get("/b"), 200, digits)
			if r := c.Get("/b"); r.Status != 200 || !c.says(r).is("fwd-status", int64(304)) {
				c.Errorf("%d %q", r.Status, r.Header.Values("Cache-Status"))
			}
			for _, status := range []int{200, 404, 500} {
				c.Do("/a", answer(status, "x", "Cache-Control: no-store"))
				m := c.says(c.Get("/a"))
				if v, ok := m.Get("fwd-status"); ok && v != int64(status) {
					c.Errorf("%d: fwd-status=%v", status, v)
				}
			}
		}},
}

var details = []Check{
	{"9211", "2.4", "is", "say for how long a hit is fresh yet", func(c *Case) {
		c.keep("/a", "Cache-Control: max-age=100", "Age: 30")
		c.wantTTL(c.asks("/a", 200, digits), 60, 70)
		c.keep("/shared", "Cache-Control: max-age=100, s-maxage=1000")
		c.wantTTL(c.asks("/shared", 200, digits), 990, 1000)
	}},
	{"9211", "2.4", "MAY", "say less than zero of a stale hit", func(c *Case) {
		c.keep("/a", "Cache-Control: max-age=10, stale-while-revalidate=100", "Age: 20")
		r := c.Get("/a")
		c.wantHit("stale", r)
		c.wantTTL(r, -20, -10)
	}},
	{"9211", "2.5", "is", "say stored of an answer that is stored, and not of others", func(c *Case) {
		if r := c.keep("/a", page...); !c.says(r).is("stored", true) {
			c.Errorf("stored: %q", r.Header.Values("Cache-Status"))
		}
		if r := c.keep("/b", "Cache-Control: no-store"); c.says(r).is("stored", true) {
			c.Errorf("not stored: %q", r.Header.Values("Cache-Status"))
		}
	}},
	{"9211", "2.5", "is", "not say stored of an answer that breaks off", func(c *Case) {
		for path, chunked := range map[string]bool{"/length": false, "/chunked": true} {
			c.Do(path, cut(chunked))
			if r := c.Get(path); c.says(r).is("stored", true) {
				c.Errorf("%s: %q", path, r.Header.Values("Cache-Status"))
			}
		}
	}},
	{"9211", "2.6", "is", "say collapsed of a request that took another's fetch", func(c *Case) {
		for try := range 20 { // until some have come in time
			path := fmt.Sprint("/", try)
			c.Do(path, func(*http.Request) Answer {
				<-time.After(200 * time.Millisecond)
				return Answer{Body: digits, Fields: page}
			})
			alone, collapsed := 0, 0
			for _, r := range c.together(4, path) {
				c.Want("together", r, 200, digits)
				switch m := c.says(r); {
				case m.is("collapsed", true):
					collapsed++
				case !m.is("hit", true): // one that comes too late has a hit
					alone++
				}
			}
			if n := len(c.Asked(path)); alone != n {
				c.Errorf("%d fetches: %d requests alone and %d collapsed", n, alone, collapsed)
			}
			if collapsed > 0 {
				return
			}
		}
		c.Errorf("no request is said to have taken another's fetch")
	}},
}
