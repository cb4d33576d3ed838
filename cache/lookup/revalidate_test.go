package lookup

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/penstock-edge/penstock/edge"
)

// confirming is an origin whose target has an answer, and speaks of it with what it sends in a 304 where it is asked
// under a condition.
func confirming(t *testing.T, stored, confirms []string) *origin {
	o := newOrigin(t, "")
	o.says = func(x *edge.Exchange) *edge.Fault {
		switch {
		case x.Req.Has("If-None-Match") || x.Req.Has("If-Modified-Since"):
			answer(x, 304, "", confirms...)
		case o.count() == 1:
			answer(x, 200, "old", stored...)
		default:
			answer(x, 200, "new", "Cache-Control: max-age=60")
		}
		return nil
	}
	return o
}

// TestConfirmed: a 304 makes what is stored fresh if it is about that; else the target is asked again, for all of it
// (RFC 9111 section 4.3.4).
func TestConfirmed(t *testing.T) {
	lines := func(l ...string) []string { return l }
	const age = "Cache-Control: max-age=10"
	f := func(name string, stored, confirms []string, holds bool) {
		t.Helper()
		o := confirming(t, append(stored, age), append(confirms, age))
		if g := o.ask("/a", "X-Lang: a"); g.body != "old" {
			t.Fatal(g.body)
		}
		o.pass(11 * time.Second)
		want, asked := "old", 2
		if !holds {
			want, asked = "new", 3
		}
		if g := o.ask("/a", "X-Lang: a"); g.body != want || o.count() != asked || g.status != 200 {
			t.Errorf("%s: %d %q %s, the target was asked %d times, want %q and %d", name, g.status, g.body, g.as, o.count(), want, asked)
		}
		if g := o.ask("/a", "X-Lang: a"); g.body != want || !g.hits() {
			t.Errorf("%s: then %q %s", name, g.body, g.as)
		}
		if !holds && (o.last().Req.Has("If-None-Match") || o.last().Req.Has("If-Modified-Since")) {
			t.Errorf("%s: it is asked under a condition again", name)
		}
	}
	modified, later := "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT", "Last-Modified: Mon, 07 Nov 1994 08:49:37 GMT"
	f("the same tag", lines(`ETag: "a"`), lines(`ETag: "a"`), true)
	f("another tag", lines(`ETag: "a"`), lines(`ETag: "b"`), false)
	f("no tag", lines(`ETag: "a"`), nil, true)
	f("a weak tag of the same", lines(`ETag: W/"a"`), lines(`ETag: W/"a"`), true)
	f("a weak tag for a strong one", lines(`ETag: "a"`), lines(`ETag: W/"a"`), true)
	f("a strong tag for a weak one", lines(`ETag: W/"a"`), lines(`ETag: "a"`), false)
	f("a weak tag of another", lines(`ETag: W/"a"`), lines(`ETag: W/"b"`), false)
	f("a date, the same", lines(modified), lines(modified), true)
	f("a date, another", lines(modified), lines(later), false)
	f("a date, none", lines(modified), nil, true)
	f("the tag counts before the date", lines(`ETag: "a"`, modified), lines(`ETag: "a"`, later), true)
	f("the date where only one has a weak tag", lines(modified), lines(`ETag: W/"a"`, later), false)

	f("the same Vary", lines(`ETag: "a"`, "Vary: X-Lang"), lines("Vary: x-lang"), true)
	f("the same Vary in another order", lines(`ETag: "a"`, "Vary: X-Lang, X-B"), lines("Vary: X-B", "Vary: X-Lang"), true)
	f("no Vary", lines(`ETag: "a"`, "Vary: X-Lang"), nil, true)
	f("another Vary", lines(`ETag: "a"`, "Vary: X-Lang"), lines("Vary: X-Other"), false)
	f("more in Vary", lines(`ETag: "a"`, "Vary: X-Lang"), lines("Vary: X-Lang, X-Other"), false)
	f("less in Vary", lines(`ETag: "a"`, "Vary: X-Lang, X-B"), lines("Vary: X-Lang"), false)
	f("Vary where there was none", lines(`ETag: "a"`), lines("Vary: X-Lang"), false)
	f("a coding in Vary where there was none", lines(`ETag: "a"`), lines("Vary: Accept-Encoding"), true)
	f("what a fetch leaves out in Vary", lines(`ETag: "a"`), lines("Vary: X-Real-Ip"), true)

	f("another rule for queries", lines(`ETag: "a"`), lines(`No-Vary-Search: params=("x")`), false)
	f("the same rule for queries", lines(`ETag: "a"`, `No-Vary-Search: params=("x")`), lines(`No-Vary-Search: params=("x")`), true)
}

