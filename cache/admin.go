package cache

import (
	"encoding/json"
	"fmt"
	"github.com/penstock-edge/penstock/cache/purge"
	"github.com/penstock-edge/penstock/cache/warm"
	"github.com/valyala/fasthttp"
	"slices"
)

// named returns the cache that the path names, or answers that there is none.
func (cs *caches) named(ctx *fasthttp.RequestCtx) *instance {
	name, _ := ctx.UserValue("name").(string)
	i := slices.Index(cs.names, name)
	if i < 0 {
		problem(ctx, fasthttp.StatusNotFound, "no_cache", "There is no such cache. GET /status lists them.")
		return nil
	}
	return cs.list[i]
}

// purge serves POST /cache/{name}/purge.
func (cs *caches) purge(ctx *fasthttp.RequestCtx) {
	c := cs.named(ctx)
	if c == nil {
		return
	}
	o, err := purge.ParseOrder(ctx.URI().QueryString(), c.Conf.Rules)
	if err != nil {
		problem(ctx, fasthttp.StatusBadRequest, "bad_request", err.Error())
		return
	}
	n := c.Purge(o, c.Flights.Scatter)
	c.purged.Add(0, uint64(n))
	cs.h.Log.Info("cache purged by the admin interface", "cache", c.Name, "what", o.Words(), "soft", o.Soft,
		"purged", n)
	ctx.SetContentType("application/json")
	fmt.Fprintf(ctx, "{\"purged\": %d}\n", n)
}

// problem answers with an error in the form of RFC 9457.
func problem(ctx *fasthttp.RequestCtx, status int, code, detail string) {
	b, _ := json.Marshal(map[string]any{"type": "about:blank", "title": fasthttp.StatusMessage(status),
		"status": status, "detail": detail, "code": code}) // of such a map it does not fail
	ctx.SetStatusCode(status)
	ctx.SetContentType("application/problem+json")
	ctx.SetBody(append(b, '\n'))
}

// warm serves POST /cache/{name}/warm.
func (cs *caches) warm(ctx *fasthttp.RequestCtx) {
	c := cs.named(ctx)
	if c == nil {
		return
	}
	urls, err := warm.ParseList(ctx.PostBody())
	switch {
	case err != nil:
		ctx.Error(err.Error()+"\n", fasthttp.StatusBadRequest)
	case len(urls) == 0:
		ctx.Error("want URLs in the body, one a line\n", fasthttp.StatusBadRequest)
	case !c.kept.warmer.Add(urls, c.Conf.WarmWorkers, cs.h.Current):
		ctx.Error("too many URLs wait already\n", fasthttp.StatusServiceUnavailable)
	default:
		cs.h.Log.Info("cache is warmed by the admin interface", "cache", c.Name, "urls", len(urls))
		ctx.SetStatusCode(fasthttp.StatusAccepted)
		fmt.Fprintf(ctx, "%d URLs are asked for; GET /status has the progress\n", len(urls))
	}
}
