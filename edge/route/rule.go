package route

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/penstock-edge/penstock/edge/lib/header"
)

// Rule is which requests a route takes. All its conditions have to hold.
type Rule struct {
	// Name stands in messages only; empty: the rule's number stands there.
	Name string
	// Hosts are names, addresses ("[::1]" if IPv6) or wildcards such as "*.example.org", which
	// take any number of labels but not example.org itself, each with a port or without: "a.org:8443",
	// "*:8443" for any host. A Host without a port has that of the scheme. Empty: any host.
	Hosts []string
	// Listeners and Schemes ("http", "https") that requests come by; empty: any.
	Listeners, Schemes []string
	// Methods are any tokens, compared by case; empty: any. GET takes HEAD too, see Table.
	Methods []string
	// Path is an exact path or a pattern, Prefix a prefix that ends at a segment's border: "/v1"
	// takes /v1 and /v1/x, "/v1/" takes /v1/ and /v1/x. Exactly one of the two is set.
	Path, Prefix string
	// Headers and Query all have to hold.
	Headers, Query []Predicate
	// Priority overrules the natural order: higher first.
	Priority int
}

// RuleError is what is wrong with one rule.
type RuleError struct {
	Rule    int    // index of the rule
	Key     string // of the configuration: "path", "prefix", "hosts", "methods", "listeners", "headers", "query"
	Message string // without the key
}

// Error returns the message with the rule's number and key.
func (e RuleError) Error() string {
	return "route " + strconv.Itoa(e.Rule) + ": " + e.Key + ": " + e.Message
}

type pathClass byte

const (
	exactPath pathClass = iota
	patternPath
	prefixPath
)

// rule is a compiled Rule. Lookup reads the fields of the first group only.
type rule struct {
	rank       int32 // place in the natural order, hosts left aside; unique
	methods    uint64
	listeners  uint64 // bits of Table.listeners; 0: any
	scheme     string // "": any
	viaGet     bool   // takes HEAD because of GET only
	predicates []predicate
	names      []string // of the path's parameters

	index    int
	name     string
	priority int
	hosts    []host
	listed   []string // methods as given; nil: any
	class    pathClass
	path     string // canonical; of a pattern as given
	pattern  pattern
}

// compiler turns rules into their compiled form and collects what is wrong with them.
type compiler struct {
	exprs     expressions
	methods   []string // the method of each bit
	listeners []string // the listener of each bit
	errors    []RuleError
}

func (c *compiler) fail(rule int, key, message string) {
	c.errors = append(c.errors, RuleError{rule, key, message})
}

func (c *compiler) rule(i int, in *Rule) rule {
	r := rule{index: i, name: in.Name, priority: in.Priority}
	if r.name == "" {
		r.name = strconv.Itoa(i)
	}
	c.hosts(&r, in.Hosts)
	c.method(&r, in.Methods)
	c.arrival(&r, in)
	c.path(&r, in)
	c.predicates(&r, "headers", in.Headers)
	c.predicates(&r, "query", in.Query)
	return r
}

func (c *compiler) hosts(r *rule, hosts []string) {
	if len(hosts) == 0 {
		r.hosts = []host{{}}
	}
	for _, h := range hosts {
		key, message := ruleHost(h)
		if message == "" && slices.Contains(r.hosts, key) {
			message = quote(h) + " is given twice"
		}
		if message != "" {
			c.fail(r.index, "hosts", message)
			continue
		}
		r.hosts = append(r.hosts, key)
	}
}

func (c *compiler) method(r *rule, methods []string) {
	if len(methods) == 0 {
		r.methods = ^uint64(0)
		return
	}
	r.listed = methods
	for _, m := range methods {
		if !header.IsToken(m) {
			c.fail(r.index, "methods", quote(m)+" is not a method")
			continue
		}
		bit, ok := c.bit(m)
		if !ok {
			c.fail(r.index, "methods", "more than "+strconv.Itoa(otherMethod)+" different methods in all")
			return
		}
		if r.methods&bit != 0 {
			c.fail(r.index, "methods", quote(m)+" is given twice")
		}
		r.methods |= bit
	}
	if r.methods&(getBit|headBit) == getBit {
		r.methods |= headBit
		r.viaGet = true
	}
}

// bit returns the bit of a method, a new one if need be.
func (c *compiler) bit(method string) (bit uint64, ok bool) {
	i := slices.Index(c.methods, method)
	if i < 0 {
		i = len(c.methods)
		if i == otherMethod {
			return 0, false
		}
		c.methods = append(c.methods, method)
	}
	return 1 << i, true
}

