// Package split spreads the requests of one route over several pools by weight.
package split

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/zeebo/xxh3"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/config"
	"github.com/penstock-edge/penstock/edge/lib/cookie"
	"github.com/penstock-edge/penstock/edge/lib/header"
)

// Feature makes the route keys split and sticky work. In the list it stands behind the pools.
var Feature = edge.Feature{Name: "split", Answers: []string{"split"}, New: build}

// keys are those of a [[route]].
type keys struct {
	Split []armKeys `toml:"split" unset:"none"` // pools that share the requests of the route
	// "cookie:NAME", "ip" or "header:NAME": a client stays with its pool; none: each request anew.
	Sticky string `toml:"sticky" unset:"none"`

	Table *config.Table `toml:"-"`
}

type armKeys struct {
	Pool   string `toml:"pool" unset:"this or redirect"`            // the pool that answers
	Weight int    `toml:"weight" default:"1" min:"0" max:"1000000"` // share of the requests

	Table *config.Table `toml:"-"`
}

// hasOwn reports whether the entry has keys of other features.
func (a armKeys) hasOwn() bool { return a.Table.Has("redirect") || a.Table.Has("headers_policy") }

// maxArms: an arm's number is kept in one byte.
const maxArms = 256

func build(h *edge.Host) *edge.Instance {
	// Routes share the slot: an exchange has one route.
	slot := h.Slot()
	return &edge.Instance{Route: func(r *edge.RouteSetup) { setUp(h, r, slot) }}
}

func setUp(h *edge.Host, r *edge.RouteSetup, slot int) {
	if r.Unrouted {
		return
	}
	var k keys
	r.Table.Decode(&k)
	if !r.Table.Has("split") {
		if r.Table.Has("sticky") {
			r.Table.Errorf("sticky", "means nothing without split")
		}
		return
	}
	r.Answers("split")
	up := &splitter{slot: slot, seed: xxh3.HashString(r.Name), arms: k.arms(h, r)}
	k.sticky(up)
	if k.Sticky != "" {
		r.Note("sticky", k.Sticky)
	}
	r.Plan.Upstream = up
	if slices.ContainsFunc(k.Split, armKeys.hasOwn) {
		r.Add(edge.Access, &choose{up})
	}
	if up.by == byCookie {
		if cookie.IsLikely(string(up.name)) {
			k.Table.Warnf("sticky", "%s is what applications call their session: one that sets it itself keeps it, "+
				"and its clients are not held to a pool", up.name)
		}
		r.Add(edge.Respond, &setCookie{up, h.Metrics.Counter("penstock_split_cookie_conflicts_total",
			"Answers that set the cookie of a split themselves: the client got theirs.", "route", r.Name)})
		r.Add(edge.Log, &forget{slot})
	}
}

// arms returns the pools with their shares; what is wrong is recorded.
func (k *keys) arms(h *edge.Host, r *edge.RouteSetup) []arm {
	total, seen := 0, map[string]bool{}
	for i := range k.Split {
		total += k.Split[i].Weight
	}
	if total == 0 || len(k.Split) > maxArms {
		k.Table.Errorf("split", "needs 1 to %d pools, and one weight at least that is not 0", maxArms)
		return nil
	}
	arms, sum := make([]arm, 0, len(k.Split)), 0
	for i := range k.Split {
		a := &k.Split[i]
		var pool edge.Upstream // nil: a redirect
		switch redirects := a.Table.Has("redirect"); {
		case redirects && a.Table.Has("pool"):
			a.Table.Errorf("redirect", "an entry has either a pool or a redirect")
		case redirects:
			r.Note("split", "redirect "+share(a.Weight, total))
		case a.Pool == "":
			if !a.Table.Has("pool") {
				a.Table.Errorf("pool", "is required, or a redirect")
			} else {
				h.Upstream(a.Table, "pool", a.Pool)
			}
			continue
		default:
			if seen[a.Pool] {
				a.Table.Errorf("pool", "%q is in this split already", a.Pool)
			}
			seen[a.Pool] = true
			pool = h.Upstream(a.Table, "pool", a.Pool)
			r.Note("split", a.Pool+" "+share(a.Weight, total))
		}
		if a.Weight == 0 {
			continue
		}
		sum += a.Weight
		end := uint64(math.MaxUint64)
		if sum < total {
			end = threshold(sum, total)
		}
		arms = append(arms, arm{pool, end, i + 1})
	}
	return arms
}

// share is the part of the requests that goes to an arm, for people.
func share(weight, total int) string {
	return strconv.FormatFloat(100*float64(weight)/float64(total), 'g', 4, 64) + "%"
}

// sticky reads the key into up.
func (k *keys) sticky(up *splitter) {
	kind, name, named := strings.Cut(k.Sticky, ":")
	switch {
	case k.Sticky == "":
	case k.Sticky == "ip":
		up.by = byIP
	case kind == "header" && header.IsToken(name):
		up.by, up.field = byHeader, name
	case kind == "cookie" && header.IsToken(name):
		up.by, up.name = byCookie, []byte(name)
	case named && (kind == "header" || kind == "cookie"):
		k.Table.Errorf("sticky", "%q is not the name of a %s", name, kind)
	default:
		k.Table.Errorf("sticky", `must be "ip", "cookie:NAME" or "header:NAME", is %q`, k.Sticky)
	}
}
