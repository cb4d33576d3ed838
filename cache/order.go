package cache

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/penstock-edge/penstock/edge/lib/values"
)

// order is what a call of the admin interface has purged: all that any of its selectors names.
type order struct {
	urls     [][]byte // as keys have them
	prefixes [][]byte
	tags     []string
	matches  []*regexp.Regexp
	all      bool
	soft     bool
	last     time.Duration // for how long prefixes and expressions hold
}

// banFor is longer than any answer is kept that somebody would still use.
const banFor = 366 * 24 * time.Hour

const selectors = "want url=https://host/path?query, prefix=https://host/path, match=EXPRESSION, tag=NAME, " +
	"each as often as you like, or all=1; for=1h ends a prefix or an expression; with soft=1 what is purged " +
	"may be served while it is fetched anew"

// readOrder reads the arguments of a purge. The error says what is wrong with them.
func (c *Config) readOrder(query []byte) (*order, error) {
	o := &order{last: banFor}
	args, err := values.Arguments(query)
	if err != nil {
		return nil, err
	}
	var errs []error
	seen := map[string]bool{}
	for _, a := range args {
		err := c.take(o, a.Name, a.Value, seen[a.Name])
		if seen[a.Name] = true; err != nil {
			errs = append(errs, fmt.Errorf("%s %w", a.Name, err))
		}
	}
	n := len(o.urls) + len(o.prefixes) + len(o.tags) + len(o.matches)
	switch {
	case len(errs) > 0:
		return nil, errors.Join(errs...)
	case n == 0 && !o.all:
		return nil, errors.New("nothing is named: " + selectors)
	case o.all && (n > 0 || seen["for"]):
		return nil, errors.New("all=1 names everything: no other selector stands beside it")
	case seen["for"] && len(o.prefixes)+len(o.matches) == 0:
		return nil, errors.New("for ends prefixes and expressions, and there is none")
	}
	return o, nil
}

// take takes in one argument; again tells that it is not the first one of its name.
func (c *Config) take(o *order, name, value string, again bool) error {
	switch name {
	case "url":
		b, err := c.canonicalURL(value)
		o.urls = append(o.urls, b)
		return err
	case "prefix":
		b, err := c.canonicalPrefix(value)
		o.prefixes = append(o.prefixes, b)
		return err
	case "match":
		return o.takeMatch(value)
	case "tag":
		return o.takeTag(value)
	case "all", "soft", "for":
		if again {
			return errors.New("is there twice")
		}
		return o.takeOnce(name, value)
	}
	return errors.New("is no selector: " + selectors)
}

func (o *order) takeMatch(value string) error {
	if value == "" {
		return errors.New("must be an expression: an empty one fits everything, which is all=1")
	}
	match, err := regexp.Compile(value)
	if err != nil {
		return fmt.Errorf("must be an expression as RE2 has them: %w", err)
	}
	o.matches = append(o.matches, match)
	return nil
}

func (o *order) takeTag(value string) error {
	tag := strings.TrimSpace(value)
	if tag == "" || strings.ContainsFunc(tag, func(r rune) bool { return r <= ' ' || r == ',' || r == 0x7f }) {
		return fmt.Errorf("must be one tag, without white space and commas; repeat tag= for several, it is %q",
			value)
	}
	o.tags = append(o.tags, tag)
	return nil
}

// takeOnce takes in an argument that stands once.
func (o *order) takeOnce(name, value string) (err error) {
	switch name {
	case "for":
		o.last, err = time.ParseDuration(value)
		if err != nil || o.last <= 0 {
			return fmt.Errorf("must be a time such as 1h, it is %q", value)
		}
		return nil
	case "soft":
		o.soft, err = flag(value)
		return err
	}
	if o.all, err = flag(value); err == nil && !o.all {
		err = errors.New("must be 1, or not there")
	}
	return err
}

