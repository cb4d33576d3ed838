// Package balance chooses one of a pool's targets for a request.
//
// A Policy is built once from a list of targets and never changes; the only things it reads that do
// change are the atomics the pool owns (in flight, state). Pick takes no lock and allocates nothing, and any
// number of goroutines may call it. README.md helps to choose a policy.
package balance

import (
	"cmp"
	"errors"
	"fmt"
	"math/bits"
	"strings"
	"sync/atomic"

	"github.com/zeebo/xxh3"

	"github.com/penstock-edge/penstock/edge/lib/chance"
)

// Bounds of what New takes. They keep every product of a weight and a count within 64 bits and every
// index within 16.
const (
	MaxTargets = 65_535
	MaxWeight  = 65_535
)

// Target is what a policy needs to know of an upstream target. The pool owns the atomics, keeps them
// as long as it keeps the policy, and should pad InFlight to a cache line of its own.
type Target struct {
	Name     string         // identity for consistent_hash, which wants it unique; others ignore it
	Weight   int32          // 0 to MaxWeight; 0: never picked
	Backup   bool           // true: only for when no other target can be picked
	InFlight *atomic.Int64  // requests running now, without the one being picked
	State    *atomic.Uint32 // 0: usable; anything else: never picked
	Local    bool           // in the gateway's own zone
	Latency  *Latency       // of its answers, for ewma; nil: not known
	// Ramp is the share of its picks that a target takes in its slow start, of 65536; 0, or nil: all.
	Ramp *atomic.Uint32
}

// Policy chooses a target. Pick returns its index in the list that New was given, or -1 when none is
// usable. key decides under consistent_hash (see HashKey); other policies ignore it. avoid is an index
// to leave out as long as any other target, a backup included, is usable: a retry passes the target
// that has just failed. -1 avoids nothing.
type Policy interface {
	Pick(key uint64, avoid int) int
}

// New builds the policy called kind, one of Kinds. The seed turns hash tables and the place where a
// round starts: gateways that must send one key to one target share it. Seed 0 starts the round at
// the first target. The error names the first target that is wrong, or the kind.
func New(kind string, targets []Target, seed uint64) (*Chooser, error) {
	build := builder(kind)
	if build == nil {
		return nil, fmt.Errorf("unknown balance %q: want one of %s", kind, strings.Join(Kinds(), ", "))
	}
	if len(targets) > MaxTargets {
		return nil, fmt.Errorf("%d targets are too many to balance: at most %d", len(targets), MaxTargets)
	}
	for i := range targets {
		if err := targets[i].validate(); err != nil {
			return nil, fmt.Errorf("cannot balance over target %d (%q): %w", i, targets[i].Name, err)
		}
	}
	if kind == consistentHashKind {
		if err := checkUnique(targets); err != nil {
			return nil, err
		}
	}
	return newChooser(targets, seed, build), nil
}

// Kinds lists the names that New takes, in the order of the documentation.
func Kinds() []string {
	return []string{roundRobinKind, leastConnectionsKind, consistentHashKind, ewmaKind, randomKind}
}

// HashKey turns the bytes a request is balanced by into a key for Pick. It is fast and seeded, not
// cryptographic: whoever knows the seed can aim at a target.
func HashKey(seed uint64, b []byte) uint64 {
	return xxh3.HashSeed(b, seed)
}

const (
	roundRobinKind       = "round_robin"
	leastConnectionsKind = "least_connections"
	consistentHashKind   = "consistent_hash"
	ewmaKind             = "ewma"
	randomKind           = "random"
)

// builder returns the constructor of a kind, nil if there is no such kind.
func builder(kind string) func(group, uint64) Policy {
	switch kind {
	case roundRobinKind:
		return func(g group, seed uint64) Policy { return newRoundRobin(g, seed) }
	case leastConnectionsKind:
		return func(g group, seed uint64) Policy { return newLeastConnections(g, seed) }
	case consistentHashKind:
		return func(g group, _ uint64) Policy { return newConsistentHash(g) }
	case ewmaKind:
		return func(g group, _ uint64) Policy { return newEWMA(g) }
	case randomKind:
		return func(g group, _ uint64) Policy { return newRandom(g) }
	}
	return nil
}

func (t *Target) validate() error {
	switch {
	case t.Weight < 0 || t.Weight > MaxWeight:
		return fmt.Errorf("weight %d is not within 0 to %d", t.Weight, MaxWeight)
	case t.InFlight == nil:
		return errors.New("its InFlight is nil")
	case t.State == nil:
		return errors.New("its State is nil")
	}
	return nil
}

