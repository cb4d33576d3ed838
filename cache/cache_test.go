package cache

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/penstock-edge/penstock/cache/fresh"
	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/config"
	"github.com/penstock-edge/penstock/edge/lib/clock"
	"github.com/penstock-edge/penstock/edge/lib/lanes"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newCache returns a cache with these keys.
func newCache(t interface{ Fatal(...any) }, keys string) *cache {
	file := config.Parse("test.toml", []byte("[cache.main]\nsize = \"16MiB\"\n"+keys), config.Options{})
	c := &cache{name: "main", conf: readConfig(file.Root.Children("cache")[0]), shared: newShared(16<<20, newSecond())}
	if errs := file.Finish(); len(errs) > 0 {
		t.Fatal(errs)
	}
	for i := range c.requests {
		c.requests[i] = lanes.NewCounter()
	}
	for i := range c.sent {
		c.sent[i] = lanes.NewCounter()
	}
	for i := range c.misses {
		c.misses[i] = lanes.NewCounter()
	}
	c.configure()
	return c
}

// uncounted are the counters of a route whose requests nobody looks at.
var uncounted = &routeCounters{lanes.NewCounter(), lanes.NewCounter(), lanes.NewCounter()}

// newRequest returns a GET for a path and query of h.example, with fields as "Name: value".
func newRequest(target string, fields ...string) *edge.Exchange {
	x := &edge.Exchange{}
	x.Reset()
	path, query, has := strings.Cut(target, "?")
	x.Method, x.Scheme, x.Path = []byte("GET"), "http", []byte(path)
	x.OutPath = x.Path
	x.Authority, x.Host = []byte("H.example"), []byte("h.example")
	x.SetOutHost(x.Authority)
	x.KeepRaw([]byte(query), has, nil, nil)
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ": ")
		x.Req.Add(name, value)
	}
	x.Slot = make([]any, 1)
	x.Times.Head = clock.Now()
	return x
}

// put stores an answer for a request, as a fetch does.
func (c *cache) put(t testing.TB, x *edge.Exchange, body string, life int64) {
	t.Helper()
	text, url := c.conf.appendKey(nil, x, "r")
	c.putUnder(t, text, url, body, life)
}

// putQuestion is put for a request with a body.
func (c *cache) putQuestion(t testing.TB, x *edge.Exchange, answer string, body []byte) {
	t.Helper()
	text, url := c.conf.appendKey(nil, x, "r")
	c.putUnder(t, appendBodyKey(text, x, body), url, answer, 100_000)
}

func (c *cache) putUnder(t testing.TB, text, url []byte, body string, life int64) {
	t.Helper()
	e := &entry{at: c.millis(clock.Now()), lifetime: life, status: 200, key: text, etag: []byte(`"e"`),
		lines: []byte("Content-Type: text/plain\r\nETag: \"e\"\r\n")}
	e.hashes = c.appendHashes(nil, url, nil)
	if _, err := c.store.Put(c.hash(text), e.append(nil), [][]byte{[]byte(body)}, 100); err != nil {
		t.Fatal(err)
	}
}

// putVariant stores an answer in gzip that varies by these fields.
func (c *cache) putVariant(t testing.TB, x *edge.Exchange, vary string) {
	t.Helper()
	base, url := c.conf.appendKey(nil, x, "r")
	sign := &entry{lifetime: 1 << 40, flags: isSign, forms: formOf(withGzip, false, withGzip), vary: []byte(vary), key: base}
	text, _ := appendVariant(append([]byte{}, base...), sign.vary, x, withGzip)
	text[len(text)-1] = sign.forms.slot()
	e := &entry{at: c.millis(clock.Now()), lifetime: 1 << 40, status: 200, key: text}
	e.hashes = c.appendHashes(nil, url, nil)
	if c.keep(c.hash(base), sign, nil) == nil || c.keep(c.hash(text), e, [][]byte{[]byte("a")}) == nil {
		t.Fatal("not stored")
	}
}

