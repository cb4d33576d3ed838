package lookup

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/penstock-edge/penstock/cache/purge"
	"github.com/penstock-edge/penstock/edge"
)

// TestUnsafe: a request that may have changed something makes what is stored of its URL, and of those that its answer
// names on the same host, be fetched anew when it went well (RFC 9111 section 4.4), and of nothing else.
func TestUnsafe(t *testing.T) {
	f := func(request string, status int, gone string, lines ...string) {
		t.Helper()
		o := newOrigin(t, "")
		paths := []string{"/a", "/a?q=1", "/b", "/c", "/"}
		o.reply(200, "stored", "Cache-Control: max-age=60")
		for _, p := range paths {
			o.ask(p)
		}
		o.reply(status, "", lines...)
		if g := o.ask(request); g.status != status || o.count() != len(paths)+1 {
			t.Errorf("%s: %d, %d requests at the target", request, g.status, o.count())
		}
		o.reply(200, "stored", "Cache-Control: max-age=60")
		var have []string
		for _, p := range paths {
			if g := o.ask(p); !g.hits() {
				have = append(have, p)
			}
		}
		if got := strings.Join(have, " "); got != gone {
			t.Errorf("%s, %d %q: %q are fetched anew, want %q", request, status, lines, got, gone)
		}
	}
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "LOCK", "UNHEARD"} {
		f(method+" /a", 200, "/a")
		f(method+" /a", 303, "/a")
		f(method+" /a", 404, "")
		f(method+" /a", 500, "")
	}
	for _, method := range []string{"OPTIONS", "TRACE", "PROPFIND", "QUERY", "REPORT", "SEARCH"} {
		f(method+" /a", 200, "")
	}
	f("POST /a?q=1", 204, "/a?q=1")
	f("POST /new", 201, "/b", "Location: /b")
	f("POST /new", 201, "/b", "Location: http://h.example/b")
	f("POST /new", 201, "/b", "Location: http://H.EXAMPLE:80/b#c")
	f("POST /new", 201, "/b /c", "Location: /b", "Content-Location: /c")
	f("POST /new", 201, "/", "Location: /")
	f("POST /a", 200, "/a /b", "Content-Location: http://h.example/x/../b")
	f("POST /new", 201, "", "Location: http://other.example/b")
	f("POST /new", 201, "", "Location: https://h.example/b")
	f("POST /new", 201, "", "Location: //other.example/b")
	f("POST /new", 201, "", "Location: http://h.example.other/b")
	f("POST /new", 201, "", "Location: b c\x7f")
	f("POST /new", 500, "", "Location: /b")
}

// TestPurgeBesideFetch: an answer that was asked for before a purge is for those that asked before it; whoever asks after
// it has the target asked anew, whatever comes first.
func TestPurgeBesideFetch(t *testing.T) {
	const url = "http://h.example/a"
	orders := map[string]*purge.Order{
		"all": {All: true}, "url": {Urls: [][]byte{[]byte(url)}}, "tag": {Tags: []string{"some"}},
		"prefix": {Prefixes: [][]byte{[]byte("http://h.example/")}, Duration: time.Hour},
	}
	for name, order := range orders {
		for _, oldFirst := range []bool{true, false} {
			inBubble(t, func(t *testing.T) {
				w := newCrew(t, "")
				lines := []string{"Cache-Control: max-age=60", "Surrogate-Key: some thing"}
				release := map[string]chan struct{}{"old": make(chan struct{}), "new": make(chan struct{})}
				version := "old"
				w.says = func(x *edge.Exchange) *edge.Fault {
					mine := version
					<-release[mine]
					answer(x, 200, mine, lines...)
					return nil
				}
				before := w.sendMany(3, "/a")
				time.Sleep(time.Second) // of the bubble
				if n := w.c.Purge(order, w.c.Flights.Scatter); n != 0 {
					t.Errorf("%s: %d answers were there", name, n)
				}
				version = "new"
				after := w.sendMany(3, "/a")
				if w.count() != 2 {
					t.Fatalf("%s: %d requests at the target", name, w.count())
				}
				first, second := "old", "new"
				if !oldFirst {
					first, second = second, first
				}
				close(release[first])
				synctest.Wait()
				if !oldFirst {
					if g := w.send("/a"); g.body != "new" || !g.hits() {
						t.Errorf("%s: %q %s", name, g.body, g.as)
					}
				}
				close(release[second])
				w.wg.Wait()
				for i := range before {
					// Whoever reads late finds that the old one has been read by all, and has gone.
					if before[i].body != "old" && before[i].body != "new" || after[i].body != "new" {
						t.Errorf("%s, the old one first %v: %q before and %q after", name, oldFirst, before[i].body, after[i].body)
					}
				}
				g := w.send("/a")
				if w.wg.Wait(); g.body != "new" || !g.hits() {
					t.Errorf("%s, the old one first %v: then %q %s", name, oldFirst, g.body, g.as)
				}
			})
		}
	}
}