// checkUnique refuses two targets of one name: they would want the same places in the hash table.
func checkUnique(targets []Target) error {
	seen := make(map[string]int, len(targets))
	for i := range targets {
		if first, ok := seen[targets[i].Name]; ok {
			return fmt.Errorf("cannot hash over targets %d and %d: both are named %q",
				first, i, targets[i].Name)
		}
		seen[targets[i].Name] = i
	}
	return nil
}

// Chooser is a policy over all targets of a pool: those of the own zone first, then all ordinary ones, then
// the backups. A target in its slow start takes a part of its picks only.
type Chooser struct {
	zone     Policy           // over the ordinary targets of the own zone; nil: there is no choice of zones
	levels   []Policy         // 0 to 2, none over an empty group
	states   []*atomic.Uint32 // by index, for the avoided target, which is the last resort; nil: of weight 0
	ramps    []*atomic.Uint32 // by index
	backups  []bool           // by index
	hashed   bool             // the key decides
	bounds   []bounded        // by index; nil: loads are not bounded
	spilling atomic.Bool
}

func newChooser(targets []Target, seed uint64, build func(group, uint64) Policy) *Chooser {
	n := len(targets)
	c := &Chooser{states: make([]*atomic.Uint32, n), ramps: make([]*atomic.Uint32, n), backups: make([]bool, n)}
	warm := new(atomic.Uint32)
	for i := range targets {
		t := &targets[i]
		c.ramps[i], c.backups[i] = cmp.Or(t.Ramp, warm), t.Backup
		if t.Weight > 0 {
			c.states[i] = t.State
		}
	}
	ordinary := func(t *Target) bool { return !t.Backup }
	backup := func(t *Target) bool { return t.Backup }
	local := func(t *Target) bool { return t.Local && !t.Backup }
	all := newGroup(targets, ordinary, seed)
	if g := newGroup(targets, local, seed); len(g) > 0 && len(g) < len(all) {
		c.zone = build(g, seed)
	}
	for _, g := range []group{all, newGroup(targets, backup, seed)} {
		if len(g) > 0 {
			c.levels = append(c.levels, build(g, seed))
		}
	}
	for _, level := range c.levels {
		if h, ok := level.(*consistentHash); ok {
			c.hashed = true
			if c.bounds == nil {
				c.bounds = make([]bounded, n)
			}
			for i := range h.group {
				c.bounds[h.group[i].index] = bounded{h, &h.group[i]}
			}
		}
	}
	return c
}

// bounded is a target and the policy that bounds its load.
type bounded struct {
	by *consistentHash
	m  *member
}

// AtBound reports whether the target i carries as much as consistent_hash lets it: a key that is not bound
// to i goes elsewhere. It is false under the other policies.
func (c *Chooser) AtBound(i int) bool {
	return c.bounds != nil && !c.bounds[i].by.hasRoom(c.bounds[i].m)
}

// Spill reports whether requests go to all zones alike: the own one has too few usable targets.
func (c *Chooser) Spill(on bool) { c.spilling.Store(on) }

// maxRamps is how often a pick is repeated that fell on a target which takes a part of its picks only.
const maxRamps = 3

// Pick implements Policy.
func (c *Chooser) Pick(key uint64, avoid int) int {
	i := c.pick(key, avoid)
	if i < 0 || c.ramps[i].Load() == 0 || i == avoid {
		return i
	}
	return c.ramped(i, key, avoid)
}

// ramped lets the pick i stand with the chance of its share, and else looks for another, which is no backup
// unless i is one.
func (c *Chooser) ramped(i int, key uint64, avoid int) int {
	for range maxRamps {
		share := c.ramps[i].Load()
		random := chance.Uint64()
		if c.hashed { // each key moves once, and stays as the share grows
			random = mix(key ^ uint64(i))
		}
		if share == 0 || random>>48 < uint64(share) {
			return i
		}
		next := c.pick(key, i)
		if next < 0 || next == i || next == avoid || c.backups[next] != c.backups[i] {
			return i
		}
		i = next
	}
	return i
}

func (c *Chooser) pick(key uint64, avoid int) int {
	if c.zone != nil && !c.spilling.Load() {
		if i := c.zone.Pick(key, avoid); i >= 0 {
			return i
		}
	}
	for _, level := range c.levels {
		if i := level.Pick(key, avoid); i >= 0 {
			return i
		}
	}
	if avoid >= 0 && avoid < len(c.states) && c.states[avoid] != nil && c.states[avoid].Load() == 0 {
		return avoid
	}
	return -1
}

// mix spreads every bit of x over the whole word (the finalizer of splitmix64).
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// below maps a uniform x onto 0 to n-1.
func below(x uint64, n int) int {
	hi, _ := bits.Mul64(x, uint64(n))
	return int(hi)
}