func TestKey(t *testing.T) {
	f := func(keys, target, want string, fields ...string) {
		t.Helper()
		c := newCache(t, keys)
		text, url := c.conf.appendKey(nil, newRequest(target, fields...), "r")
		if got := strings.ReplaceAll(string(text), "\x00", "|"); got != want || !bytes.Contains(text, url) {
			t.Errorf("%s %s: %q, want %q", keys, target, got, want)
		}
	}
	f("", "/a/B?x=1&X=2", "r|http://h.example/a/B?x=1&X=2")
	f("", "/a?", "r|http://h.example/a?")
	f("sort_query = true", "/a?b=1&a=2&b=0", "r|http://h.example/a?a=2&b=1&b=0")
	f("query_drop = [\"b\"]", "/a?b=1&a=2&b=0", "r|http://h.example/a?a=2")
	f("query_drop = [\"b\"]", "/a?b=1", "r|http://h.example/a")
	f("query_drop = [\"b*\", \"*\"]", "/a?b=1&a=2&b=0", "r|http://h.example/a")
	f("query_drop = [\"b*\"]", "/a?b=1&ab=2&bc=0&B=1", "r|http://h.example/a?ab=2&B=1")
	f("query_keep = [\"b*\"]\nquery_drop = [\"bad\"]", "/a?b=1&ab=2&bc=0&bad=1", "r|http://h.example/a?b=1&bc=0")
	f("query_keep = [\"b\"]", "/a?b=1&a=2&&b", "r|http://h.example/a?b=1&b")
	f("key_headers = [\"x-tenant\"]", "/a", "r|http://h.example/a|t1", "X-Tenant: t1")
	f("key_headers = [\"accept-language\", \"accept-encoding\"]", "/a", "r|http://h.example/a|de, en;q=0.5|br, gzip",
		"Accept-Language: en;q=0.50 ,DE", "Accept-Encoding: gzip, br")
	c := newCache(t, "")
	g := func(want string, change func(x *edge.Exchange)) {
		t.Helper()
		x := newRequest("/a", "X-Forwarded-Host: h.EXAMPLE:80")
		change(x)
		text, _ := c.conf.appendKey(nil, x, "r")
		y := new(edge.Exchange)
		x.Fork(y, nil)
		c.strip(y)
		again, _ := c.conf.appendKey(nil, y, "r")
		if got := strings.ReplaceAll(string(text), "\x00", "|"); got != want || !bytes.Equal(text, again) {
			t.Errorf("%q, and of the fetch %q, want %q", got, again, want)
		}
	}
	g("r|http://h.example/a", func(*edge.Exchange) {})
	g("r|http://h.example/a", func(x *edge.Exchange) { x.Trusted = true })
	g("r\x06b.example|http://h.example/a", func(x *edge.Exchange) {
		x.Trusted = true
		x.Req.Set("X-Forwarded-Host", "B.example:80")
	})
	g("r\x06a, b|http://h.example/a", func(x *edge.Exchange) {
		x.Trusted = true
		x.Req.Set("X-Forwarded-Host", "A, b")
	})
	g("r\x04/b|http://h.example/a", func(x *edge.Exchange) { x.SetOutPath([]byte("/b")) })
	g("r\x05|http://h.example/a", func(x *edge.Exchange) { x.OutHost = nil })
	g("r\x05other|http://h.example/a", func(x *edge.Exchange) { x.SetOutHost([]byte("Other")) })
}

// TestReasons: each reason has a word of its own, fit for a label and a token, and a sentence.
func TestReasons(t *testing.T) {
	seen := map[string]bool{}
	for r := noReason + 1; r < reasons; r++ {
		if r == notStorable {
			continue
		}
		w := r.word()
		if w == "" || strings.Trim(w, "abcdefghijklmnopqrstuvwxyz_") != "" || seen[w] || r.text() == "" {
			t.Errorf("%d: %q, %q", r, w, r.text())
		}
		seen[w] = true
	}
}