// TestConfirmedFields: what a 304 says takes the place of what was stored, but for what is about the bytes of the body
// (RFC 9111 section 3.2).
func TestConfirmedFields(t *testing.T) {
	o := confirming(t, []string{`ETag: "a"`, "Cache-Control: max-age=10", "X-Old: 1", "X-Both: old", "Content-Type: text/x"},
		[]string{"Cache-Control: max-age=20", "X-Both: new", "X-New: 1", "Content-Length: 99", "Content-Encoding: gzip", "Content-Range: bytes 0-1/2",
			"X-Request-Id: 7", "Penstock-Cache-Control: max-age=30"})
	o.ask("/a")
	o.pass(11 * time.Second)
	for i := range 2 {
		g := o.ask("/a")
		for name, want := range map[string]string{"X-Old": "1", "X-Both": "new", "X-New": "1", "Content-Type": "text/x", "Cache-Control": "max-age=20",
			"ETag": `"a"`, "Content-Encoding": "", "Content-Range": "", "X-Request-Id": "", "Penstock-Cache-Control": ""} {
			if got := g.field(name); got != want {
				t.Errorf("answer %d: %s is %q, want %q", i, name, got, want)
			}
		}
		if g.body != "old" || !strings.Contains(g.as, "ttl=30") {
			t.Errorf("answer %d: %q %s", i, g.body, g.as)
		}
	}
	if o.pass(29 * time.Second); !o.ask("/a").hits() {
		t.Error("it is not fresh for as long as the 304 says")
	}
	if o.pass(2 * time.Second); o.ask("/a").hits() {
		t.Error("it is fresh for longer than the 304 says")
	}
}

// TestConfirmedForOne: a 304 that is not for all confirms what is stored for the one who asked, with his fields, and for
// nobody else.
func TestConfirmedForOne(t *testing.T) {
	for _, line := range []string{"Cache-Control: no-store", "Cache-Control: private", "Set-Cookie: sid=1", "Vary: *"} {
		o := confirming(t, []string{`ETag: "a"`, "Cache-Control: max-age=10"}, []string{line, "X-Mine: 1"})
		o.ask("/a")
		o.pass(11 * time.Second)
		for i := range 2 {
			g := o.ask("/a")
			if g.body != "old" || g.status != 200 || g.field("X-Mine") != "1" || o.count() != i+2 {
				t.Errorf("%s: %d %q %q %s, asked %d times", line, g.status, g.body, g.field("X-Mine"), g.as, o.count())
			}
		}
	}
}

// TestNotAsked: a 304 that nobody has asked for is no answer to store.
func TestNotAsked(t *testing.T) {
	o := newOrigin(t, "")
	o.reply(304, "", "Cache-Control: max-age=60", `ETag: "a"`)
	for i := range 2 {
		if g := o.ask("/a"); g.hits() || g.status != 304 || o.count() != i+1 {
			t.Errorf("%d %s, asked %d times", g.status, g.as, o.count())
		}
	}
}

// TestClocks: how old an answer is counts from when it was made, whichever clock says so, and never less than that; a
// clock that is put back makes nothing younger than it was when it came.
func TestClocks(t *testing.T) {
	f := func(name string, wait time.Duration, hits bool, age string, lines ...string) {
		t.Helper()
		o := newOrigin(t, "")
		for i, l := range lines {
			if after, ok := strings.CutPrefix(l, "date "); ok {
				d, err := time.ParseDuration(after)
				if err != nil {
					t.Fatal(err)
				}
				lines[i] = "Date: " + o.date(d)
			}
			if after, ok := strings.CutPrefix(l, "expires "); ok {
				d, err := time.ParseDuration(after)
				if err != nil {
					t.Fatal(err)
				}
				lines[i] = "Expires: " + o.date(d)
			}
		}
		o.reply(200, "a", lines...)
		o.ask("/a")
		o.pass(wait)
		g := o.ask("/a")
		if g.hits() != hits || hits && g.field("Age") != age {
			t.Errorf("%s: %s, age %q, want %v and %q", name, g.as, g.field("Age"), hits, age)
		}
	}
	const life = "Cache-Control: max-age=60"
	f("fresh", 59*time.Second, true, "59", life)
	f("over", 60*time.Second, false, "", life)
	f("old by its Age", 30*time.Second, false, "", life, "Age: 30")
	f("not so old by its Age", 29*time.Second, true, "59", life, "Age: 30")
	f("two Ages", 29*time.Second, true, "59", life, "Age: 30", "Age: 50")
	f("a list of Ages", 29*time.Second, true, "59", life, "Age: 30, 50")
	f("an Age that is none", 59*time.Second, true, "59", life, "Age: old")
	f("an Age below 0", 59*time.Second, true, "59", life, "Age: -30")
	f("an Age without end", 0, false, "", life, "Age: "+strings.Repeat("9", 40))
	f("old by its Date", 30*time.Second, false, "", life, "date -30s")
	f("its Date and its Age, the older counts", 29*time.Second, true, "59", life, "date -20s", "Age: 30")
	f("a Date to come", 59*time.Second, true, "59", life, "date 1h")
	f("a Date that is none", 59*time.Second, true, "59", life, "Date: yesterday")
	f("Expires", 59*time.Second, true, "59", "date 0s", "expires 60s")
	f("Expires that has passed", 0, false, "", "date 0s", "expires -1s")
	f("Expires after a Date that has passed", 29*time.Second, true, "59", "date -30s", "expires 30s")
	f("Expires without Date", 59*time.Second, true, "59", "expires 60s")
	f("Expires that is none", 0, false, "", "date 0s", "Expires: 0")
	f("max-age counts before Expires", 59*time.Second, true, "59", "expires 1s", life)
	f("the clock is put back", -time.Hour, true, "0", life)
	f("the clock is put back, of what is old", -time.Hour, true, "50", life, "Age: 50")
}