func flag(value string) (bool, error) {
	switch value {
	case "1", "true":
		return true, nil
	case "0", "false":
		return false, nil
	}
	return false, fmt.Errorf("must be 1 or 0, it is %q", value)
}

// words names what is purged, for the log.
func (o *order) words() string {
	var list []string
	for _, u := range o.urls {
		list = append(list, "url "+string(u))
	}
	for _, p := range o.prefixes {
		list = append(list, "prefix "+string(p))
	}
	for _, t := range o.tags {
		list = append(list, "tag "+t)
	}
	for _, m := range o.matches {
		list = append(list, "match "+m.String())
	}
	if o.all {
		list = append(list, "all")
	}
	return strings.Join(list, ", ")
}

// tally counts what an order has purged.
type tally struct {
	c     *cache
	o     *order
	was   past
	now   int64
	buf   []byte
	gone  int
	seen  map[key]bool // nil: nothing comes twice
	tags  []uint64     // hashes
	rules []ban
}

// carryOut purges what an order names, and returns how many answers were there that cannot be served any
// more, or with soft only stale.
func (c *cache) carryOut(o *order) int {
	c.ordering.Lock()
	defer c.ordering.Unlock()
	t := &tally{c: c, o: o, now: c.millis(c.tick())}
	var hashes []uint64
	for _, u := range o.urls {
		hashes = append(hashes, hashURL(u))
	}
	for _, tag := range o.tags {
		h := hashTag([]byte(tag))
		t.tags, hashes = append(t.tags, h), append(hashes, h)
	}
	t.was = c.purges.past(hashes)
	until := t.now + o.last.Milliseconds()
	for _, h := range hashes {
		c.writeDown(c.purges.byHash(h, o.soft))
	}
	for _, p := range o.prefixes {
		t.rules = append(t.rules, ban{prefix: p})
		c.writeDown(c.purges.byRule(p, nil, t.now, until, o.soft))
	}
	for _, m := range o.matches {
		t.rules = append(t.rules, ban{match: m})
		c.writeDown(c.purges.byRule(nil, m, t.now, until, o.soft))
	}
	if o.all {
		c.writeDown(c.purges.everything(o.soft))
	}
	c.flights.scatter()
	t.count()
	return t.gone
}

// count looks at what is stored.
func (t *tally) count() {
	list := &t.c.listed
	if t.o.all || len(t.rules) > 0 {
		list.all(nil, t.look)
		return
	}
	if len(t.o.urls)+len(t.tags) > 1 {
		t.seen = map[key]bool{}
	}
	for _, u := range t.o.urls {
		for _, n := range list.of(hashURL(u)) {
			t.look(&n)
		}
	}
	if len(t.tags) == 0 {
		return
	}
	bits := make([]uint64, len(t.tags))
	for i, h := range t.tags {
		bits[i] = tagBits(h)
	}
	list.all(bits, t.look)
}

// look counts an answer if it was there, could be served, and is named by the order.
func (t *tally) look(n *node) {
	e, ok := t.c.listedAt(n, &t.buf)
	if !ok || e.number >= t.was.first || t.seen[n.key] || !t.names(&e) {
		return
	}
	before := t.c.purges.judgeAt(e.number, urlIn(e.key), e.hashes, t.now, &t.was)
	if before == purged || before == stale && t.o.soft {
		return
	}
	if t.gone++; t.seen != nil {
		t.seen[n.key] = true
	}
}

// names reports whether the order is about an answer.
func (t *tally) names(e *entry) bool {
	if t.o.all {
		return true
	}
	for i, hashes := 0, e.hashes; len(hashes) >= 8; i, hashes = i+1, hashes[8:] {
		h := hashAt(hashes)
		for _, u := range t.o.urls {
			if i == 0 && h == hashURL(u) {
				return true
			}
		}
		for _, tag := range t.tags {
			if i > 0 && h == tag {
				return true
			}
		}
	}
	for i := range t.rules {
		if t.rules[i].hits(urlIn(e.key)) {
			return true
		}
	}
	return false
}
