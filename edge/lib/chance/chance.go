//go:build !sim

// Package chance is the chance that the gateway takes: all of it, so that a simulation can repeat it.
package chance

import (
	crand "crypto/rand"
	"math/rand/v2"
	"time"
)

// Uint64 returns a number, each as likely.
func Uint64() uint64 { return rand.Uint64() }

// Uint32 returns a number, each as likely.
func Uint32() uint32 { return rand.Uint32() }

// Int64N returns a number from 0 to below n, which must be positive.
func Int64N(n int64) int64 { return rand.Int64N(n) }

// Duration returns one from 0 to below d, which must be positive.
func Duration(d time.Duration) time.Duration { return rand.N(d) }

// Read fills b with what nobody can guess.
func Read(b []byte) { _, _ = crand.Read(b) } // never fails

// Text returns what nobody can guess, of letters and digits, at least 128 bits of it.
func Text() string { return crand.Text() }
