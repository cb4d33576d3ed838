package balance

// random draws two members by weight and picks the one that carries less for its weight.
type random struct {
	wheel
}

func newRandom(g group) *random {
	return &random{wheel: newWheel(g)}
}

// Pick implements Policy.
func (r *random) Pick(_ uint64, avoid int) int {
	m := r.draw(avoid, nil)
	if m == nil {
		return -1
	}
	if rival := r.draw(avoid, m); rival != nil && rival.lighter(m) {
		m = rival
	}
	return indexOf(m)
}