// TestSoftPurge: what is purged softly is asked about, may be used while it is fetched anew, and stays where it was
// confirmed.
func TestSoftPurge(t *testing.T) {
	o := newOrigin(t, "")
	o.reply(200, "a", "Cache-Control: max-age=60", `ETag: "a"`)
	o.ask("/a")
	soft := func() {
		if n := o.c.Purge(&purge.Order{All: true, Soft: true}, o.c.Flights.Scatter); n != 1 {
			t.Errorf("%d answers are purged", n)
		}
	}
	soft()
	o.reply(304, "", "Cache-Control: max-age=60")
	if g := o.ask("/a"); g.body != "a" || o.count() != 2 {
		t.Errorf("%q %s", g.body, g.as)
	}
	if g := o.ask("/a"); !g.hits() || o.count() != 2 {
		t.Errorf("after it was confirmed: %s", g.as)
	}
	soft()
	o.says = func(*edge.Exchange) *edge.Fault { return edge.UpstreamTimeout }
	if g := o.ask("/a"); g.status != 504 {
		t.Errorf("%d %s", g.status, g.as)
	}
	if g := o.ask("/a", "Cache-Control: stale-if-error=9"); g.body != "a" {
		t.Errorf("%d %s", g.status, g.as)
	}
	if n := o.c.Purge(&purge.Order{All: true}, o.c.Flights.Scatter); n != 1 {
		t.Errorf("%d answers are purged", n)
	}
	if g := o.ask("/a", "Cache-Control: stale-if-error=9"); g.status != 504 {
		t.Errorf("what is purged is used: %d %s", g.status, g.as)
	}
}

// TestTagsOfRenewed: an answer is purged by the tags that it came with, and once it is confirmed by those that the 304
// gives it.
func TestTagsOfRenewed(t *testing.T) {
	o := confirming(t, []string{"Cache-Control: max-age=10", `ETag: "a"`, "Cache-Tag: one, both"},
		[]string{"Cache-Control: max-age=60", "Cache-Tag: two,both"})
	o.ask("/a")
	o.pass(11 * time.Second)
	o.ask("/a")
	for _, step := range []struct {
		tag string
		n   int
	}{{"one", 0}, {"TWO", 0}, {"two", 1}, {"both", 0}} {
		if n := o.c.Purge(&purge.Order{Tags: []string{step.tag}}, o.c.Flights.Scatter); n != step.n {
			t.Errorf("%s: %d are purged, want %d", step.tag, n, step.n)
		}
		if step.n == 0 && step.tag != "both" && !o.ask("/a").hits() {
			t.Errorf("%s: it has gone", step.tag)
		}
	}
}

// TestTooManyTags: what has more tags than are known of an answer is stored for nobody.
func TestTooManyTags(t *testing.T) {
	o := newOrigin(t, "")
	tags := func(n int) (s string) {
		for i := range n {
			s += fmt.Sprint(" t", i)
		}
		return "Surrogate-Key:" + s
	}
	counting(o, "Cache-Control: max-age=60", tags(513))
	for i := range 2 {
		if g := o.ask("/a"); g.body != fmt.Sprint("answer ", i+1) {
			t.Errorf("%q %s", g.body, g.as)
		}
	}
	counting(o, "Cache-Control: max-age=60", tags(512))
	if o.ask("/b"); !o.ask("/b").hits() {
		t.Error("as many as may be are too many")
	}
	if n := o.c.Purge(&purge.Order{Tags: []string{"t511"}}, o.c.Flights.Scatter); n != 1 {
		t.Errorf("%d are purged by the last tag", n)
	}
}

