// Package sim runs the gateway in a simulated world: its front, flow, features, pools, cache and limits as
// they are, on a network, a clock and a chance that repeat from a seed. Whatever happens is drawn by one
// scheduler, one thing at a time: some bytes arrive, a connection opens or is refused, an actor acts, or
// time passes.
//
// Its files have the build tag sim, with which the gateway asks the simulation instead of the machine. Time
// is that of a bubble of testing/synctest: whoever sleeps has it pass, and waits for nothing.
package sim
