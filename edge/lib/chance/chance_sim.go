//go:build sim

package chance

import (
	"math/rand/v2"
	"sync"
	"time"
)

var (
	mu  sync.Mutex // guards rng
	rng = rand.New(rand.NewPCG(0, 0))
)

// Seed makes all that follows repeat.
func Seed(seed uint64) {
	mu.Lock()
	defer mu.Unlock()
	rng = rand.New(rand.NewPCG(seed, 1))
}

// Uint64 returns a number, each as likely.
func Uint64() uint64 {
	mu.Lock()
	defer mu.Unlock()
	return rng.Uint64()
}

// Uint32 returns a number, each as likely.
func Uint32() uint32 { return uint32(Uint64() >> 32) }

// Int64N returns a number from 0 to below n, which must be positive.
func Int64N(n int64) int64 {
	mu.Lock()
	defer mu.Unlock()
	return rng.Int64N(n)
}

// Duration returns one from 0 to below d, which must be positive.
func Duration(d time.Duration) time.Duration { return time.Duration(Int64N(int64(d))) }

// Read fills b.
func Read(b []byte) {
	for i := range b {
		b[i] = byte(Uint64() >> 56)
	}
}

// Text returns letters and digits.
func Text() string {
	const of = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
	b := make([]byte, 26)
	for i := range b {
		b[i] = of[Int64N(int64(len(of)))]
	}
	return string(b)
}
