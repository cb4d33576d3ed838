package balance

import (
	"encoding/binary"
	"slices"
	"testing"
)

// FuzzPick reads a pool from bytes (four a target: weight in two, flags, in flight), picks with every
// policy and compares with the slow twin.
func FuzzPick(f *testing.F) {
	f.Fuzz(func(t *testing.T, in []byte, key, seed uint64, avoid int) {
		r := rigOf(in)
		for _, kind := range Kinds() {
			p := r.policy(t, kind, seed)
			for range 8 {
				got := p.Pick(key, avoid)
				if want := r.allowed(avoid); !slices.Contains(want, got) {
					t.Fatalf("%s picked %d, want one of %v", kind, got, want)
				}
				if got >= 0 {
					r.targets[got].InFlight.Add(1)
				}
			}
		}
	})
}

func rigOf(in []byte) *rig {
	r := newRig(equal(min(len(in)/4, 100))...)
	for i := range r.targets {
		b, target := in[4*i:], &r.targets[i]
		target.Weight = int32(binary.BigEndian.Uint16(b))
		target.Backup = b[2]&1 != 0
		target.State.Store(uint32(b[2] >> 1 & 3))
		target.InFlight.Store(int64(b[3]))
	}
	return r
}