// TestQueriesThatSaySame: what No-Vary-Search calls the same has one answer, and nothing else has.
func TestQueriesThatSaySame(t *testing.T) {
	f := func(rule string, same, other []string) {
		t.Helper()
		o := newOrigin(t, "")
		counting(o, "Cache-Control: max-age=60", "No-Vary-Search: "+rule)
		if g := o.ask("/a?a=1&b=2"); g.body != "answer 1" {
			t.Fatal(g.body)
		}
		for _, q := range same {
			if g := o.ask("/a" + q); g.body != "answer 1" || !g.hits() {
				t.Errorf("%s: %s is another one: %q %s", rule, q, g.body, g.as)
			}
		}
		for i, q := range other {
			if g := o.ask("/a" + q); g.body != fmt.Sprint("answer ", i+2) {
				t.Errorf("%s: %s is the same: %q %s", rule, q, g.body, g.as)
			}
		}
		if g := o.ask("/b?a=1&b=2"); g.hits() {
			t.Errorf("%s: the rule holds for another path", rule)
		}
	}
	f(`params`, []string{"?x", "", "?"}, nil)
	f(`params=("b")`, []string{"?a=1", "?a=1&b=9", "?b&a=1&b=7", "?%61=1"}, []string{"?a=2&b=2", "?b=2", "?a=1&c=3", "?a=1&a=1"})
	f(`params, except=("a")`, []string{"?a=1", "?x=y&a=1"}, []string{"?a=2", "?b=2"})
	f(`key-order`, []string{"?b=2&a=1"}, []string{"?a=2&b=1", "?a=1", "?a=1&b=2&b=2"})
	f(`params=("b"), key-order`, []string{"?b=3&a=1"}, []string{"?a=2"})
	f(`nonsense=`, []string{"?a=1&b=2"}, []string{"?b=2&a=1"})
	f(`key-order=?0`, []string{"?a=1&b=2"}, []string{"?b=2&a=1"})
}

// TestBodiesInKeys: questions with the same body and the same words about it have one answer; it is asked under no
// condition, and what is larger than may be is passed on whole.
func TestBodiesInKeys(t *testing.T) {
	o := newOrigin(t, "")
	o.l.keyed = &keyed{[]string{"QUERY", "POST"}, 10}
	n := 0
	o.says = func(x *edge.Exchange) *edge.Fault {
		n++
		b, _ := x.WholeIn() // those of this test are in memory
		if r, ok := x.In.(*resumed); ok {
			b = append([]byte{}, r.head...)
		}
		answer(x, 200, fmt.Sprintf("%d %s %q", n, x.Method, b), "Cache-Control: max-age=60", `ETag: "e"`)
		return nil
	}
	f := func(request, body, want string, fields ...string) {
		t.Helper()
		x := o.request(request, fields...)
		x.In, x.InLen = edge.NewBytesBody([]byte(body)), int64(len(body))
		if g := o.finish(o.begin(x)); g.body != want {
			t.Errorf("%s %q %q: %q %s, want %q", request, body, fields, g.body, g.as, want)
		}
	}
	const json = "Content-Type: application/json"
	f("QUERY /a", "one", `1 QUERY "one"`, json)
	f("QUERY /a", "one", `1 QUERY "one"`, json)
	f("QUERY /a", "one", `1 QUERY "one"`, json, "Range: bytes=0-0", "Accept: x/y")
	f("QUERY /a", "two", `2 QUERY "two"`, json)
	f("QUERY /a", "one", `3 QUERY "one"`)
	f("QUERY /a", "one", `4 QUERY "one"`, json, "Content-Language: de")
	f("POST /a", "one", `5 POST "one"`, json)
	f("POST /a", "one", `5 POST "one"`, json, `If-None-Match: "e"`)
	f("QUERY /b", "one", `6 QUERY "one"`, json)
	f("QUERY /a", "0123456789", `7 QUERY "0123456789"`)
	f("QUERY /a", "0123456789", `7 QUERY "0123456789"`)
	f("QUERY /a", "0123456789x", `8 QUERY "0123456789x"`)
	f("QUERY /a", "0123456789x", `9 QUERY "0123456789x"`)
	f("QUERY /a", "", `10 QUERY ""`)
	if g := o.ask("/a"); !strings.Contains(g.body, `11 GET`) {
		t.Errorf("GET has the answer to another method: %q", g.body)
	}
	if n := o.c.Purge(&purge.Order{Urls: [][]byte{[]byte("http://h.example/a")}}, o.c.Flights.Scatter); n != 8 {
		t.Errorf("%d answers of the URL are purged", n)
	}
}