func TestPurges(t *testing.T) {
	p := &purges{}
	url, other := []byte("http://h/a"), []byte("http://h/b")
	c := &cache{}
	hashes := c.appendHashes(nil, url, [][]byte{[]byte("one"), []byte("two")})
	f := func(what string, number int64, want verdict) {
		t.Helper()
		if got := p.judge(number, url, hashes, 0); got != want {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	f("before all", 0, kept)
	p.byHash(hashURL(other), false)
	p.byHash(hashTag([]byte("three")), false)
	f("what others have", 0, kept)
	p.byHash(hashTag([]byte("two")), true) // 3
	f("softly", 2, stale)
	f("asked for later", 3, kept)
	p.byHash(hashTag([]byte("two")), false) // 4
	f("hard", 3, purged)
	p.byRule([]byte("http://h/a/b"), nil, 0, 100, false) // 5
	f("another prefix", 4, kept)
	p.byRule([]byte("http://h/"), nil, 0, 100, true) // 6
	f("prefix, softly", 5, stale)
	p.byRule([]byte("http://h/"), nil, 0, 100, false) // 7
	f("prefix", 6, purged)
	p.everything(true) // 8
	f("all, softly", 7, stale)
	p.everything(false) // 9
	f("all", 8, purged)
	f("later", 9, kept)
	p.byHash(hashURL(url), false)
	f("url", 9, purged)
	n := p.latest.Load()
	p.byRule(nil, regexp.MustCompile(`^http://h/[bc]$`), 0, 100, false)
	f("another expression", n, kept)
	p.byRule(nil, regexp.MustCompile(`^http://h/[ab]$`), 0, 100, false)
	f("expression", n+1, purged)
	f("asked for after that", n+2, kept)
	if got := p.judge(n+1, url, hashes, 100); got != kept {
		t.Errorf("after its time: %v", got)
	}
	for range mostMatches + 1 {
		p.byRule(nil, regexp.MustCompile("x"), 0, 100, false)
	}
	f("too many expressions are all", p.latest.Load()-10, purged)
	for range mostBans {
		p.byRule([]byte("http://x/"), nil, 0, 100, false)
	}
	if f("too many prefixes are all", p.latest.Load()-1, kept); len(p.bans) > mostBans {
		t.Errorf("%d prefixes", len(p.bans))
	}
}

// TestPurgesJournal: purges that are read from their notes judge as before, and those of this process come
// after them.
func TestPurgesJournal(t *testing.T) {
	url, tagged := []byte("http://h/a/1"), (&cache{}).appendHashes(nil, []byte("http://h/a/1"), [][]byte{[]byte("t")})
	rapid.Check(t, func(t *rapid.T) {
		one := func(p *purges) []byte {
			soft := rapid.Bool().Draw(t, "soft")
			switch rapid.IntRange(0, 5).Draw(t, "kind") {
			case 0:
				return p.byHash(hashURL(url), soft)
			case 1:
				return p.byHash(hashTag([]byte("t")), soft)
			case 2:
				return p.byRule([]byte("http://h/a"), nil, 0, 100, soft)
			case 3:
				return p.byRule(nil, regexp.MustCompile("/a/"), 0, 100, soft)
			case 4:
				return p.everything(soft)
			default:
				return p.byHash(hashTag([]byte("other")), soft)
			}
		}
		before, after := &purges{}, &purges{}
		j := after.journal()
		var notes [][]byte
		for range rapid.IntRange(0, 6).Draw(t, "before") {
			notes = append(notes, one(before))
		}
		if rapid.Bool().Draw(t, "compact") {
			notes = before.notes()
		}
		for range rapid.IntRange(0, 3).Draw(t, "meanwhile") {
			one(after)
		}
		own := after.judge(0, url, tagged, 0) // of what was asked for before all purges of this process
		for _, n := range notes {
			j.Load(n)
		}
		j.Load(nil)
		for number := range before.latest.Load() + 1 {
			want := max(before.judge(number, url, tagged, 0), own)
			if got := after.judge(number, url, tagged, 0); got != want {
				t.Fatalf("number %d: %v, want %v", number, got, want)
			}
		}
		if n := after.latest.Load(); after.judge(n, url, tagged, 0) != kept || n < before.latest.Load() {
			t.Fatal("what comes from now on is purged")
		}
		if one(after); after.latest.Load() <= before.latest.Load() {
			t.Fatal("a purge comes before an older one")
		}
	})
}

// TestEntry: what is appended is parsed again, and nothing else makes an entry that panics.
func TestEntry(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		part := func(name string) []byte { return rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(t, name) }
		number := func(name string) int64 { return rapid.Int64().Draw(t, name) }
		e := &entry{number("at"), number("age"), number("number"), number("lifetime"), number("revive"), number("rescue"),
			number("modified"), number("date"), int(rapid.Uint16().Draw(t, "status")), rapid.Uint16().Draw(t, "flags"),
			forms(rapid.Uint16().Draw(t, "forms")), part("key"), part("etag"),
			part("hashes"), part("vary"), part("search"), part("reason"), part("lines")}
		b := e.append(nil)
		var back entry
		if err := back.parse(b); err != nil || fmt.Sprint(back) != fmt.Sprint(*e) {
			t.Fatalf("%v: %v, want %v", err, back, *e)
		}
		cut := rapid.IntRange(0, len(b)-1).Draw(t, "cut")
		if back.parse(b[:cut]) == nil {
			t.Fatalf("%d of %d bytes are an entry", cut, len(b))
		}
	})
}