// arrival compiles how a request has to come in.
func (c *compiler) arrival(r *rule, in *Rule) {
	other := func(s string) bool { return s != in.Schemes[0] }
	if len(in.Schemes) > 0 && !slices.ContainsFunc(in.Schemes, other) {
		r.scheme = in.Schemes[0]
	}
	for _, name := range in.Listeners {
		i := slices.Index(c.listeners, name)
		if i < 0 {
			i = len(c.listeners)
			c.listeners = append(c.listeners, name)
		}
		if i > maxListeners {
			c.fail(r.index, "listeners", "more than "+strconv.Itoa(maxListeners)+" different listeners in all")
			return
		}
		r.listeners |= 1 << i
	}
}

// maxListeners bounds the listeners that routes name: each has a bit.
const maxListeners = 63

func (c *compiler) path(r *rule, in *Rule) {
	switch {
	case in.Path != "" && in.Prefix != "":
		c.fail(r.index, "prefix", "a route has either a path or a prefix, not both")
	case in.Path == "" && in.Prefix == "":
		c.fail(r.index, "path", "a route needs a path or a prefix")
	case in.Prefix != "":
		r.class = prefixPath
		if strings.ContainsAny(in.Prefix, "{}") {
			c.fail(r.index, "prefix", `a prefix has no parameters: use path = "/…/{rest:*}"`)
			return
		}
		c.literal(r, "prefix", in.Prefix)
	case !strings.ContainsAny(in.Path, "{}"):
		c.literal(r, "path", in.Path)
	default:
		r.class, r.path = patternPath, in.Path
		p, message := parsePattern(in.Path, c.exprs)
		if message != "" {
			c.fail(r.index, "path", message)
		}
		r.pattern, r.names = p, p.names
	}
}

func (c *compiler) literal(r *rule, key, path string) {
	canonical, err := Canonical(nil, []byte(path))
	if err != nil {
		c.fail(r.index, key, err.Reason)
	}
	r.path = string(canonical)
}

func (c *compiler) predicates(r *rule, key string, in []Predicate) {
	first := len(r.predicates)
	for _, one := range in {
		p, message := compilePredicate(one, key == "query", c.exprs)
		if message == "" && slices.ContainsFunc(r.predicates[first:], func(q predicate) bool {
			return string(q.name) == string(p.name)
		}) {
			message = quote(one.Name) + " is given twice"
		}
		if message != "" {
			c.fail(r.index, key, message)
			continue
		}
		r.predicates = append(r.predicates, p)
	}
	slices.SortFunc(r.predicates[first:], func(a, b predicate) int {
		return cmp.Compare(string(a.name), string(b.name))
	})
}

// count is the number of predicates for the natural order: methods, listeners and the scheme count as one
// each, and so does each header and each query parameter.
func (r *rule) count() int {
	n := len(r.predicates)
	for _, has := range [...]bool{r.listed != nil, r.listeners != 0, r.scheme != ""} {
		if has {
			n++
		}
	}
	return n
}

// compareRules is the natural order with hosts left aside.
func compareRules(a, b *rule) int {
	if c := cmp.Or(cmp.Compare(b.priority, a.priority), cmp.Compare(a.class, b.class)); c != 0 {
		return c
	}
	c := 0
	switch a.class {
	case patternPath:
		c = comparePatterns(&a.pattern, &b.pattern)
	case prefixPath:
		c = cmp.Compare(len(b.path), len(a.path))
	}
	return cmp.Or(c, cmp.Compare(b.count(), a.count()), cmp.Compare(a.index, b.index))
}

// comparePatterns puts the pattern with more literal bytes first; of two with as many the one
// without a catch-all, then the one with more expressions.
func comparePatterns(a, b *pattern) int {
	c := cmp.Compare(b.literals, a.literals)
	if c == 0 && a.tail != b.tail {
		c = 1
		if b.tail {
			c = -1
		}
	}
	return cmp.Or(c, cmp.Compare(b.constrained, a.constrained))
}

// identity is equal for two rules of one slot only if they take the same requests.
func (r *rule) identity() string {
	var b strings.Builder
	b.WriteString(strconv.FormatUint(r.methods, 16))
	b.WriteString(strconv.FormatBool(r.viaGet))
	b.WriteString(strconv.FormatUint(r.listeners, 16))
	b.WriteString(r.scheme)
	b.WriteString(r.pattern.shape)
	for i := range r.predicates {
		b.WriteByte(' ')
		b.WriteString(r.predicates[i].String())
	}
	return b.String()
}
