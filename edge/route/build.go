package route

import "slices"

// builder fills the tiers of a table.
type builder struct {
	table  *Table
	broken []bool // rules with errors: left out
	edges  map[edgeKey]*edge
	shared []*slot // slots with more than one rule: where duplicates can be
}

func (b *builder) build() {
	t := b.table
	order := make([]*rule, len(t.rules))
	for i := range t.rules {
		order[i] = &t.rules[i]
	}
	slices.SortFunc(order, compareRules)
	for rank, r := range order {
		r.rank = int32(rank)
		if rank == 0 || order[rank-1].priority != r.priority {
			t.tiers = append(t.tiers, tier{hosts: *newHosts(), ports: map[int]*hosts{}})
		}
		if b.broken[r.index] {
			continue
		}
		for _, h := range r.hosts {
			t.ported = t.ported || h.port != 0
			b.insert(t.tiers[len(t.tiers)-1].of(h.port).site(h.name), r)
		}
	}
	for i := range t.tiers {
		t.tiers[i].link()
	}
}

func newHosts() *hosts { return &hosts{exact: map[string]*site{}, wild: map[string]*site{}} }

// of returns the hosts with a port, new ones if need be.
func (t *tier) of(port int) *hosts {
	if port == 0 {
		return &t.hosts
	}
	if t.ports[port] == nil {
		t.ports[port] = newHosts()
	}
	return t.ports[port]
}

// site returns the site of a host, a new one if need be.
func (t *hosts) site(host string) *site {
	where := t.exact
	switch {
	case host == "":
		if t.any == nil {
			t.any = &site{}
		}
		return t.any
	case host[0] == '.':
		where = t.wild
		t.longest = max(t.longest, len(host))
	}
	s := where[host]
	if s == nil {
		s = &site{}
		where[host] = s
	}
	return s
}

func (t *tier) link() {
	t.hosts.link()
	for _, h := range t.ports {
		h.link()
	}
}

func (t *hosts) link() {
	link := func(s *site) {
		if s != nil && s.prefixes != nil {
			s.prefixes.link(nil)
		}
	}
	link(t.any)
	for _, s := range t.exact {
		link(s)
	}
	for _, s := range t.wild {
		link(s)
	}
}

func (b *builder) insert(s *site, r *rule) {
	switch r.class {
	case exactPath:
		if s.exact == nil {
			s.exact = map[string]*slot{}
		}
		sl := s.exact[r.path]
		b.add(&sl, r)
		s.exact[r.path] = sl
	case prefixPath:
		if s.prefixes == nil {
			s.prefixes = &stem{}
		}
		b.add(s.prefixes.place(r.path), r)
	case patternPath:
		if s.patterns == nil {
			s.patterns = &node{min: r.rank}
		}
		b.grow(s.patterns, r.pattern.segments, r)
		if r.pattern.optional {
			b.grow(s.patterns, r.pattern.short(), r)
		}
	}
}

// grow puts a rule at the end of its segments.
func (b *builder) grow(n *node, segments []segment, r *rule) {
	for i := range segments {
		if segments[i].kind == tailSegment {
			b.add(&n.catch, r)
			return
		}
		n = n.step(&segments[i], r.rank, b.edges)
	}
	b.add(&n.leaf, r)
}

func (b *builder) add(at **slot, r *rule) {
	if *at == nil {
		*at = &slot{}
	}
	(*at).add(int32(r.index), r)
	if len((*at).rules) == 2 {
		b.shared = append(b.shared, *at)
	}
}

// duplicates finds the rules that take the same requests as another one with the same priority.
func (b *builder) duplicates() (errs []RuleError) {
	reported := map[int32]bool{}
	for _, s := range b.shared {
		seen := map[string]int32{}
		for _, i := range s.rules {
			r := &b.table.rules[i]
			id := r.identity()
			first, ok := seen[id]
			switch {
			case !ok:
				seen[id] = i
			case !reported[i]:
				reported[i] = true
				errs = append(errs, r.duplicate(&b.table.rules[first]))
			}
		}
	}
	return errs
}

func (r *rule) duplicate(first *rule) RuleError {
	key := "path"
	if r.class == prefixPath {
		key = "prefix"
	}
	return RuleError{r.index, key, "same hosts, path, methods and conditions as route " + quote(first.name)}
}
