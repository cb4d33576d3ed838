// Package route finds the route of a request from its host, path, method, header and query. It is
// pure: no I/O, no clock, nothing but the standard library. A lookup allocates nothing.
package route

import (
	"cmp"
	"slices"
	"strings"
)

// Table is a compiled list of rules. It never changes; any number of goroutines may use it.
//
// The rules are tried in this order, and the first whose conditions all hold wins:
//
//  1. higher Priority;
//  2. exact host, then wildcard host (longest suffix first), then any host;
//  3. exact path; then patterns, more literal bytes first, of two with as many the one without a
//     catch-all and then the one with more expressions; then prefixes, the longest first;
//  4. more predicates: a list of methods counts as one, each header and query parameter as one;
//  5. the order of the list.
//
// A rule that lists GET takes HEAD too, unless a rule with the same host, path and priority that
// lists HEAD takes the request.
type Table struct {
	rules   []rule
	tiers   []tier
	methods []string // of each bit
}

// tier holds the rules of one priority; the tiers stand highest first.
type tier struct {
	exact   map[string]*site
	wild    map[string]*site // by suffix, with its leading dot
	longest int              // length of the longest suffix
	any     *site            // nil: none
}

// site holds the rules of one host in one tier.
type site struct {
	exact    map[string]*slot
	patterns *node // nil: none
	prefixes *stem // nil: none
}

// Bits of a rule's set of methods. The last stands for every method no rule lists.
const (
	getBit      = 1 << 0
	headBit     = 1 << 1
	otherMethod = 63
)

// NewTable compiles rules. All that is wrong with them comes at once, sorted by rule; the table is
// nil then. The rules must not change while the table is in use.
func NewTable(rules []Rule) (*Table, []RuleError) {
	c := compiler{exprs: expressions{}, methods: []string{"GET", "HEAD"}}
	t := &Table{rules: make([]rule, len(rules))}
	for i := range rules {
		t.rules[i] = c.rule(i, &rules[i])
	}
	t.methods = c.methods
	b := builder{table: t, broken: make([]bool, len(rules)), edges: map[edgeKey]*edge{}}
	for _, e := range c.errors {
		b.broken[e.Rule] = true
	}
	b.build()
	c.errors = append(c.errors, b.duplicates()...)
	if len(c.errors) > 0 {
		slices.SortStableFunc(c.errors, func(a, b RuleError) int { return cmp.Compare(a.Rule, b.Rule) })
		return nil, c.errors
	}
	return t, nil
}

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
			t.tiers = append(t.tiers, tier{exact: map[string]*site{}, wild: map[string]*site{}})
		}
		if b.broken[r.index] {
			continue
		}
		for _, host := range r.hosts {
			b.insert(t.tiers[len(t.tiers)-1].site(host), r)
		}
	}
	for i := range t.tiers {
		t.tiers[i].link()
	}
}

// site returns the site of a host, a new one if need be.
func (t *tier) site(host string) *site {
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

// Params returns the names of a rule's path parameters from left to right. They must not be
// changed.
func (t *Table) Params(rule int) []string { return t.rules[rule].names }

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
	var hosts []string
	first := map[string]int{}
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

// compareHosts puts exact hosts first, then wildcards by length, then any host.
func compareHosts(a, b string) int {
	return cmp.Or(cmp.Compare(hostLevel(a), hostLevel(b)), wildLength(b)-wildLength(a))
}

func hostLevel(h string) int {
	switch {
	case h == "":
		return 2
	case strings.HasPrefix(h, "."):
		return 1
	}
	return 0
}

func wildLength(h string) int {
	if hostLevel(h) == 1 {
		return len(h)
	}
	return 0
}
