//go:build sim

package sim

import (
	"hash/fnv"
	"math/rand/v2"
	"time"
)

// draws is what chance says to one of those who ask it. What was drawn is kept: it is the script of a run, which can be
// played again, and made shorter. 0 is always the plainest choice, and what is drawn behind the end of a script.
type draws struct {
	rng   *rand.Rand // nil: a script is played
	tape  []uint32
	drawn []uint32
}

// script is what all have drawn in a run, by their names.
type script map[string][]uint32

// drawsOf returns the draws of somebody of that name.
func (w *world) drawsOf(name string) *draws {
	if d := w.streams[name]; d != nil {
		return d
	}
	d := &draws{}
	if w.play != nil {
		d.tape = w.play[name]
	} else {
		h := fnv.New64a()
		h.Write([]byte(name))
		d.rng = rand.New(rand.NewPCG(w.seed, h.Sum64()))
	}
	w.streams[name] = d
	return d
}

// n draws from 0 to below of, which must be positive.
func (d *draws) n(of int) int {
	var v uint32
	switch at := len(d.drawn); {
	case d.rng != nil:
		v = d.rng.Uint32N(uint32(of))
	case at < len(d.tape):
		v = d.tape[at] % uint32(of)
	}
	d.drawn = append(d.drawn, v)
	return int(v)
}

// one reports true once in so many times.
func (d *draws) one(in int) bool { return d.n(in) == in-1 }

// size draws from 1 to most, large ones and small ones alike; most is the plainest.
func (d *draws) size(most int) int {
	if most <= 1 || !d.one(2) {
		return max(most, 1)
	}
	bits := 0
	for most>>bits > 1 {
		bits++
	}
	return max(1, min(most, 1+d.n(1<<(1+d.n(bits)))))
}

// wait draws a time below most, short ones and long ones alike.
func (d *draws) wait(most time.Duration) time.Duration {
	bits := 0
	for most>>bits > 1 {
		bits++
	}
	bits = d.n(bits)
	return min(most, time.Duration(d.n(1<<min(bits, 30)))<<max(bits-30, 0))
}
