// Package route finds the route of a request from its host, path, method, header and query. It is
// pure: no I/O, no clock, nothing but the standard library. A lookup allocates nothing.
package route

import (
	"cmp"
	"slices"
)

// Table is a compiled list of rules. It never changes; any number of goroutines may use it.
//
// The rules are tried in this order, and the first whose conditions all hold wins:
//
//  1. higher Priority;
//  2. exact host, then wildcard host (longest suffix first), then any host, of each the one with a port
//     before the one without;
//  3. exact path; then patterns, more literal bytes first, of two with as many the one without a
//     catch-all and then the one with more expressions; then prefixes, the longest first;
//  4. more predicates: methods, listeners and schemes count as one each, and so does each header and
//     query parameter;
//  5. the order of the list.
//
// A rule that lists GET takes HEAD too, unless a rule with the same host, path and priority that
// lists HEAD takes the request.
type Table struct {
	rules   []rule
	tiers   []tier
	methods []string // of each bit

	listeners []string // of each bit
	ported    bool     // some rule names a port
}

// tier holds the rules of one priority; the tiers stand highest first.
type tier struct {
	hosts
	ports map[int]*hosts // of the rules that name a port
}

// hosts holds the rules of a tier that name no port, or one port.
type hosts struct {
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
	t.methods, t.listeners = c.methods, c.listeners
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

// Params returns the names of a rule's path parameters from left to right. They must not be
// changed.
func (t *Table) Params(rule int) []string { return t.rules[rule].names }
