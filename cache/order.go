package cache

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/penstock-edge/penstock/cache/key"
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

// readOrder reads the arguments of a purge; r has the form of URLs in keys. The error says what is wrong with
// the arguments.
func readOrder(query []byte, r *key.Rules) (*order, error) {
	o := &order{last: banFor}
	args, err := values.Arguments(query)
	if err != nil {
		return nil, err
	}
	var errs []error
	seen := map[string]bool{}
	for _, a := range args {
		err := o.set(r, a.Name, a.Value, seen[a.Name])
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

// set reads one argument into o; again reports whether it is not the first one of its name.
func (o *order) set(r *key.Rules, name, value string, again bool) error {
	switch name {
	case "url":
		b, err := r.CanonicalURL(value)
		o.urls = append(o.urls, b)
		return err
	case "prefix":
		b, err := r.CanonicalPrefix(value)
		o.prefixes = append(o.prefixes, b)
		return err
	case "match":
		return o.addMatch(value)
	case "tag":
		return o.addTag(value)
	case "all", "soft", "for":
		if again {
			return errors.New("is there twice")
		}
		return o.setOnce(name, value)
	}
	return errors.New("is no selector: " + selectors)
}

func (o *order) addMatch(value string) error {
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

func (o *order) addTag(value string) error {
	tag := strings.TrimSpace(value)
	if tag == "" || strings.ContainsFunc(tag, func(r rune) bool { return r <= ' ' || r == ',' || r == 0x7f }) {
		return fmt.Errorf("must be one tag, without white space and commas; repeat tag= for several, it is %q",
			value)
	}
	o.tags = append(o.tags, tag)
	return nil
}

// setOnce reads an argument that may stand once.
func (o *order) setOnce(name, value string) (err error) {
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
