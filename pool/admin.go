package pool

import (
	"log/slog"

	"github.com/valyala/fasthttp"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/pool/order"
)

// admin lends the endpoints that give orders for single targets.
func (ps *pools) admin(h *edge.Host) {
	h.Handle("POST", "/pools/{pool}/targets/{address:*}", ps.setState)
}

// setState serves …/drain, …/undrain and …/weight. The address is matched to the end since it may hold
// slashes.
func (ps *pools) setState(ctx *fasthttp.RequestCtx) {
	name, _ := ctx.UserValue("pool").(string)
	rest, _ := ctx.UserValue("address").(string)
	address, c, unknown, why := order.Parse(rest, ctx.URI().QueryString())
	switch {
	case unknown:
		ctx.Error(why, fasthttp.StatusNotFound)
		return
	case why != "":
		ctx.Error(why, fasthttp.StatusBadRequest)
		return
	}
	var m *member
	if p := ps.find(name); p != nil {
		m = p.command(address, c.Apply)
	}
	if m == nil {
		ctx.Error("no such pool or target; GET /status lists them\n", fasthttp.StatusNotFound)
		return
	}
	if c.Verb == "weight" {
		slog.Info("weight set by the admin interface", "pool", name, "target", address, "weight", c.Weight)
	} else {
		slog.Info("target "+c.Verb+"ed by the admin interface", "pool", name, "target", address,
			"in_flight", m.inFlight.Load())
	}
	ctx.SetStatusCode(fasthttp.StatusNoContent)
}

func (ps *pools) find(name string) *Pool {
	for _, p := range ps.list {
		if p.Name == name {
			return p
		}
	}
	return nil
}
