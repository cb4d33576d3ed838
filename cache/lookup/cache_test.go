package lookup

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/penstock-edge/penstock/cache/accept"
	"github.com/penstock-edge/penstock/cache/cachetest"
	"github.com/penstock-edge/penstock/cache/entry"
	"github.com/penstock-edge/penstock/cache/fetch"
	"github.com/penstock-edge/penstock/cache/key"
	"github.com/penstock-edge/penstock/cache/outcome"
	"github.com/penstock-edge/penstock/cache/purge"
	"github.com/penstock-edge/penstock/cache/records"
	"github.com/penstock-edge/penstock/cache/section"
	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/config"
	"github.com/penstock-edge/penstock/edge/lib/clock"
	"github.com/penstock-edge/penstock/edge/lib/lanes"
)

func TestMain(m *testing.M) { // the workers that encode stay
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/valyala/fasthttp/stackless.funcWorker"))
}

// newCache returns a cache with these keys.
func newCache(t interface{ Fatal(...any) }, keys string) *Cache {
	file := config.Parse("test.toml", []byte("[cache.main]\nsize = \"16MiB\"\n"+keys), config.Options{})
	c := New("main", section.Read(file.Root.Children("cache")[0]), fetch.NewState(records.New(16<<20, records.NewDurable()), 16<<20))
	if errs := file.Finish(); len(errs) > 0 {
		t.Fatal(errs)
	}
	for i := range c.Counters.Requests {
		c.Counters.Requests[i] = lanes.NewCounter()
	}
	for i := range c.Counters.Sent {
		c.Counters.Sent[i] = lanes.NewCounter()
	}
	for i := range c.Counters.Misses {
		c.Counters.Misses[i] = lanes.NewCounter()
	}
	return c
}

// uncounted are the counters of a route whose requests nobody looks at.
var uncounted = &RouteCounters{lanes.NewCounter(), lanes.NewCounter(), lanes.NewCounter()}

// put stores an answer for a request, as a fetch does.
func (c *Cache) put(t testing.TB, x *edge.Exchange, body string, life int64) {
	t.Helper()
	text, url := c.Rules.Append(nil, x, "r")
	c.putUnder(t, text, url, body, life)
}

// putQuestion is put for a request with a body.
func (c *Cache) putQuestion(t testing.TB, x *edge.Exchange, answer string, body []byte) {
	t.Helper()
	text, url := c.Rules.Append(nil, x, "r")
	c.putUnder(t, key.AppendBody(text, x, body), url, answer, 100_000)
}

func (c *Cache) putUnder(t testing.TB, text, url []byte, body string, life int64) {
	t.Helper()
	e := &entry.Entry{At: c.Millis(clock.Now()), Lifetime: life, Status: 200, Key: text, ETag: []byte(`"e"`),
		Lines: []byte("Content-Type: text/plain\r\nETag: \"e\"\r\n")}
	e.Hashes = purge.AppendHashes(nil, url, nil)
	if _, err := c.Store.Put(c.Hash(text), e.Append(nil), [][]byte{[]byte(body)}, 100); err != nil {
		t.Fatal(err)
	}
}

// putVariant stores an answer in gzip that varies by these fields.
func (c *Cache) putVariant(t testing.TB, x *edge.Exchange, vary string) {
	t.Helper()
	base, url := c.Rules.Append(nil, x, "r")
	sign := &entry.Entry{Lifetime: 1 << 40, Flags: entry.IsSign, Forms: accept.FormOf(accept.Gzip, false, accept.Gzip), Vary: []byte(vary), Key: base}
	text, _ := key.AppendVariant(append([]byte{}, base...), sign.Vary, x, accept.Gzip)
	text[len(text)-1] = sign.Forms.Slot()
	e := &entry.Entry{At: c.Millis(clock.Now()), Lifetime: 1 << 40, Status: 200, Key: text}
	e.Hashes = purge.AppendHashes(nil, url, nil)
	if c.Keep(c.Hash(base), sign, nil) == nil || c.Keep(c.Hash(text), e, [][]byte{[]byte("a")}) == nil {
		t.Fatal("not stored")
	}
}

// TestHitInTheLoop: a hit never waits, and a miss says so before it has begun.
func TestHitInTheLoop(t *testing.T) {
	c := newCache(t, "")
	l := &Filter{Cache: c, Route: "r"}
	x := cachetest.Request("/a")
	if v := l.Run(x); v != edge.Wait || len(c.Flights.By) != 0 {
		t.Fatalf("a miss: %v", v)
	}
	(&done{cache: c, route: uncounted}).Run(x)
	c.put(t, cachetest.Request("/a"), "hello", 10_000)
	x = cachetest.Request("/a")
	if v := l.Run(x); v != edge.Answered || x.OutLen != 5 {
		t.Fatalf("a hit: %v, %d bytes", v, x.OutLen)
	}
	(&addFields{cache: c}).Run(x)
	if lines := x.Resp.Lines(); string(lines) != "Content-Type: text/plain\r\nETag: \"e\"\r\nAge: 0\r\nCache-Status: penstock; hit; ttl=9\r\n" &&
		string(lines) != "Content-Type: text/plain\r\nETag: \"e\"\r\nAge: 0\r\nCache-Status: penstock; hit; ttl=10\r\n" {
		t.Errorf("%q", lines)
	}
	(&done{cache: c, route: uncounted}).Run(x)
	if c.Counters.Requests[outcome.Hit].Sum() != 1 {
		t.Error("the hit was not counted")
	}
}

// TestStoredMeanwhile: what is stored between the search and the fetch that follows it is found, and nobody waits for
// that fetch.
func TestStoredMeanwhile(t *testing.T) {
	c := newCache(t, "")
	l := &Filter{Cache: c, Route: "r"}
	x := cachetest.Request("/a")
	if v := l.Run(x); v != edge.Wait {
		t.Fatalf("a miss: %v", v)
	}
	c.put(t, cachetest.Request("/a"), "hello", 10_000)
	r := x.Slot[0].(*record)
	if v := c.fetchFor(x, r); v != edge.Answered || x.OutLen != 5 || r.status != outcome.Collapsed || len(c.Flights.By) != 0 {
		t.Errorf("%v, %d bytes, status %v, %d fetches", v, x.OutLen, r.status, len(c.Flights.By))
	}
	(&done{cache: c, route: uncounted}).Run(x)
}
