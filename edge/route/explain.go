package route

import (
	"bytes"
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// Candidate is a rule that could have taken a request.
type Candidate struct {
	Rule int
	Lost string // why it did not; empty: it did
}

// maxLost bounds the losers that Explain names.
const maxLost = 12

// How near to taking a request a rule came.
const (
	far = iota
	hostDiffers
	pathDiffers
	methodDiffers
	predicateFails
	laterInOrder
)

// Explain returns the rules that nearly took the request, the nearest first, each with what kept
// it from it, and at last the one that did, if any did. It looks at every rule and is not for the
// hot path.
func (t *Table) Explain(k *Key) []Candidate {
	if len(k.Path) == 0 || k.Path[0] != '/' {
		return nil // not canonical: nothing takes it
	}
	var m Match
	t.Lookup(k, &m)
	type loser struct {
		Candidate
		near int
		rank int32
	}
	var losers []loser
	for i := range t.rules {
		if i == m.Rule {
			continue
		}
		if near, why := t.lost(&t.rules[i], k, &m); near != far {
			losers = append(losers, loser{Candidate{i, why}, near, t.rules[i].rank})
		}
	}
	slices.SortFunc(losers, func(a, b loser) int {
		return cmp.Or(cmp.Compare(b.near, a.near), cmp.Compare(a.rank, b.rank))
	})
	var out []Candidate
	for _, l := range losers[:min(len(losers), maxLost)] {
		out = append(out, l.Candidate)
	}
	if m.Rule >= 0 {
		out = append(out, Candidate{Rule: m.Rule})
	}
	return out
}

// lost describes how near a rule came that m did not choose.
func (t *Table) lost(r *rule, k *Key, m *Match) (near int, why string) {
	asked := host{string(k.Host), PortOf(k.Authority, k.Scheme)}
	taken := slices.ContainsFunc(r.hosts, func(h host) bool { return h.takes(asked) })
	if !r.takes(k.Path) {
		if why = r.nearPath(k.Path); why == "" || !taken {
			return far, ""
		}
		return pathDiffers, why
	}
	if !taken {
		return hostDiffers, r.otherHost(asked)
	}
	if r.methods&t.methodBit(k.Method) == 0 {
		return methodDiffers, "method " + string(k.Method) + " is not among " + strings.Join(r.listed, ", ")
	}
	if why = t.arrivesElsewhere(r, k); why != "" {
		return predicateFails, why
	}
	for i := range r.predicates {
		if p := &r.predicates[i]; !p.holds(k, m) {
			return predicateFails, p.why(k)
		}
	}
	if m.Rule < 0 {
		panic("BUG: no rule won, but one takes the request")
	}
	winner := &t.rules[m.Rule]
	if r.viaGet && string(k.Method) == "HEAD" && r.rank < winner.rank && winner.priority == r.priority {
		return laterInOrder, "route " + quote(winner.name) + " lists HEAD, this one takes it only beside GET"
	}
	return laterInOrder, "route " + quote(winner.name) + " comes first: " + comesFirst(winner, r, asked)
}

// otherHost describes that no host of the rule takes the one asked for.
func (r *rule) otherHost(asked host) string {
	names := make([]string, len(r.hosts))
	for i, h := range r.hosts {
		names[i] = h.String()
		if h.takes(host{asked.name, h.port}) {
			return "port " + strconv.Itoa(asked.port) + " is not that of " + names[i]
		}
	}
	return "host " + quote(asked.name) + " is not among " + strings.Join(names, ", ")
}

// arrivesElsewhere returns why the way a request came in is not one of the rule's; empty: it is.
func (t *Table) arrivesElsewhere(r *rule, k *Key) string {
	switch {
	case r.scheme != "" && r.scheme != k.Scheme:
		return "the scheme is " + k.Scheme + ", not " + r.scheme
	case r.listeners != 0 && r.listeners&t.listenerBit(k.Listener) == 0:
		var names []string
		for i, name := range t.listeners {
			if r.listeners&(1<<i) != 0 {
				names = append(names, name)
			}
		}
		return "listener " + quote(k.Listener) + " is not among " + strings.Join(names, ", ")
	}
	return ""
}

// comesFirst returns why a stands before b in the natural order, where both take a request for a host.
func comesFirst(a, b *rule, asked host) string {
	x, y := a.bestHost(asked), b.bestHost(asked)
	more := func(what string, n, m int) string {
		return what + ", " + strconv.Itoa(n) + " to " + strconv.Itoa(m)
	}
	switch {
	case a.priority != b.priority:
		return more("its priority is higher", a.priority, b.priority)
	case compareHosts(x, y) != 0:
		return "its host " + x.String() + " is closer than " + y.String()
	case a.class != b.class:
		return [...]string{"its path is exact", "its path is a pattern, this one's a prefix", ""}[a.class]
	case a.class == prefixPath && len(a.path) != len(b.path):
		return "its prefix is longer"
	case a.class == patternPath && a.pattern.literals != b.pattern.literals:
		return more("its path has more literal bytes", a.pattern.literals, b.pattern.literals)
	case a.class == patternPath && a.pattern.tail != b.pattern.tail:
		return "its path takes no rest"
	case a.class == patternPath && a.pattern.constrained != b.pattern.constrained:
		return more("its path has more expressions", a.pattern.constrained, b.pattern.constrained)
	case a.count() != b.count():
		return more("it has more conditions besides host and path", a.count(), b.count())
	}
	return "both paths are as long and have as many conditions, and it stands first in the file"
}

// bestHost returns the first of a rule's hosts in match order that takes the one asked for.
func (r *rule) bestHost(asked host) host {
	var best host
	for i, h := range slices.DeleteFunc(slices.Clone(r.hosts), func(h host) bool { return !h.takes(asked) }) {
		if i == 0 || compareHosts(h, best) < 0 {
			best = h
		}
	}
	return best
}

// nearPath returns how a path that the rule does not take just misses it; empty: it is far off.
func (r *rule) nearPath(path []byte) string {
	trimmed, slashed := bytes.CutSuffix(path, []byte("/"))
	switch {
	case r.class == patternPath && r.pattern.takes(path, true):
		return "a parameter does not match its expression"
	case slashed && len(trimmed) > 0 && r.takes(trimmed), !slashed && r.takes([]byte(string(path)+"/")):
		return "the path differs by the slash at its end"
	case r.class == prefixPath && bytes.HasPrefix(path, []byte(r.path)):
		return "the prefix " + quote(r.path) + " ends inside of a segment of the path"
	case r.class == exactPath && strings.EqualFold(r.path, string(path)):
		return "the path differs in upper and lower case"
	}
	return ""
}

// takes reports whether the rule's path takes path. It is the plain way of what Lookup does for
// all rules at once.
func (r *rule) takes(path []byte) bool {
	switch r.class {
	case exactPath:
		return r.path == string(path)
	case prefixPath:
		return under(path, []byte(r.path))
	}
	return r.pattern.takes(path, false)
}

// takes reports whether path fits the pattern; loosely: leaving the expressions aside.
func (p *pattern) takes(path []byte, loosely bool) bool {
	texts := bytes.Split(path, []byte("/"))[1:]
	return slices.ContainsFunc(p.variants(), func(segments []segment) bool {
		for i := range segments {
			if i == len(texts) {
				return false
			}
			if segments[i].kind == tailSegment {
				return true
			}
			if !segments[i].takes(texts[i], loosely) {
				return false
			}
		}
		return len(segments) == len(texts)
	})
}

func (s *segment) takes(text []byte, loosely bool) bool {
	switch s.kind {
	case literalSegment:
		return s.shape == string(text)
	case freeSegment:
		return len(text) > 0
	case mixedSegment:
		var spans [maxParams]span
		return s.matcher.split(text, 0, len(text), spans[:]) && (loosely || s.matcher.valid(&Key{}, text, spans[:]))
	}
	return true
}
