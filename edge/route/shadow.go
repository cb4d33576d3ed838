package route

import (
	"bytes"
	"cmp"
	"slices"
	"strings"
)

// Shadow is a rule that can never win, because rule By takes every request that it would.
type Shadow struct{ Rule, By int }

// Shadowed returns the rules that can never win, in the order of the list, each with one rule that
// is to blame. What it returns is certain; what several rules shadow only together is not found.
func (t *Table) Shadowed() []Shadow {
	sh := shader{seen: map[shaderKey][]*rule{}}
	all := make([]*rule, len(t.rules))
	for i := range t.rules {
		r := &t.rules[i]
		all[i] = r
		sh.headListed = sh.headListed || r.listed != nil && r.methods&headBit != 0 && !r.viaGet
	}
	slices.SortFunc(all, func(a, b *rule) int { return cmp.Compare(a.rank, b.rank) })
	var found []Shadow
	blamed := map[*rule]*rule{}
	for _, r := range all {
		by := sh.find(r)
		if first := blamed[by]; first != nil {
			by = first // by is shadowed itself
		}
		if by != nil {
			blamed[r] = by
			found = append(found, Shadow{r.index, by.index})
		}
		sh.add(r)
	}
	slices.SortFunc(found, func(a, b Shadow) int { return cmp.Compare(a.Rule, b.Rule) })
	return found
}

// shader holds the rules seen so far, in match order.
type shader struct {
	seen       map[shaderKey][]*rule
	headListed bool // some rule lists HEAD
}

// shaderKey is how a rule that may shadow another one is found: its host takes the other's, and
// the literal segments its path begins with are those that the other's begins with, or fewer.
type shaderKey struct {
	host host
	lead string
}

func (sh *shader) add(r *rule) {
	lead := r.lead()
	for _, h := range r.hosts {
		key := shaderKey{h, lead}
		sh.seen[key] = append(sh.seen[key], r)
	}
}

// lead returns the segments before the first one that has a parameter or is open at its end.
func (r *rule) lead() string {
	switch r.class {
	case exactPath:
		return r.path
	case prefixPath:
		return strings.TrimSuffix(r.path, "/")
	}
	lead := ""
	for _, s := range r.pattern.segments {
		if s.kind != literalSegment {
			break
		}
		lead += "/" + s.shape
	}
	return lead
}

// find returns a rule seen before r that takes all that r would; nil if there is none.
func (sh *shader) find(r *rule) *rule {
	lead, h := r.lead(), r.hosts[0]
	for {
		for at := len(lead); at >= 0; at = strings.LastIndexByte(lead[:at], '/') {
			for _, by := range sh.seen[shaderKey{h, lead[:at]}] {
				if sh.shadows(by, r) {
					return by
				}
			}
		}
		switch {
		case h.port != 0: // the same without the port is wider
			h.port = 0
		case h.name == "":
			return nil
		default:
			h = host{widerName(h.name), r.hosts[0].port}
		}
	}
}

// widerName returns the next wildcard that takes a host: of a.b.org it is .b.org, then .org, then
// that of any host.
func widerName(name string) string {
	if i := strings.IndexByte(name[1:], '.'); i >= 0 {
		return name[i+1:]
	}
	return ""
}

// shadows reports whether by, which was seen before r, takes all requests that r would.
func (sh *shader) shadows(by, r *rule) bool {
	samePath := by.class == r.class && by.path == r.path
	if r.class == patternPath {
		samePath = by.class == r.class &&
			strings.TrimSuffix(by.pattern.shape, "?") == strings.TrimSuffix(r.pattern.shape, "?")
	}
	if by.priority == r.priority && !samePath && !(by.pattern.tail && r.class == prefixPath) {
		return false // not before r, or it is more special
	}
	if by.viaGet && r.methods&headBit != 0 {
		// by leaves HEAD to rules beside it. To those it leaves r's HEAD too, if r stands there.
		beside := samePath && by.priority == r.priority
		if !r.viaGet || sh.headListed && !beside {
			return false
		}
	}
	return covers(by, r)
}