func FuzzEntry(f *testing.F) {
	f.Add((&entry{key: []byte("k"), lines: []byte("A: b\r\n")}).append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		var e entry
		if e.parse(b) == nil && !bytes.Equal(e.append(nil), b) {
			t.Error("another entry would have these bytes")
		}
	})
}

// TestFlightOver: a body that is too large to be kept goes through as fast as its slowest reader reads.
func TestFlightOver(t *testing.T) {
	held := budget{most: 1000}
	f := newFlight(1000, &held)
	const pieces, size = 50, 100
	f.size = -1
	readers := make([]*body, 3)
	for i := range readers {
		readers[i] = f.read()
	}
	var wg sync.WaitGroup
	for i, r := range readers {
		wg.Go(func() {
			if i == 2 { // one that leaves in the middle
				_, _ = io.CopyN(io.Discard, r, 700) // what it reads is the others' business
				_ = r.Close()                       // never fails
				return
			}
			b, err := io.ReadAll(r)
			if err != nil || len(b) != pieces*size {
				t.Errorf("%d bytes, %v", len(b), err)
			}
			for j := range b {
				if b[j] != byte(j/size) {
					t.Errorf("byte %d is %d", j, b[j])
					break
				}
			}
			_ = r.Close() // never fails
		})
	}
	for i := range pieces {
		if !f.add(bytes.Repeat([]byte{byte(i)}, size)) {
			t.Error("nobody reads any more")
		}
		if f.length > 1000+size {
			t.Errorf("%d bytes are kept", f.length)
		}
	}
	f.end(nil, nil)
	wg.Wait()
	if n := held.fetching.Load() + held.finished.Load(); n != 0 {
		t.Errorf("%d bytes are kept for nobody", n)
	}
	if f.read() != nil {
		t.Error("somebody may read from the beginning, which is gone")
	}
	if f.length = 1001; f.add([]byte("x")) {
		t.Error("more is kept for nobody")
	}
	g := newFlight(1000, &held)
	r := g.read()
	g.add([]byte("half"))
	g.end(edge.UpstreamTruncated, nil)
	if b, err := io.ReadAll(r); string(b) != "half" || !errors.Is(err, errCut) {
		t.Errorf("%q %v", b, err)
	}
}

// describeText is describe of an answer with these fields.
func describeText(fields ...string) *description {
	y := newRequest("/")
	lines := strings.Join(fields, "\r\n") + "\r\n"
	y.SetHead(200, nil, []byte(lines))
	return describe(y)
}

