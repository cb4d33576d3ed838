package route

import (
	"cmp"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/penstock-edge/penstock/edge/lib/header"
)

// The slow obvious twin of Table: it looks at every rule, sorts those whose host and path fit, and
// takes the first whose other conditions hold. It shares no code with the table, and it reads the
// patterns of the generator only: literals of plain bytes, expressions without braces.

// headerMap has the lines of each field, with "|" between two.
type headerMap map[string]string

func (h headerMap) lines(name string) []string {
	v, ok := h[name]
	if !ok {
		return nil
	}
	return strings.Split(v, "|")
}

func (h headerMap) fields() *header.Fields {
	f := new(header.Fields)
	for name := range h {
		for _, v := range h.lines(name) {
			f.Add(name, v)
		}
	}
	return f
}

type request struct {
	method, host, path, query string // host with its port
	header                    headerMap
	scheme, listener          string
}

// name and port of the host; the port is that of the scheme where there is none.
func (q *request) split() (name, port string) {
	name, port, ok := strings.Cut(q.host, ":")
	if !ok {
		port = map[string]string{"": "80", "http": "80", "https": "443"}[q.scheme]
	}
	return name, port
}

type twinResult struct {
	status, rule int
	params       map[string]string
	allow        []string
}

type twinHit struct {
	rule   int
	key    []int // in match order if compared from left to right
	same   string
	params map[string]string
}

func twinLookup(rules []Rule, q request) twinResult {
	var hits []twinHit
	for i := range rules {
		hits = append(hits, twinHits(rules, i, q)...)
	}
	slices.SortFunc(hits, func(a, b twinHit) int { return slices.Compare(a.key, b.key) })
	var allow []string
	for _, h := range hits {
		r := &rules[h.rule]
		if !twinPredicates(r, q) {
			continue
		}
		if !twinMethod(r, q.method) {
			allow = append(allow, r.Methods...)
			if slices.Contains(r.Methods, "GET") {
				allow = append(allow, "HEAD")
			}
			continue
		}
		headTaken := slices.ContainsFunc(hits, func(other twinHit) bool {
			o := &rules[other.rule]
			return other.same == h.same && slices.Contains(o.Methods, "HEAD") && twinPredicates(o, q)
		})
		if q.method == "HEAD" && len(r.Methods) > 0 && !slices.Contains(r.Methods, "HEAD") && headTaken {
			continue
		}
		return twinResult{status: 200, rule: h.rule, params: h.params}
	}
	if len(allow) > 0 {
		slices.Sort(allow)
		return twinResult{status: 405, rule: -1, allow: slices.Compact(allow)}
	}
	return twinResult{status: 404, rule: -1}
}

func twinMethod(r *Rule, method string) bool {
	return len(r.Methods) == 0 || slices.Contains(r.Methods, method) ||
		method == "HEAD" && slices.Contains(r.Methods, "GET")
}

// twinHits returns how the host and path of one rule fit: once for each host and each variant.
func twinHits(rules []Rule, i int, q request) (hits []twinHit) {
	r := &rules[i]
	hosts := r.Hosts
	if len(hosts) == 0 {
		hosts = []string{""}
	}
	for _, h := range hosts {
		level, length := 0, 0
		name, port := q.split()
		rule, only, ported := strings.Cut(h, ":")
		if ported && only != port {
			continue
		}
		suffix, wild := strings.CutPrefix(rule, "*")
		switch {
		case rule == "" || rule == "*":
			level = 2
		case wild:
			level, length = 1, len(suffix)
			if len(name) <= length || !strings.HasSuffix(name, suffix) {
				continue
			}
		case rule != name:
			continue
		}
		open := 1
		if ported {
			open = 0
		}
		for _, p := range twinPath(r, q.path) {
			key := []int{-r.Priority, level, -length, open}
			key = append(key, p.key...)
			key = append(key, -twinCount(r), i)
			same := fmt.Sprint(r.Priority, h, p.same)
			hits = append(hits, twinHit{i, key, same, p.params})
		}
	}
	return hits
}

func twinCount(r *Rule) int {
	return min(len(r.Methods), 1) + len(r.Headers) + len(r.Query) + len(r.Schemes) + min(len(r.Listeners), 1)
}

