//go:build sim

package clock

import "time"

// Restart makes the present moment the zero of Now: a simulation begins.
func Restart() { base = time.Now() }