// TestErrorsBesideStored: an error does not take the place of what may be used, and is no answer where the stored one may
// be used then (RFC 5861 section 4).
func TestErrorsBesideStored(t *testing.T) {
	f := func(name, says string, failure int, request string, status int, body string) {
		t.Helper()
		o := newOrigin(t, "")
		o.reply(200, "good", says, `ETag: "a"`)
		o.ask("/a")
		o.pass(11 * time.Second)
		o.reply(failure, "bad")
		if failure == 0 {
			o.says = func(*edge.Exchange) *edge.Fault { return edge.UpstreamConnect }
		}
		if g := o.ask("/a", request); g.status != status || g.body != body {
			t.Errorf("%s: %d %q %s, want %d %q", name, g.status, g.body, g.as, status, body)
		}
		o.reply(304, "", "Cache-Control: max-age=10")
		if g := o.ask("/a"); g.body != "good" || o.last().Req.Get("If-None-Match") == nil {
			t.Errorf("%s: what was stored has gone: %q %s", name, g.body, g.as)
		}
	}
	const plain, may, must = "Cache-Control: max-age=10", "Cache-Control: max-age=10, stale-if-error=60",
		"Cache-Control: max-age=10, stale-if-error=60, must-revalidate"
	for _, status := range []int{500, 502, 503, 504} {
		f("allowed", may, status, "X: 1", 200, "good")
		f("not allowed", plain, status, "X: 1", status, "bad")
		f("forbidden", must, status, "X: 1", status, "bad")
		f("by the request", plain, status, "Cache-Control: stale-if-error=60", 200, "good")
		f("by the request, not long enough", plain, status, "Cache-Control: stale-if-error=0", status, "bad")
		f("by the request, and forbidden", must, status, "Cache-Control: stale-if-error=60", status, "bad")
	}
	f("no error in that sense", may, 501, "X: 1", 501, "bad")
	f("no target", may, 0, "X: 1", 200, "good")
	f("no target, not allowed", plain, 0, "X: 1", 502, "")
	f("no target, by the request", plain, 0, "Cache-Control: stale-if-error=60", 200, "good")
}

// TestReviveOnce: what is stale is served while one fetch brings it anew, however many ask.
func TestReviveOnce(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newCrew(t, "")
		lines := []string{"Cache-Control: max-age=10, stale-while-revalidate=60", `ETag: "a"`}
		first := w.send("/a")
		w.heads <- text("one", lines...)
		if w.wg.Wait(); first.body != "one" {
			t.Fatal(first.got)
		}
		time.Sleep(20 * time.Second) // of the bubble
		for _, g := range w.sendMany(5, "/a") {
			if g.body != "one" || !g.hits() {
				t.Errorf("%q %s", g.body, g.as)
			}
		}
		if auth := w.send("/a", "Authorization: Bearer x"); auth.body != "one" {
			t.Error(auth.got)
		}
		if n := w.count(); n != 2 || string(w.last().Req.Get("If-None-Match")) != `"a"` {
			t.Fatalf("%d requests at the target", n)
		}
		w.heads <- text("two", lines...)
		synctest.Wait()
		if g := w.send("/a"); g.body != "two" || !strings.Contains(g.as, "ttl=10") {
			t.Errorf("%q %s", g.body, g.as)
		}
		time.Sleep(20 * time.Second) // of the bubble
		w.send("/a")
		w.heads <- func(x *edge.Exchange) *edge.Fault { return edge.UpstreamReset }
		synctest.Wait()
		if g := w.send("/a"); g.body != "two" {
			t.Errorf("after a fetch that failed: %q %s", g.body, g.as)
		}
		w.heads <- text("", "Cache-Control: private")
		synctest.Wait()
		g := w.send("/a") // the target has said that it is for nobody else any more
		w.heads <- text("mine", "Cache-Control: private")
		if w.wg.Wait(); g.body != "mine" {
			t.Errorf("after a private answer: %q %s", g.body, g.as)
		}
	})
}
