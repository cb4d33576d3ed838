package main

import (
	"github.com/penstock-edge/penstock/cache"
	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/answer"
	"github.com/penstock-edge/penstock/edge/bodylimit"
	"github.com/penstock-edge/penstock/edge/deadline"
	"github.com/penstock-edge/penstock/edge/forwarded"
	"github.com/penstock-edge/penstock/edge/front"
	"github.com/penstock-edge/penstock/edge/headers"
	"github.com/penstock-edge/penstock/edge/lib/metric"
	"github.com/penstock-edge/penstock/edge/mirror"
	"github.com/penstock-edge/penstock/edge/observe"
	"github.com/penstock-edge/penstock/edge/overload"
	"github.com/penstock-edge/penstock/edge/requestid"
	"github.com/penstock-edge/penstock/edge/rewrite"
	"github.com/penstock-edge/penstock/edge/split"
	"github.com/penstock-edge/penstock/pool"
	"github.com/penstock-edge/penstock/ratelimit"
)

// features is the ordered list of all features. The filters of one phase run in this order before the
// answer is there, and in the reverse order (Receive, Respond, Log) from then on. Instances close in
// reverse order.
//
// process is the part that belongs to the process itself. It has no filters.
func features(process edge.Feature, f *front.Front) []edge.Feature {
	return []edge.Feature{
		// [admin], the log's level, the file limit. First to start, so that a failure of the rest can be seen.
		process,
		// The client, and whether its claims are trusted: all that follow look at it.
		forwarded.Feature,
		// The last word on every answer, so above all that put fields into one; behind what tells the target of the
		// client, which a policy may correct. The request id stays the gateway's: it is sent below.
		headers.Feature,
		// Needs to know whom to trust; gives the name under which all others know the request.
		requestid.Feature,
		// High up, so that its Log filter comes nearly last and sees what the others made of the exchange.
		observe.Feature,
		// The sockets. It has no filters, so its place only decides that listeners begin to accept before the
		// pools' clean-up runs, and close after the pools.
		f.Feature(),
		// Offers the pools that routes, split and mirror name.
		pool.Feature,
		// How important the request is, and whether the gateway can take it: before anything that costs.
		overload.Feature,
		// Clients that ask too often: behind what tells clients apart, before anything that costs more.
		ratelimit.Feature,
		// How long there is: before anything that takes time.
		deadline.Feature,
		// The cheapest refusal first: by the announced length, before anything is rewritten or copied.
		bodylimit.Feature,
		// What the target will see. mirror copies the request as this leaves it.
		rewrite.Feature,
		// Behind what decides what the target will see: that is what is stored under a key.
		cache.Feature,
		// Answers in Admit, so before mirror, which would copy a request that nobody forwards.
		answer.Feature,
		// Chooses among pools.
		split.Feature,
		// Last: it copies what goes to the pool, exactly as it goes.
		mirror.Feature,
	}
}

// dryFeatures is the list for building without serving.
func dryFeatures() []edge.Feature {
	process := edge.Feature{Name: "process", New: func(h *edge.Host) *edge.Instance {
		adminKeys(h)
		return nil
	}}
	return features(process, front.New(&edge.Current{}, metric.NewRegistry().Scope(), nil, 0))
}