// covers reports whether by, which comes before r, takes all requests that r takes, HEAD aside.
func covers(by, r *rule) bool {
	return r.methods&^by.methods == 0 && coversHosts(by, r) && coversPredicates(by, r) && coversPath(by, r)
}

func coversHosts(by, r *rule) bool {
	for _, h := range r.hosts {
		if !slices.ContainsFunc(by.hosts, func(b host) bool {
			return b == h || by.priority > r.priority && b.takes(h)
		}) {
			return false
		}
	}
	return true
}

func coversPredicates(by, r *rule) bool {
	if by.scheme != "" && by.scheme != r.scheme ||
		by.listeners != 0 && (r.listeners == 0 || r.listeners&^by.listeners != 0) {
		return false
	}
	for i := range by.predicates {
		p := &by.predicates[i]
		if !slices.ContainsFunc(r.predicates, p.follows) {
			return false
		}
	}
	return true
}

// follows reports whether p holds wherever q does.
func (p *predicate) follows(q predicate) bool {
	if p.query != q.query || !bytes.Equal(p.name, q.name) {
		return false
	}
	return p.text == q.text || p.kind == present && q.kind != absent
}

func coversPath(by, r *rule) bool {
	if by.class == exactPath {
		return r.class == exactPath && by.path == r.path
	}
	switch r.class {
	case exactPath:
		return by.takes([]byte(r.path))
	case prefixPath:
		if by.class == prefixPath {
			return under([]byte(r.path), []byte(by.path))
		}
		return by.pattern.coversPrefix(r.path)
	}
	for _, segments := range r.pattern.variants() {
		if !coversSegments(by, segments) {
			return false
		}
	}
	return true
}

func coversSegments(by *rule, segments []segment) bool {
	if by.class == prefixPath {
		return prefixCovers(by.path, segments)
	}
	return slices.ContainsFunc(by.pattern.variants(), func(wide []segment) bool {
		return segmentsCover(wide, segments)
	})
}

// prefixCovers compares the prefix with the text that all paths of a pattern begin with.
func prefixCovers(prefix string, segments []segment) bool {
	lead, whole := "", true
	for _, s := range segments {
		lead += "/" + s.lead()
		if s.kind != literalSegment {
			whole = false
			break
		}
	}
	if !whole && lead == prefix {
		return strings.HasSuffix(prefix, "/")
	}
	return under([]byte(lead), []byte(prefix))
}

// segmentsCover compares two patterns segment by segment.
func segmentsCover(wide, narrow []segment) bool {
	for i := range wide {
		w := &wide[i]
		switch {
		case i == len(narrow):
			return false
		case w.kind == tailSegment:
			return true
		case narrow[i].kind == literalSegment:
			if !w.takes([]byte(narrow[i].shape), false) {
				return false
			}
		case narrow[i].kind == tailSegment:
			return false
		case w.kind != freeSegment && (w.kind != narrow[i].kind || w.shape != narrow[i].shape):
			return false
		}
	}
	return len(wide) == len(narrow)
}

// coversPrefix reports whether a pattern takes all that the prefix does: only a catch-all can.
func (p *pattern) coversPrefix(prefix string) bool {
	segments, open := strings.CutSuffix(prefix[1:], "/")
	texts := strings.Split(segments, "/")
	if prefix == "/" {
		texts, open = nil, true
	}
	n := len(p.segments) - 1
	if !p.tail || len(texts) < n || len(texts) == n && !open {
		return false
	}
	for i := range n {
		if !p.segments[i].takes([]byte(texts[i]), false) {
			return false
		}
	}
	return true
}

// lead returns the text that all texts the segment takes begin with.
func (s *segment) lead() string {
	switch s.kind {
	case literalSegment:
		return s.shape
	case mixedSegment:
		return string(s.matcher.prefix)
	}
	return ""
}
