// Package capacity measures what the routes of a configuration file cost, where a gateway with it has its
// knee, and computes what a host of some size carries.
package capacity

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// table is one of TOML's, decoded without knowledge of its keys.
type table = map[string]any

// File is a configuration file as it was written.
type File struct {
	Name string
	text string
	doc  table
}

// Read reads a configuration file.
func Read(name string) (*File, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	f := &File{Name: name, text: string(text)}
	if f.doc, err = f.decode(); err != nil {
		return nil, err
	}
	if len(tables(f.doc, "listener")) == 0 || len(tables(f.doc, "route")) == 0 {
		return nil, fmt.Errorf("%s has no listener or no route: there is nothing to measure", name)
	}
	return f, nil
}

// decode gives a copy of the file's tables that the caller may change.
func (f *File) decode() (table, error) {
	var doc table
	if _, err := toml.Decode(f.text, &doc); err != nil {
		return nil, fmt.Errorf("%s: %w", f.Name, err)
	}
	return doc, nil
}

// child gives a table of a table, or nil.
func child(t table, key string) table {
	c, _ := t[key].(table)
	return c
}

// tables gives an array of tables, however it is written.
func tables(t table, key string) []table {
	switch list := t[key].(type) {
	case []table:
		return list
	case []any:
		var all []table
		for _, x := range list {
			if c, ok := x.(table); ok {
				all = append(all, c)
			}
		}
		return all
	}
	return nil
}

// within gives a table of a table, which it makes if need be.
func within(t table, key string) table {
	if c := child(t, key); c != nil {
		return c
	}
	c := table{}
	t[key] = c
	return c
}

func routeName(route table, i int) string {
	if name, ok := route["name"].(string); ok {
		return name
	}
	return fmt.Sprintf("route-%d", i+1)
}

// plainKeys are those of a route that are no policy: where it is found, and what answers.
var plainKeys = []string{"name", "hosts", "listeners", "schemes", "methods", "path", "prefix",
	"priority", "pool", "redirect", "respond"}

// Chain is what requests of some routes pass through.
type Chain struct {
	Routes   []string // those with the same features; the first is measured
	Answer   string   // pool, split, redirect or respond
	Features []string // policies that can be left out of a copy
	Index    int      // of the first route
}

// Forwards reports whether requests of the chain go to a target.
func (c *Chain) Forwards() bool { return c.Answer == "pool" || c.Answer == "split" }

// Name is that of the measured route.
func (c *Chain) Name() string { return c.Routes[0] }

// Chains gives the chains of the file's routes, in the order of the file.
func (f *File) Chains() []Chain {
	var all []Chain
	for i, r := range tables(f.doc, "route") {
		c := Chain{Routes: []string{routeName(r, i)}, Answer: answer(r), Index: i}
		c.Features = f.features(r, &c)
		at := slices.IndexFunc(all, func(o Chain) bool {
			return o.Answer == c.Answer && slices.Equal(o.Features, c.Features)
		})
		if at < 0 {
			all = append(all, c)
		} else {
			all[at].Routes = append(all[at].Routes, c.Routes[0])
		}
	}
	return all
}

func answer(route table) string {
	for _, key := range []string{"split", "redirect", "respond"} {
		if route[key] != nil {
			return key
		}
	}
	return "pool"
}

// features names the policies of a route and of its pools: "route KEY" and "pool KEY".
func (f *File) features(route table, c *Chain) []string {
	var all []string
	for _, key := range slices.Sorted(maps.Keys(route)) {
		if !slices.Contains(plainKeys, key) {
			all = append(all, "route "+key)
		}
	}
	if !c.Forwards() {
		return all
	}
	for _, name := range poolsOf(route) {
		p := child(child(f.doc, "pool"), name)
		for _, key := range slices.Sorted(maps.Keys(p)) {
			if (child(p, key) == nil || key == "tls") && key != "balance" {
				continue
			}
			if feature := "pool " + key; !slices.Contains(all, feature) {
				all = append(all, feature)
			}
		}
	}
	return all
}

// poolsOf names the pools that answer a route's requests.
func poolsOf(route table) []string {
	if name, ok := route["pool"].(string); ok {
		return []string{name}
	}
	var all []string
	for _, arm := range tables(route, "split") {
		if name, ok := arm["pool"].(string); ok {
			all = append(all, name)
		}
	}
	return all
}

// The features that all routes have in common, as far as a configuration can do without.
const (
	accessLog      = "access log"
	trustedProxies = "trusted proxies"
	minimumRates   = "minimum rates"
)

// fixed are features that no key switches off, with the cost of which the bare hop is measured.
var fixed = []string{"request id", "forwarded headers"}

// Shared gives the features in use that all routes have in common and that can be left out.
func (f *File) Shared() []string {
	var all []string
	if access := child(child(f.doc, "log"), "access"); access["output"] != "off" {
		all = append(all, accessLog)
	}
	if child(f.doc, "server")["trusted_proxies"] != nil {
		all = append(all, trustedProxies)
	}
	for _, l := range tables(f.doc, "listener") {
		if (l["min_send_rate"] != nil || l["min_receive_rate"] != nil) && !slices.Contains(all, minimumRates) {
			all = append(all, minimumRates)
		}
	}
	return all
}

// leaveOut takes a feature out of a copy's tables.
func leaveOut(doc, route table, feature string) {
	where, key, _ := strings.Cut(feature, " ")
	switch {
	case feature == accessLog:
		within(within(doc, "log"), "access")["output"] = "off"
	case feature == trustedProxies:
		delete(child(doc, "server"), "trusted_proxies")
	case feature == minimumRates:
		for _, l := range tables(doc, "listener") {
			l["min_send_rate"], l["min_receive_rate"] = "0", "0"
		}
	case where == "pool":
		for _, name := range poolsOf(route) {
			delete(child(child(doc, "pool"), name), key)
		}
	case feature == "route split":
		route["pool"] = poolsOf(route)[0]
		delete(route, "split")
		delete(route, "sticky")
	case where == "route":
		delete(route, key)
	}
}
