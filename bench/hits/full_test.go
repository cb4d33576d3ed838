package hits

import (
	"testing"

	"github.com/penstock-edge/penstock/bench/duel"
)

// Ratios are those of the full one to the other, over the pairs that count.
func TestJudge(t *testing.T) {
	f := func(hot, full []duel.Sample, p50 float64, pairs, dropped int, untrusted bool) {
		t.Helper()
		var p Phase
		p.judge(hot, full)
		if p.P50.Median != p50 || p.Pairs != pairs || p.Dropped != dropped || p.Untrusted != untrusted {
			t.Errorf("%v and %v: p50 %g, %d pairs, %d dropped, untrusted %v; want %g, %d, %d, %v", hot, full,
				p.P50.Median, p.Pairs, p.Dropped, p.Untrusted, p50, pairs, dropped, untrusted)
		}
	}
	s := func(p50 float64) duel.Sample { return duel.Sample{P50: p50, P99: p50, CPU: p50} }
	stolen, late := s(1), s(1)
	stolen.Steal, late.Late = .5, .5
	f([]duel.Sample{s(1), s(1), s(1)}, []duel.Sample{s(1), s(1), s(1)}, 1, 3, 0, false)
	f([]duel.Sample{s(1), s(1), s(1)}, []duel.Sample{s(4), s(1), s(4)}, 4, 3, 0, false)
	f([]duel.Sample{s(4), s(4), s(4), stolen}, []duel.Sample{s(1), s(1), s(1), s(8)}, .25, 3, 1, false)
	f([]duel.Sample{s(4), s(4), s(4), s(4)}, []duel.Sample{s(1), s(1), s(1), late}, .25, 3, 1, false)
	f([]duel.Sample{stolen, stolen, stolen}, []duel.Sample{s(4), s(4), s(4)}, 4, 0, 3, true)
	f([]duel.Sample{s(1)}, []duel.Sample{s(1)}, 1, 1, 0, true)
}
