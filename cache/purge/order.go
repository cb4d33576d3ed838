package purge

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/penstock-edge/penstock/cache/key"
	"github.com/penstock-edge/penstock/edge/lib/values"
)

// Order is what a call of the admin interface has purged: all that any of its selectors names.
type Order struct {
	Urls     [][]byte // as keys have them
	Prefixes [][]byte
	Tags     []string
	Matches  []*regexp.Regexp
	All      bool
	Soft     bool
	Duration time.Duration // for how long prefixes and expressions hold
}

// BanFor is longer than any answer is kept that somebody would still use.
const BanFor = 366 * 24 * time.Hour

const selectors = "want url=https://host/path?query, prefix=https://host/path, match=EXPRESSION, tag=NAME, " +
	"each as often as you like, or all=1; for=1h ends a prefix or an expression; with soft=1 what is purged " +
	"may be served while it is fetched anew"

// ParseOrder reads the arguments of a purge; r has the form of URLs in keys. The error says what is wrong
// with the arguments.
func ParseOrder(query []byte, r *key.Rules) (*Order, error) {
	o := &Order{Duration: BanFor}
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
	n := len(o.Urls) + len(o.Prefixes) + len(o.Tags) + len(o.Matches)
	switch {
	case len(errs) > 0:
		return nil, errors.Join(errs...)
	case n == 0 && !o.All:
		return nil, errors.New("nothing is named: " + selectors)
	case o.All && (n > 0 || seen["for"]):
		return nil, errors.New("all=1 names everything: no other selector stands beside it")
	case seen["for"] && len(o.Prefixes)+len(o.Matches) == 0:
		return nil, errors.New("for ends prefixes and expressions, and there is none")
	}
	return o, nil
}

// set reads one argument into o; again reports whether it is not the first one of its name.
func (o *Order) set(r *key.Rules, name, value string, again bool) error {
	switch name {
	case "url":
		b, err := r.CanonicalURL(value)
		o.Urls = append(o.Urls, b)
		return err
	case "prefix":
		b, err := r.CanonicalPrefix(value)
		o.Prefixes = append(o.Prefixes, b)
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

func (o *Order) addMatch(value string) error {
	if value == "" {
		return errors.New("must be an expression: an empty one fits everything, which is all=1")
	}
	match, err := regexp.Compile(value)
	if err != nil {
		return fmt.Errorf("must be an expression as RE2 has them: %w", err)
	}
	o.Matches = append(o.Matches, match)
	return nil
}

func (o *Order) addTag(value string) error {
	tag := strings.TrimSpace(value)
	if tag == "" || strings.ContainsFunc(tag, func(r rune) bool { return r <= ' ' || r == ',' || r == 0x7f }) {
		return fmt.Errorf("must be one tag, without white space and commas; repeat tag= for several, it is %q",
			value)
	}
	o.Tags = append(o.Tags, tag)
	return nil
}

// setOnce reads an argument that may stand once.
func (o *Order) setOnce(name, value string) (err error) {
	switch name {
	case "for":
		o.Duration, err = time.ParseDuration(value)
		if err != nil || o.Duration <= 0 {
			return fmt.Errorf("must be a time such as 1h, it is %q", value)
		}
		return nil
	case "soft":
		o.Soft, err = flag(value)
		return err
	}
	if o.All, err = flag(value); err == nil && !o.All {
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

// Words names what is purged, for the log.
func (o *Order) Words() string {
	var list []string
	for _, u := range o.Urls {
		list = append(list, "url "+string(u))
	}
	for _, p := range o.Prefixes {
		list = append(list, "prefix "+string(p))
	}
	for _, t := range o.Tags {
		list = append(list, "tag "+t)
	}
	for _, m := range o.Matches {
		list = append(list, "match "+m.String())
	}
	if o.All {
		list = append(list, "all")
	}
	return strings.Join(list, ", ")
}