// twinPath returns the ways a rule's path fits: none, one, or more for an optional parameter.
func twinPath(r *Rule, path string) (hits []twinHit) {
	switch {
	case r.Prefix != "":
		if path == r.Prefix || strings.HasPrefix(path, strings.TrimSuffix(r.Prefix, "/")+"/") {
			return []twinHit{{key: []int{2, -len(r.Prefix), 0, 0}, same: "prefix " + r.Prefix}}
		}
	case !strings.Contains(r.Path, "{"):
		if path == r.Path {
			return []twinHit{{key: []int{0, 0, 0, 0}, same: "exact " + path}}
		}
	default:
		tail := cmp.Compare(strings.Count(r.Path, ":*}"), 0)
		literals := len(paramSyntax.ReplaceAllString(r.Path, ""))
		constrained := strings.Count(r.Path, ":") - tail
		key := []int{1, -literals, tail, -constrained}
		for _, variant := range twinVariants(r.Path) {
			if params, ok := twinPattern(variant, path); ok {
				shape := paramSyntax.ReplaceAllString(variant, "{$3}")
				hits = append(hits, twinHit{key: key, same: "pattern " + shape, params: params})
			}
		}
	}
	return hits
}

var paramSyntax = regexp.MustCompile(`\{([a-z0-9]+)(\??)(?::([^}]*))?\}`)

func twinVariants(path string) []string {
	if !strings.Contains(path, "?") {
		return []string{path}
	}
	short := path[:strings.LastIndex(path, "/")]
	return []string{strings.Replace(path, "?", "", 1), cmp.Or(short, "/")}
}

// twinPattern tries all ways to cut path into the pieces of pattern, from the right and with the
// shortest piece first; the first way counts, and its values have to match their expressions.
func twinPattern(pattern, path string) (map[string]string, bool) {
	var names, texts, exprs []string
	rest := pattern
	for {
		at := paramSyntax.FindStringSubmatchIndex(rest)
		if at == nil {
			break
		}
		m := paramSyntax.FindStringSubmatch(rest)
		names, exprs, texts = append(names, m[1]), append(exprs, m[3]), append(texts, rest[:at[0]])
		rest = rest[at[1]:]
	}
	values := make([]string, len(names))
	var cut func(i int, path, after string) bool
	cut = func(i int, path, after string) bool {
		if i < 0 {
			return path == after
		}
		for n := 0; n+len(after) <= len(path); n++ {
			if n == 0 && exprs[i] != "*" {
				continue
			}
			value := path[len(path)-len(after)-n : len(path)-len(after)]
			if !strings.HasSuffix(path, after) || strings.Contains(value, "/") && exprs[i] != "*" {
				return false
			}
			values[i] = value
			if cut(i-1, path[:len(path)-len(after)-n], texts[i]) {
				return true
			}
		}
		return false
	}
	if !cut(len(names)-1, path, rest) {
		return nil, false
	}
	params := map[string]string{}
	for i, name := range names {
		if exprs[i] != "" && exprs[i] != "*" && !regexp.MustCompile("^("+exprs[i]+")$").MatchString(values[i]) {
			return nil, false
		}
		params[name] = values[i]
	}
	return params, true
}

func twinPredicates(r *Rule, q request) bool {
	if len(r.Schemes) > 0 && !slices.Contains(r.Schemes, q.scheme) ||
		len(r.Listeners) > 0 && !slices.Contains(r.Listeners, q.listener) {
		return false
	}
	for _, p := range r.Headers {
		lines := slices.DeleteFunc(q.header.lines(p.Name), func(v string) bool { return v == "" })
		if !twinPredicate(p.Value, lines) {
			return false
		}
	}
	for _, p := range r.Query {
		if !twinPredicate(p.Value, twinQuery(q.query, p.Name)) {
			return false
		}
	}
	return true
}

func twinQuery(query, name string) (all []string) {
	for _, pair := range strings.Split(query, "&") {
		k, v, _ := strings.Cut(pair, "=")
		if pair != "" && twinUnescape(k) == name {
			all = append(all, twinUnescape(v))
		}
	}
	return all
}

func twinUnescape(s string) string {
	out, err := url.QueryUnescape(s)
	if err != nil {
		return s
	}
	return out
}

func twinPredicate(want string, lines []string) bool {
	switch {
	case want == "*":
		return len(lines) > 0
	case want == "!":
		return len(lines) == 0
	case strings.HasPrefix(want, "~"):
		return slices.ContainsFunc(lines, regexp.MustCompile("^("+want[1:]+")$").MatchString)
	}
	return slices.Contains(lines, want)
}
