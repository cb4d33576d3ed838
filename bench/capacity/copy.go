package capacity

import (
	"bytes"
	"fmt"
	"maps"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// host is what the loader sends as Host; its other header fields are in sent.
const host = "bench.example.com"

// sent are the header fields of the loader's requests that a predicate can ask for.
var sent = [][2]string{
	{"Accept-Language", "en"}, {"User-Agent", "bench/1.0"}, {"Accept", "text/html,application/xhtml+xml"},
	{"Cookie", "session=0123456789abcdef"},
}

// The bare route is the copy's own: it has no policy, and neither has its pool.
const (
	bareName = "capacity-bare"
	barePath = "/capacity-bare/128"
)

// Spec is what a copy is for.
type Spec struct {
	Index   int    // of the route to measure
	Without string // the feature to leave out; "": none
	Urgent  bool   // measured and bare route before all others, where these would take their requests
	Wide    bool   // listeners take thousands of connections, and pools have their requests wait
	Apart   bool   // each of them may have a connection to a target

	Origin, Addr, Secure, Admin string
	Cert                        string // certificate and key in .crt and .key
	Dir                         string // for the access log
}

// Copy is a configuration to measure with.
type Copy struct {
	Text   string
	Route  string
	Path   string   // what is asked of the route
	Expect string   // what the loader calls an answer that is right but not 200; "": none
	Notes  []string // what is other than in the file
}

func (c *Copy) note(format string, args ...any) {
	if s := fmt.Sprintf(format, args...); !slices.Contains(c.Notes, s) {
		c.Notes = append(c.Notes, s)
	}
}

// Copy makes a copy of the file in which everything is on this host.
func (f *File) Copy(s Spec) (*Copy, error) {
	doc, err := f.decode()
	if err != nil {
		return nil, err
	}
	c := &Copy{}
	routes := tables(doc, "route")
	if s.Index >= len(routes) {
		return nil, fmt.Errorf("%s has no route %d", f.Name, s.Index)
	}
	route := routes[s.Index]
	c.Route = routeName(route, s.Index)
	if s.Without != "" {
		leaveOut(doc, route, s.Without)
	}
	c.listeners(doc, s)
	c.arrival(routes)
	c.pools(doc, s)
	c.limits(doc)
	within(doc, "admin")["address"] = s.Admin
	access := within(within(doc, "log"), "access")
	if access["output"] != "off" {
		access["output"] = filepath.Join(s.Dir, "access.log")
	}
	c.answer(route)
	c.find(route)
	bare := table{"name": bareName, "prefix": strings.TrimSuffix(barePath, "128"), "pool": bareName}
	if route["hosts"] != nil {
		bare["hosts"] = []string{host}
	}
	if s.Urgent {
		route["priority"], bare["priority"] = 1_000_000, 1_000_001
		c.note("the measured route has priority over all others, one of which takes its requests else")
	}
	doc["route"] = append(routes, bare)
	var b bytes.Buffer
	if err := toml.NewEncoder(&b).Encode(doc); err != nil {
		return nil, fmt.Errorf("cannot write a copy of %s: %w", f.Name, err)
	}
	c.Text = b.String()
	return c, nil
}

// listeners makes one plain listener and one over TLS, with the keys of the file's first of each kind.
func (c *Copy) listeners(doc table, s Spec) {
	all := tables(doc, "listener")
	plain, secure := all[0], all[0]
	if i := slices.IndexFunc(all, func(l table) bool { return l["certificate"] == nil }); i >= 0 {
		plain = all[i]
	}
	if i := slices.IndexFunc(all, func(l table) bool { return l["certificate"] != nil }); i >= 0 {
		secure = all[i]
	}
	if len(all) > 1 {
		c.note("two listeners, a plain one and one over TLS, stand for the %d of the file", len(all))
	}
	plain, secure = maps.Clone(plain), maps.Clone(secure)
	for _, l := range []table{plain, secure} {
		for _, key := range []string{"name", "certificate", "client_auth", "reuse_port", "redirect_https"} {
			delete(l, key)
		}
		if l["proxy_protocol"] == true {
			delete(l, "proxy_protocol")
			c.note("listeners expect no PROXY header")
		}
		if l["max_connections_per_ip"] != nil {
			delete(l, "max_connections_per_ip")
			c.note("no cap on connections per address: the load comes from one")
		}
		if s.Wide {
			l["max_connections"] = 16384
		}
	}
	plain["address"], secure["address"] = s.Addr, s.Secure
	secure["certificate"] = []table{{"cert": s.Cert + ".crt", "key": s.Cert + ".key"}}
	doc["listener"] = []table{plain, secure}
}

// arrival has all routes take what comes, whatever listener and scheme it comes by.
func (c *Copy) arrival(routes []table) {
	for _, r := range routes {
		for _, key := range []string{"listeners", "schemes"} {
			if r[key] != nil {
				delete(r, key)
				c.note("routes take requests of all listeners and schemes")
			}
		}
	}
}

// pools sends everything to the origin.
func (c *Copy) pools(doc table, s Spec) {
	all := within(doc, "pool")
	for _, name := range slices.Sorted(maps.Keys(all)) {
		p := child(all, name)
		if p == nil {
			continue
		}
		if targets, _ := p["targets"].([]any); len(targets) > 1 {
			c.note("pool %s has one target, the origin, instead of %d", name, len(targets))
		}
		p["targets"] = []string{s.Origin}
		if secure := child(p, "tls"); secure != nil {
			delete(p, "tls")
			if secure["enabled"] == true {
				c.note("pool %s speaks plain HTTP to the origin: TLS to targets is not measured", name)
			}
		}
		if health := child(p, "health"); health["path"] != nil {
			health["path"] = "/0"
		}
		if s.Wide {
			p["max_waiting"], p["wait_timeout"] = 16384, "10s"
		}
		if s.Apart {
			p["max_connections"] = 16384
		}
	}
	all[bareName] = table{"targets": []string{s.Origin}}
}

// limits keeps rate limits at work, but has them reject nothing.
func (c *Copy) limits(doc table) {
	all := child(doc, "rate_limit")
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if l := child(all, name); l != nil && l["mode"] != "observe" {
			l["mode"] = "observe"
			c.note("rate limit %s counts, but does not reject", name)
		}
	}
}

