package pool

import (
	"log/slog"

	"github.com/valyala/fasthttp"

	"github.com/penstock-edge/penstock/edge"
)

// admin lends the endpoints that drain single targets.
func (ps *pools) admin(h *edge.Host) {
	h.Handle("POST", "/pools/{pool}/targets/{address:*}", ps.setState)
}

// setState serves …/drain and …/undrain. The address is matched to the end since it may hold slashes.
func (ps *pools) setState(ctx *fasthttp.RequestCtx) {
	pool, _ := ctx.UserValue("pool").(string)
	rest, _ := ctx.UserValue("address").(string)
	address, verb := cutLast(rest)
	if verb != "drain" && verb != "undrain" {
		ctx.Error("want /pools/{pool}/targets/{address}/drain or /undrain\n", fasthttp.StatusNotFound)
		return
	}
	m := ps.find(pool, address)
	if m == nil {
		ctx.Error("no such pool or target; GET /status lists them\n", fasthttp.StatusNotFound)
		return
	}
	m.pool.shared.mark(m.Target, isDrained, verb == "drain", verb+"ed by the admin interface")
	slog.Info("target "+verb+"ed by the admin interface", "pool", pool, "target", address,
		"in_flight", m.inFlight.Load())
	ctx.SetStatusCode(fasthttp.StatusNoContent)
}

func cutLast(s string) (before, after string) {
	for i := len(s) - 1; i >= 0; i-- {
		if s[i] == '/' {
			return s[:i], s[i+1:]
		}
	}
	return s, ""
}

func (ps *pools) find(pool, address string) *member {
	for _, p := range ps.list {
		for _, m := range p.set.Load().members {
			if p.Name == pool && m.Address == address {
				return m
			}
		}
	}
	return nil
}
