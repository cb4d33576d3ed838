package pool

import (
	"log/slog"
	"net/url"
	"strconv"

	"github.com/valyala/fasthttp"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/values"
	"github.com/penstock-edge/penstock/pool/order"
	"github.com/penstock-edge/penstock/pool/section"
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
	if plain, err := url.PathUnescape(rest); err == nil { // else a zone of IPv6 as the file has it
		rest = plain
	}
	address, verb := cutLast(rest)
	weight, why := 0, ""
	switch query := ctx.URI().QueryString(); verb {
	case "drain", "undrain":
		if len(query) > 0 {
			why = "/" + verb + " takes no arguments\n"
		}
	case "weight":
		var ok bool
		if weight, ok = readWeight(query); !ok {
			why = "want /weight?value=N with a whole number from 0 to 65535\n"
		}
	default:
		ctx.Error("want /pools/{pool}/targets/{address}/drain, /undrain or /weight?value=N\n",
			fasthttp.StatusNotFound)
		return
	}
	if why != "" {
		ctx.Error(why, fasthttp.StatusBadRequest)
		return
	}
	var m *member
	if p := ps.find(name); p != nil {
		m = p.command(address, func(o *order.Order, spec *section.Target) {
			if verb == "weight" {
				o.Weight.Put(int32(weight), spec.Weight)
			} else {
				o.Drain.Put(verb == "drain", spec.Drain)
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

// readWeight returns the one argument of a query, value.
func readWeight(query []byte) (weight int, ok bool) {
	args, err := values.Arguments(query)
	if err != nil || len(args) != 1 || args[0].Name != "value" {
		return 0, false
	}
	n, err := strconv.ParseUint(args[0].Value, 10, 16) // no sign, and no more than a target may have
	return int(n), err == nil
}

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
