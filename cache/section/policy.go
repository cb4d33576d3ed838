package section

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/penstock-edge/penstock/cache/fresh"
	"github.com/penstock-edge/penstock/edge/config"
)

// RouteConfig is the key cache of a route: the name of a cache, or a table with that name and what holds for
// this route alone.
type RouteConfig struct {
	// Of the cache; cache = "default" is the same without the rest.
	Name string `toml:"name" required:"true"`
	// For answers that carry no freshness of their own.
	DefaultTTL time.Duration `toml:"default_ttl" min:"0s" max:"8760h" unset:"the cache's"`
	// Served stale for so long while it is fetched anew.
	StaleWhileRevalidate time.Duration `toml:"stale_while_revalidate" min:"0s" max:"8760h" unset:"the cache's"`
	// Served stale for so long when the target fails.
	StaleIfError time.Duration `toml:"stale_if_error" min:"0s" max:"8760h" unset:"the cache's"`
	// Lifetimes by status, before those of the cache.
	TTL map[string]time.Duration `toml:"ttl" unset:"{}"`
	// Besides GET and HEAD; their bodies are a part of the key, and POST is taken for safe.
	Methods []string `toml:"methods"`
	// Requests with larger bodies are passed on; at most 1MiB.
	MaxKeyBody config.Size `toml:"max_key_body" default:"64KiB" min:"0B" max:"1MiB"`

	Table *config.Table `toml:"-"` // nil: it is the name alone
}

// UnmarshalConfig implements config.Unmarshaler.
func (r *RouteConfig) UnmarshalConfig(v config.Value) error {
	if name, ok := v.String(); ok {
		r.Name = name
		return nil
	}
	t := v.Table()
	if t == nil {
		return fmt.Errorf(`must be the name of a cache, or a table such as { name = "default", `+
			`stale_if_error = "1h" }, is %s`, v.Describe())
	}
	type plain RouteConfig // without this method
	t.Decode((*plain)(r))
	if t.Has("max_key_body") && len(r.Methods) == 0 {
		t.Errorf("max_key_body", "means nothing without methods")
	}
	for _, m := range r.Methods {
		if !slices.Contains(bodyMethods, m) {
			meant := strings.ToUpper(m)
			if !slices.Contains(bodyMethods, meant) {
				meant = ""
			}
			t.Mistake("methods", m, meant, fmt.Sprintf("has %q; GET and HEAD are stored in any "+
				"case, and besides them QUERY and POST can be", m))
		}
	}
	return nil
}

// bodyMethods are those that a route may have stored besides GET and HEAD.
var bodyMethods = []string{"QUERY", "POST"}

// Options returns what holds for the answers of a route whose cache has these options.
func (r *RouteConfig) Options(of *fresh.Options) *fresh.Options {
	o := *of
	t := r.Table
	if t == nil {
		return &o
	}
	if t.Has("default_ttl") {
		o.Default = r.DefaultTTL.Milliseconds()
	}
	if t.Has("stale_while_revalidate") {
		o.Revive = r.StaleWhileRevalidate.Milliseconds()
	}
	if t.Has("stale_if_error") {
		o.Rescue = r.StaleIfError.Milliseconds()
	}
	o.ByStatus = readTTL(t, r.TTL, o.ByStatus)
	return &o
}

// Note returns what holds for the route, for `routes` and `explain`.
func (r *RouteConfig) Note() string {
	all := []string{r.Name}
	if r.Table == nil {
		return r.Name
	}
	for _, one := range []struct {
		key   string
		value any
	}{{"default_ttl", r.DefaultTTL}, {"stale_while_revalidate", r.StaleWhileRevalidate},
		{"stale_if_error", r.StaleIfError}} {
		if r.Table.Has(one.key) {
			all = append(all, fmt.Sprint(one.key, " ", one.value))
		}
	}
	if len(r.TTL) > 0 {
		all = append(all, fmt.Sprintf("ttl of %d statuses", len(r.TTL)))
	}
	if len(r.Methods) > 0 {
		all = append(all, fmt.Sprintf("%s with bodies of up to %s", strings.Join(r.Methods, " and "), r.MaxKeyBody))
	}
	return strings.Join(all, ", ")
}

// statusRange has both its ends in it.
type statusRange struct {
	text        string
	first, last int
}

func (a statusRange) size() int                   { return a.last - a.first }
func (a statusRange) overlaps(b statusRange) bool { return a.first <= b.last && b.first <= a.last }

// readTTL reads the key ttl of a table: lifetimes by status, where the narrower range counts. below are those
// that hold where it says nothing.
func readTTL(t *config.Table, ttl map[string]time.Duration, below *fresh.ByStatus) *fresh.ByStatus {
	if len(ttl) == 0 {
		return below
	}
	by := &fresh.ByStatus{}
	if below != nil {
		*by = *below
	}
	var ranges []statusRange
	for text, life := range ttl {
		r, ok := parseRange(text)
		switch {
		case !ok:
			t.Errorf("ttl", `has %q: statuses are codes from 200 to 599 such as "404", or ranges such as `+
				`"301-308"`, text)
			continue
		case life > 8760*time.Hour:
			t.Errorf("ttl", "has %s for %s: it must be 0s to 8760h", life, text)
			continue
		case r.size() == 0 && fresh.Excluded(r.first):
			t.Errorf("ttl", "has %s: answers with that status are not stored", text)
			continue
		}
		ranges = append(ranges, r)
	}
	slices.SortFunc(ranges, func(a, b statusRange) int {
		if a.size() != b.size() {
			return b.size() - a.size()
		}
		return a.first - b.first
	})
	for i, r := range ranges {
		if i > 0 && ranges[i-1].size() == r.size() && ranges[i-1].overlaps(r) {
			t.Errorf("ttl", "has %s and %s, which are as wide and have a status in common", ranges[i-1].text, r.text)
		}
		for status := r.first; status <= r.last; status++ {
			by.Set(status, ttl[r.text].Milliseconds())
		}
	}
	return by
}

// parseRange reads "404" or "301-308".
func parseRange(text string) (statusRange, bool) {
	first, last, ok := strings.Cut(text, "-")
	if !ok {
		last = first
	}
	a, errA := strconv.ParseUint(first, 10, 16)
	b, errB := strconv.ParseUint(last, 10, 16)
	return statusRange{text, int(a), int(b)}, errA == nil && errB == nil && len(first) == 3 && len(last) == 3 &&
		a >= 200 && b <= 599 && a <= b
}
