// Package bucket counts what keys spend: GCRA, a sliding window, and how many are under way at once. The
// tables have a fixed size, take no lock and clean themselves. README.md has which to choose and what each
// promises.
package bucket

import (
	"time"

	"github.com/zeebo/xxh3"
)

// Key is a seeded hash of what is limited.
type Key [2]uint64

// HashKey returns the key of some bytes. The caller sees to it that other things are other bytes. An
// outsider who does not know the seed cannot choose two that share a key.
func HashKey(seed uint64, b []byte) Key {
	h := xxh3.Hash128Seed(b, seed)
	return Key{h.Hi, h.Lo}
}

// Result is what a limiter says of a key.
type Result struct {
	OK        bool
	Remaining int64         // what may be spent now, whole events; less than 0: the key is in debt
	Reset     time.Duration // until the key has spent nothing
	Retry     time.Duration // when not OK: until as much may be spent; less than 0: never
}
