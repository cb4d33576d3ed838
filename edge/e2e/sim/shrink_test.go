//go:build sim

package sim

import (
	"maps"
	"slices"
	"time"
)

// shrink returns the script of the shortest trace that it finds of those that break what s breaks, and how many it has
// tried. breaks plays a script and returns what was drawn then, nil when nothing was broken, or something else; and how
// long the trace is.
func shrink(s script, length int, until time.Time, breaks func(script) (script, int)) (best script, tries int) {
	best = trimmed(s)
	try := func(name string, tape []uint32) bool {
		if time.Now().After(until) {
			return false
		}
		next := maps.Clone(best)
		next[name] = tape
		tries++
		drawn, n := breaks(next)
		if drawn == nil || n > length {
			return false
		}
		if drawn = trimmed(drawn); n == length && drawn.size() >= best.size() {
			return false
		}
		best, length = drawn, n
		return true
	}
	for before := -1; best.size() != before && time.Now().Before(until); {
		before = best.size()
		for _, name := range slices.Sorted(maps.Keys(best)) {
			if try(name, nil) {
				continue
			}
			for chunk := len(best[name]) / 2; chunk >= max(1, len(best[name])/200); chunk /= 2 {
				for at := 0; at < len(best[name]); {
					tape := best[name]
					end := min(at+chunk, len(tape))
					without := slices.Concat(tape[:at], tape[end:])
					zeros := slices.Clone(tape)
					clear(zeros[at:end])
					if !try(name, without) && !try(name, zeros) {
						at = end
					}
				}
			}
		}
	}
	return best, tries
}

// size weighs a script: what is drawn counts, and that which is not the plainest choice counts more.
func (s script) size() (n int) {
	for _, tape := range s {
		for _, v := range tape {
			n++
			if v != 0 {
				n += 2
			}
		}
	}
	return n
}

// trimmed returns s without what is drawn anyway.
func trimmed(s script) script {
	next := make(script)
	for name, tape := range s {
		for len(tape) > 0 && tape[len(tape)-1] == 0 {
			tape = tape[:len(tape)-1]
		}
		if len(tape) > 0 {
			next[name] = tape
		}
	}
	return next
}