func TestDescribe(t *testing.T) {
	f := func(want string, fields ...string) {
		t.Helper()
		d := describeText(fields...)
		life, ok := d.Lifetime(&fresh.Options{})
		got := fmt.Sprintf("%v %v %q %q %q", life/1000, ok, d.vary, d.tags, d.lines)
		if got != want {
			t.Errorf("%q:\n%s, want\n%s", fields, got, want)
		}
	}
	f(`5 true [] [] "Cache-Control: max-age=5\r\n"`, "Cache-Control: max-age=5")
	f(`5 true [] [] "Cache-Control: max-age=5\r\nX: 1\r\n"`, "Cache-Control: max-age=5", "Age: 3", "X-Request-Id: 1", "X: 1")
	// RFC 9213 section 2.2: the most specific field counts alone, and Expires does not.
	f(`7 true [] [] "CDN-Cache-Control: max-age=7\r\nCache-Control: max-age=5\r\n"`, "CDN-Cache-Control: max-age=7", "Cache-Control: max-age=5")
	f(`9 true [] [] "CDN-Cache-Control: max-age=7\r\n"`, "Penstock-Cache-Control: max-age=9", "CDN-Cache-Control: max-age=7")
	f(`5 true [] [] "CDN-Cache-Control: max-age=7,,\r\nCache-Control: max-age=5\r\n"`, "CDN-Cache-Control: max-age=7,,", "Cache-Control: max-age=5")
	f(`0 false [] [] "CDN-Cache-Control: public\r\nExpires: Sun, 06 Nov 2050 08:49:37 GMT\r\n"`, "CDN-Cache-Control: public", "Expires: Sun, 06 Nov 2050 08:49:37 GMT")
	f(`0 false ["Accept" "X-A"] [] "Vary: x-a, accept\r\nVary: X-A\r\n"`, "Vary: x-a, accept", "Vary: X-A")
	f(`0 false ["Accept-Encoding"] [] "Content-Encoding: gzip\r\nVary: Accept-Encoding\r\n"`, "Content-Encoding: gzip")
	f(`0 false [] ["a" "b" "c" "d"] "Surrogate-Key: a b\r\nCache-Tag: c, d\r\n"`, "Surrogate-Key: a b", "Cache-Tag: c, d")
	// RFC 9111 sections 5.2.2.4 and 5.2.2.7: the fields that are named are not stored.
	f(`1 true [] [] "Cache-Control: max-age=1, private=\"X-A, set-cookie\"\r\nX-B: 2\r\n"`, `Cache-Control: max-age=1, private="X-A, set-cookie"`,
		"X-A: 1", "X-B: 2", "Set-Cookie: a=b")
}

func TestMerge(t *testing.T) {
	got := merge([]byte("A: 1\r\nETag: old\r\nContent-Type: a/b\r\nB: 2\r\nB: 3\r\n"), []byte("B: 4\r\nEtag: new\r\nContent-Type: x/y\r\nContent-Length: 0\r\nContent-Encoding: gzip\r\nB: 5\r\n"))
	if want := "A: 1\r\nB: 4\r\nEtag: new\r\nContent-Type: x/y\r\nB: 5\r\n"; string(got) != want {
		t.Errorf("%q, want %q", got, want) // RFC 9111 section 3.2
	}
}

// TestHitInTheLoop: a hit never waits, and a miss says so before it has begun.
func TestHitInTheLoop(t *testing.T) {
	c := newCache(t, "")
	l := &lookup{cache: c, route: "r"}
	x := newRequest("/a")
	if v := l.Run(x); v != edge.Wait || len(c.flights.by) != 0 {
		t.Fatalf("a miss: %v", v)
	}
	(&done{cache: c, route: uncounted}).Run(x)
	c.put(t, newRequest("/a"), "hello", 10_000)
	x = newRequest("/a")
	if v := l.Run(x); v != edge.Answered || x.OutLen != 5 {
		t.Fatalf("a hit: %v, %d bytes", v, x.OutLen)
	}
	(&tell{cache: c}).Run(x)
	if lines := x.Resp.Lines(); string(lines) != "Content-Type: text/plain\r\nETag: \"e\"\r\nAge: 0\r\nCache-Status: penstock; hit; ttl=9\r\n" &&
		string(lines) != "Content-Type: text/plain\r\nETag: \"e\"\r\nAge: 0\r\nCache-Status: penstock; hit; ttl=10\r\n" {
		t.Errorf("%q", lines)
	}
	(&done{cache: c, route: uncounted}).Run(x)
	if c.requests[hit].Sum() != 1 {
		t.Error("the hit was not counted")
	}
}

// TestStoredMeanwhile: what is stored between the search and the fetch that follows it is found, and nobody waits for
// that fetch.
func TestStoredMeanwhile(t *testing.T) {
	c := newCache(t, "")
	l := &lookup{cache: c, route: "r"}
	x := newRequest("/a")
	if v := l.Run(x); v != edge.Wait {
		t.Fatalf("a miss: %v", v)
	}
	c.put(t, newRequest("/a"), "hello", 10_000)
	r := x.Slot[0].(*record)
	if v := c.fetchFor(x, r); v != edge.Answered || x.OutLen != 5 || r.status != collapsed || len(c.flights.by) != 0 {
		t.Errorf("%v, %d bytes, status %v, %d fetches", v, x.OutLen, r.status, len(c.flights.by))
	}
	(&done{cache: c, route: uncounted}).Run(x)
}
