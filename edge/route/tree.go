package route

import "slices"

// slot holds the rules of one path on one host with one priority.
type slot struct {
	rules []int32 // in match order
	heads []int32 // those of them that list HEAD
	up    *slot   // of a prefix: the next shorter prefix; nil for the shortest
}

func (s *slot) add(i int32, r *rule) {
	s.rules = append(s.rules, i)
	if r.listed != nil && r.methods&headBit != 0 && !r.viaGet {
		s.heads = append(s.heads, i)
	}
}

// branch finds the child for a segment: a few in a list, many in a map.
type branch[T any] struct {
	list    []arm[T]
	index   map[string]*T // nil while the list is short
	longest int           // length of the longest segment: no other needs hashing
}

type arm[T any] struct {
	segment string
	to      *T
}

const shortList = 8

func (b *branch[T]) get(segment []byte) *T {
	if len(segment) > b.longest {
		return nil
	}
	if b.index != nil {
		return b.index[string(segment)]
	}
	for i := range b.list {
		if b.list[i].segment == string(segment) {
			return b.list[i].to
		}
	}
	return nil
}

func (b *branch[T]) put(segment string, to *T) {
	b.longest = max(b.longest, len(segment))
	switch {
	case b.index != nil:
		b.index[segment] = to
	case len(b.list) < shortList:
		b.list = append(b.list, arm[T]{segment, to})
	default:
		b.index = map[string]*T{segment: to}
		for _, a := range b.list {
			b.index[a.segment] = a.to
		}
		b.list = nil
	}
}

// node stands for the segments that lead to it. A tree is as deep as its longest pattern, and a
// request's segment number d is only ever compared with nodes of depth d: a walk enters no node
// twice, so its work is bounded by the size of the tree, whatever the path.
type node struct {
	min   int32        // rank of the best rule below: rules are inserted in match order
	fixed branch[node] // literal segments
	mixed *mixture     // nil: none
	free  *node        // a lone parameter; nil: none
	leaf  *slot        // patterns that end here; nil: none
	catch *slot        // catch-alls below this node; nil: none
}

// mixture holds the mixed segments below a node.
type mixture struct {
	heads affixes // those that begin with text
	tails affixes // those that only end with text
	loose []*edge // the others
}

// edge leads to a node over a mixed segment.
type edge struct {
	matcher *matcher
	to      *node
}

// affixes groups edges by the text their segments begin or end with, so that thousands of them
// beside each other cost a hash for each length of text that occurs. The lists are in match order.
type affixes struct {
	lengths []int
	edges   map[string][]*edge
}

func (a *affixes) add(text string, e *edge) {
	if a.edges == nil {
		a.edges = map[string][]*edge{}
	}
	if !slices.Contains(a.lengths, len(text)) {
		a.lengths = append(a.lengths, len(text))
	}
	a.edges[text] = append(a.edges[text], e)
}

// edgeKey finds an edge while the tree is built.
type edgeKey struct {
	from  *node
	shape string
}

// step returns the node that a segment leads to from n, a new one with the given rank if need be.
func (n *node) step(seg *segment, rank int32, edges map[edgeKey]*edge) *node {
	switch seg.kind {
	case freeSegment:
		if n.free == nil {
			n.free = &node{min: rank}
		}
		return n.free
	case literalSegment:
		to := n.fixed.get([]byte(seg.shape))
		if to == nil {
			to = &node{min: rank}
			n.fixed.put(seg.shape, to)
		}
		return to
	}
	key := edgeKey{n, seg.shape}
	if e := edges[key]; e != nil {
		return e.to
	}
	e := &edge{seg.matcher, &node{min: rank}}
	edges[key] = e
	if n.mixed == nil {
		n.mixed = &mixture{}
	}
	n.mixed.add(e)
	return e.to
}

func (x *mixture) add(e *edge) {
	switch m := e.matcher; {
	case len(m.prefix) > 0:
		x.heads.add(string(m.prefix), e)
	case len(m.suffix) > 0:
		x.tails.add(string(m.suffix), e)
	default:
		x.loose = append(x.loose, e)
	}
}

// stem is a node of the tree of prefixes.
type stem struct {
	next  branch[stem]
	bare  *slot // "/v1": also takes /v1 itself; nil: none
	slash *slot // "/v1/"; nil: none
}

// place returns where the rules of prefix go.
func (s *stem) place(prefix string) **slot {
	for rest := prefix[1:]; rest != ""; {
		end := segmentEnd([]byte(rest), 0)
		to := s.next.get([]byte(rest[:end]))
		if to == nil {
			to = &stem{}
			s.next.put(rest[:end], to)
		}
		s = to
		if end == len(rest) {
			return &s.bare
		}
		rest = rest[end+1:]
	}
	return &s.slash
}

// link sets what comes after each slot when all its rules have refused a request.
func (s *stem) link(up *slot) {
	for _, one := range []*slot{s.bare, s.slash} {
		if one != nil {
			one.up = up
			up = one
		}
	}
	for _, a := range s.next.list {
		a.to.link(up)
	}
	for _, to := range s.next.index {
		to.link(up)
	}
}

// longest returns the slot of the longest prefix of path, nil if there is none.
func (s *stem) longest(path []byte) *slot {
	best := s.slash
	for at := 0; at < len(path); {
		end := segmentEnd(path, at+1)
		if s = s.next.get(path[at+1 : end]); s == nil {
			break
		}
		if s.bare != nil {
			best = s.bare
		}
		if s.slash != nil && end < len(path) {
			best = s.slash
		}
		at = end
	}
	return best
}
