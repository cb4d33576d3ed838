package balance

import (
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
)

func TestRoundRobinOrder(t *testing.T) {
	f := func(r *rig, seed uint64, want string) {
		t.Helper()
		p := r.policy(t, roundRobinKind, seed)
		got := ""
		for range want {
			got += string(rune('a' + p.Pick(0, -1)))
		}
		if got != want {
			t.Fatalf("got %s, want %s", got, want)
		}
	}
	f(newRig(1, 1, 1), 0, "abcabc")
	f(newRig(1, 1, 1), 2, "cabcab")
	f(newRig(5, 1, 1), 0, "aabacaaaabacaa")
	f(newRig(50, 10, 10), 0, "aabacaaaabacaa")
	f(newRig(1, 1, 1).down(1), 0, "acacac") // not a c c a c c
	f(newRig(1, 1, 1, 1, 1).down(1, 2), 0, "adeade")
	f(newRig(5, 1, 1).down(0), 0, "bcbcbc")
	f(newRig(1, 1, 1, 1).backup(0, 2), 0, "bdbdbd")
}

// Whatever is down, the picks are the smooth order without it.
func TestRoundRobinTwin(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	for range 100 {
		r := newRig(equal(1 + rng.IntN(20))...)
		weights := make([]int64, len(r.targets))
		for i := range r.targets {
			r.targets[i].Weight = 1 + rng.Int32N(4)
			r.targets[i].State.Store(uint32(rng.IntN(2)))
			weights[i] = int64(r.targets[i].Weight)
		}
		weights, _ = reduce(weights)
		usable := slices.DeleteFunc(slowTurns(weights), func(i uint16) bool {
			return r.targets[i].State.Load() != 0
		})
		p := r.policy(t, roundRobinKind, 0)
		for n := range 3 * len(usable) {
			if got, want := p.Pick(0, -1), int(usable[n%len(usable)]); got != want {
				t.Fatalf("pick %d is %d, want %d", n, got, want)
			}
		}
	}
}

func TestRoundRobinExactUnderConcurrency(t *testing.T) {
	r := newRig(7, 1, 2, 5)
	p := r.policy(t, roundRobinKind, 3)
	counts := make([][4]int, 8)
	var wg sync.WaitGroup
	for g := range counts {
		wg.Go(func() {
			for range 15 * 100 {
				counts[g][p.Pick(0, -1)]++
			}
		})
	}
	wg.Wait()
	var sum [4]int
	for _, c := range counts {
		for i, n := range c {
			sum[i] += n
		}
	}
	if want := [4]int{7 * 800, 800, 2 * 800, 5 * 800}; sum != want {
		t.Fatalf("got %v, want %v", sum, want)
	}
}

// A run of unusable targets must not make whoever stands behind it busier than the rest.
func TestRoundRobinSharesRun(t *testing.T) {
	f := func(n, down int) {
		t.Helper()
		r := newRig(equal(n)...)
		for i := range down {
			r.targets[i].State.Store(1)
		}
		usable := n - down
		counts := r.counts(r.policy(t, roundRobinKind, 0), 1000*usable)
		if i := slices.Max(counts); i > 1150 {
			t.Fatalf("%d of %d usable: one got %d turns, a fair share is 1000", usable, n, i)
		}
		if i := slices.Min(counts[down:]); i < 850 {
			t.Fatalf("%d of %d usable: one got %d turns, a fair share is 1000", usable, n, i)
		}
	}
	f(100, 50)
	f(255, 254)
	f(300, 20)
	f(1000, 500)
	f(1000, 990)
	f(1000, 999)
}

func TestRoundRobinSharesFewByWeight(t *testing.T) {
	r := newRig(equal(600)...)
	for i := range 597 {
		r.targets[i].State.Store(1)
	}
	r.targets[598].Weight = 2
	r.targets[599].Weight = 5
	got := r.counts(r.policy(t, roundRobinKind, 0), 8000)[597:]
	for i, want := range []int{1000, 2000, 5000} {
		if got[i] < want*85/100 || got[i] > want*115/100 {
			t.Fatalf("got %v of 8000 by weights 1, 2, 5", got)
		}
	}
}

// A Pick that gave up on a long run takes it off the way of those to come.
func TestRoundRobinConsumesLongRun(t *testing.T) {
	r := newRig(equal(1000)...)
	for i := range 999 {
		r.targets[i].State.Store(1)
	}
	w := newRoundRobin(newGroup(r.targets, everyone, 0), 0)
	w.nextMember(-1)
	if got := w.next.Load(); got != maxSkips {
		t.Fatalf("%d turns consumed, want %d", got, maxSkips)
	}
}
