package pool

import (
	"log/slog"
	"strconv"

	"github.com/valyala/fasthttp"

	"github.com/penstock-edge/penstock/edge"
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
	address, verb := cutLast(rest)
	weight := 0
	switch verb {
	case "drain", "undrain":
	case "weight":
		var err error
		weight, err = strconv.Atoi(string(ctx.QueryArgs().Peek("value")))
		if err != nil || weight < 0 || weight > maxWeight {
			ctx.Error("want /weight?value=N with a whole number from 0 to 65535\n", fasthttp.StatusBadRequest)
			return
		}
	default:
		ctx.Error("want /pools/{pool}/targets/{address}/drain, /undrain or /weight?value=N\n",
			fasthttp.StatusNotFound)
		return
	}
	var m *member
	if p := ps.find(name); p != nil {
		m = p.command(address, func(o *order, spec *targetSpec) {
			if verb == "weight" {
				o.weight.put(int32(weight), spec.weight)
			} else {
				o.drain.put(verb == "drain", spec.drain)
			}
		})
	}
	if m == nil {
		ctx.Error("no such pool or target; GET /status lists them\n", fasthttp.StatusNotFound)
		return
	}
	if verb == "weight" {
		slog.Info("weight set by the admin interface", "pool", name, "target", address, "weight", weight)
	} else {
		slog.Info("target "+verb+"ed by the admin interface", "pool", name, "target", address,
			"in_flight", m.inFlight.Load())
	}
	ctx.SetStatusCode(fasthttp.StatusNoContent)
}

// maxWeight is the greatest weight of a target.
const maxWeight = 65535

func cutLast(s string) (before, after string) {
	for i := len(s) - 1; i >= 0; i-- {
		if s[i] == '/' {
			return s[:i], s[i+1:]
		}
	}
	return s, ""
}

func (ps *pools) find(name string) *Pool {
	for _, p := range ps.list {
		if p.Name == name {
			return p
		}
	}
	return nil
}
