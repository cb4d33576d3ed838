package route

import (
	"cmp"
	"slices"
)

// Order returns the rules in match order. Rules of one host stand together, hosts of one kind in
// the order in which the list names them; a rule with several hosts stands where the first of
// them in match order puts it.
func (t *Table) Order() []int {
	places := t.places()
	order := make([]int, len(t.rules))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int {
		a, b := &t.rules[i], &t.rules[j]
		return cmp.Or(
			cmp.Compare(b.priority, a.priority),
			cmp.Compare(places[i], places[j]),
			cmp.Compare(a.rank, b.rank))
	})
	return order
}

// places returns for each rule the place of the first of its hosts among all hosts.
func (t *Table) places() []int {
	var hosts []host
	first := map[host]int{}
	for i := range t.rules {
		for _, h := range t.rules[i].hosts {
			if _, ok := first[h]; !ok {
				first[h] = len(hosts)
				hosts = append(hosts, h)
			}
		}
	}
	slices.SortStableFunc(hosts, compareHosts)
	for i, h := range hosts {
		first[h] = i
	}
	places := make([]int, len(t.rules))
	for i := range t.rules {
		places[i] = len(hosts)
		for _, h := range t.rules[i].hosts {
			places[i] = min(places[i], first[h])
		}
	}
	return places
}

// compareHosts puts exact hosts first, then wildcards by length, then any host, and of two that are as
// exact the one with a port.
func compareHosts(a, b host) int {
	c := cmp.Compare(a.level(), b.level())
	if c == 0 && a.level() == hostWild {
		c = cmp.Compare(len(b.name), len(a.name))
	}
	return cmp.Or(c, cmp.Compare(min(b.port, 1), min(a.port, 1)))
}
