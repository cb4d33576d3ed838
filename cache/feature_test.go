package cache

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"
	"go.uber.org/goleak"

	"github.com/penstock-edge/penstock/cache/lookup"
	"github.com/penstock-edge/penstock/cache/purge"
	"github.com/penstock-edge/penstock/cache/records"
	"github.com/penstock-edge/penstock/cache/section"
	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/config"
	"github.com/penstock-edge/penstock/edge/lib/lanes"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestAdmin: a call that is wrong says so and purges nothing; one that is right holds when it is answered.
func TestAdmin(t *testing.T) {
	file := config.Parse("test.toml", []byte("[cache.main]\nsize = \"16MiB\"\n"), config.Options{})
	conf := section.Read(file.Root.Children("cache")[0])
	kept := newCacheState(16<<20, records.NewDurable())
	c := &instance{Cache: lookup.New("main", conf, kept.State), kept: kept, purged: lanes.NewCounter()}
	cs := &caches{h: &edge.Host{Log: slog.New(slog.DiscardHandler)}, list: []*instance{c}, names: []string{"main"}}
	judge := func() purge.Verdict { return c.Purges.Judge(0, []byte("http://h/a"), nil, 0) }
	f := func(handler fasthttp.RequestHandler, name, query, body string, status int, want string, verdict purge.Verdict) {
		t.Helper()
		ctx := &fasthttp.RequestCtx{}
		ctx.Request.SetRequestURI("/?" + query)
		ctx.Request.SetBodyString(body)
		ctx.SetUserValue("name", name)
		handler(ctx)
		got := string(ctx.Response.Body())
		if ctx.Response.StatusCode() != status || !strings.Contains(got, want) || judge() != verdict {
			t.Errorf("%s?%s: %d %s, verdict %v", name, query, ctx.Response.StatusCode(), got, judge())
		}
	}
	f(cs.purge, "other", "all=1", "", 404, "no_cache", purge.Kept)
	f(cs.warm, "other", "", "http://h/a", 404, "no_cache", purge.Kept)
	f(cs.purge, "main", "", "", 400, "nothing is named", purge.Kept)
	f(cs.purge, "main", "all=1&tag=a", "", 400, "stands beside it", purge.Kept)
	f(cs.purge, "main", "url=http://h/a&nonsense=1", "", 400, "nonsense", purge.Kept)
	f(cs.warm, "main", "", "ftp://h/a", 400, "line 1", purge.Kept)
	f(cs.warm, "main", "", "# none\n\n", 400, "want URLs", purge.Kept)
	f(cs.purge, "main", "url=HTTP://H:80/a&soft=1", "", 200, `{"purged": 0}`, purge.Stale)
	f(cs.purge, "main", "prefix=http://h/", "", 200, `{"purged": 0}`, purge.Purged)
	if n := c.purged.Sum(); n != 0 {
		t.Errorf("%d answers are counted", n)
	}
	kept.warmer.Close()
	f(cs.warm, "main", "", "http://h/a", 503, "too many", purge.Purged)
}