// answer has a route that answers by itself do so with 200 where it can, which is what the loader calls
// success.
func (c *Copy) answer(route table) {
	if respond := child(route, "respond"); respond != nil {
		if status, ok := respond["status"].(int64); ok && status != 200 {
			respond["status"] = 200
			c.note("%s responds 200 instead of %d", c.Route, status)
		}
	}
	if redirect := child(route, "redirect"); redirect != nil {
		c.Expect = "status-308"
		if status, ok := redirect["status"].(int64); ok {
			c.Expect = fmt.Sprintf("status-%d", status)
		}
		c.note("%s: the loader takes no latency of redirects", c.Route)
	}
}

// find makes the path that finds the route, and has the route take what the loader sends.
func (c *Copy) find(route table) {
	if hosts, ok := route["hosts"].([]any); ok && len(hosts) > 0 {
		route["hosts"] = []string{host}
		c.note("%s: its hosts are %s, which the loader sends", c.Route, host)
	}
	if methods, ok := route["methods"].([]any); ok && len(methods) > 0 && !slices.Contains(methods, any("GET")) {
		route["methods"] = append(methods, "GET")
		c.note("%s takes GET too, which the loader sends", c.Route)
	}
	c.headers(route)
	path, ok := route["prefix"].(string)
	if ok {
		path = strings.TrimSuffix(path, "/") + "/128"
	} else {
		path = c.fill(route)
	}
	query := c.query(route)
	// The origin reads the number of bytes behind the last slash. Where the path that it sees has none there,
	// the query string has.
	if query != "" || route["rewrite"] != nil || !strings.HasSuffix(path, "/128") {
		path += "?" + query + "/128"
	}
	c.Path = path
}

// headers has the route ask for as many header fields as before, but for those the loader sends.
func (c *Copy) headers(route table) {
	asked := child(route, "headers")
	if len(asked) == 0 {
		return
	}
	changed, i := table{}, 0
	for _, name := range slices.Sorted(maps.Keys(asked)) {
		value, _ := asked[name].(string)
		if value == "!" {
			changed[name] = value
			continue
		}
		if i == len(sent) {
			c.note("%s asks for fewer header fields", c.Route)
			break
		}
		switch {
		case value == "*":
			changed[sent[i][0]] = "*"
		case strings.HasPrefix(value, "~"):
			changed[sent[i][0]] = "~" + regexp.QuoteMeta(sent[i][1])
		default:
			changed[sent[i][0]] = sent[i][1]
		}
		i++
	}
	route["headers"] = changed
	c.note("%s asks for header fields that the loader sends", c.Route)
}

// query gives the parameters that the route asks for, each with a & behind it.
func (c *Copy) query(route table) string {
	asked, q := child(route, "query"), ""
	for _, name := range slices.Sorted(maps.Keys(asked)) {
		value, _ := asked[name].(string)
		pattern, isPattern := strings.CutPrefix(value, "~")
		switch {
		case value == "!":
			continue
		case value == "*":
			value = "1"
		case isPattern:
			if value = example(pattern); value == "" {
				delete(asked, name)
				c.note("%s does not ask for the parameter %s: no value is known to match", c.Route, name)
				continue
			}
		}
		q += url.QueryEscape(name) + "=" + url.QueryEscape(value) + "&"
	}
	if asked != nil && len(asked) == 0 {
		delete(route, "query")
	}
	return q
}

// fill gives a path that a pattern matches. A parameter for which no value is known becomes one without
// condition.
func (c *Copy) fill(route table) string {
	pattern, _ := route["path"].(string)
	var path, kept strings.Builder
	for pattern != "" {
		open := strings.IndexByte(pattern, '{')
		if open < 0 {
			break
		}
		end := closing(pattern, open)
		name, condition, _ := strings.Cut(pattern[open+1:end], ":")
		value := "128"
		if condition != "" && condition != "*" {
			value = example(condition)
		}
		part := pattern[open : end+1]
		if value == "" {
			part, value = "{"+name+"}", "128"
			c.note("%s: the parameter %s may be anything: no value is known to match", c.Route, name)
		}
		path.WriteString(pattern[:open] + value)
		kept.WriteString(pattern[:open] + part)
		pattern = pattern[end+1:]
	}
	if kept.Len() > 0 {
		route["path"] = kept.String() + pattern
	}
	return path.String() + pattern
}

// closing gives the place of the brace that closes the one at open.
func closing(s string, open int) int {
	depth := 0
	for i := open; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return len(s) - 1
}

// example gives a text that a regular expression matches as a whole, or "".
func example(pattern string) string {
	re, err := regexp.Compile("^(?:" + pattern + ")$")
	if err != nil {
		return ""
	}
	for _, s := range []string{"128", "1", "12", "1234", "12345", "12345678", "a", "ab", "abc", "en", "a1", "A",
		"v1", "true", "2026-01-02", "a.html", "01234567-89ab-4def-8123-456789abcdef",
		"0123456789abcdef0123456789abcdef"} {
		if re.MatchString(s) {
			return s
		}
	}
	return ""
}
