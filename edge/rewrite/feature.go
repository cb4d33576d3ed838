// Package rewrite decides which path and which Host the target sees.
package rewrite

import (
	"bytes"
	"net/url"
	"strconv"
	"strings"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/config"
	"github.com/penstock-edge/penstock/edge/lib/template"
	"github.com/penstock-edge/penstock/edge/route"
)

// Feature makes the route keys strip_prefix, rewrite, preserve_host and set_host work.
var Feature = edge.Feature{Name: "rewrite", New: build}

func build(*edge.Host) *edge.Instance { return &edge.Instance{Route: setUp} }

// keys are those of a [[route]].
type keys struct {
	// A part that the target does not see; instead of rewrite.
	StripPrefix string `toml:"strip_prefix" unset:"the path as it came"`
	// What the target sees, parameters filled in.
	Rewrite string `toml:"rewrite" unset:"the path as it came"`
	// false: the target gets its own address as Host.
	PreserveHost bool `toml:"preserve_host" default:"true"`
	// The Host that the target gets, instead of preserve_host; a template.
	SetHost string `toml:"set_host"`
	// true: Location, Content-Location and cookies of answers are turned back.
	MapLocation bool `toml:"map_location" unset:"true where path or host are changed"`
	// Path and Prefix are the route's own: what the parameters are, and what lies behind the prefix.
	Path   string `toml:"path"`
	Prefix string `toml:"prefix"`

	Table *config.Table `toml:"-"`
}

func setUp(r *edge.RouteSetup) {
	if r.Unrouted {
		return
	}
	var k keys
	r.Table.Decode(&k)
	k.host(r)
	var m *mapping // nil: the path stays
	switch {
	case r.Table.Has("strip_prefix") && r.Table.Has("rewrite"):
		r.Table.Errorf("rewrite", "a route has either strip_prefix or rewrite")
	case r.Table.Has("strip_prefix"):
		if s := k.strip(); s != nil {
			r.Add(edge.Rewrite, s)
			r.Note("strip_prefix", k.StripPrefix)
			m = &mapping{public: bytes.TrimSuffix(s.prefix, root)}
		}
	case r.Table.Has("rewrite"):
		if n := k.template(); n != nil {
			r.Add(edge.Rewrite, n)
			r.Note("rewrite", k.Rewrite)
			prefix, _ := route.Canonical(nil, []byte(k.Prefix)) // template has seen that it is good
			m = n.mapping(string(prefix))
		}
	}
	k.maps(r, m)
}

// strip returns nil when the key is wrong, which is then recorded.
func (k *keys) strip() *strip {
	prefix, bad := route.Canonical(nil, []byte(k.StripPrefix))
	if bad != nil {
		k.Table.Errorf("strip_prefix", "%s", bad.Reason)
		return nil
	}
	literal, _, _ := strings.Cut(k.Path+k.Prefix, "{")
	if !strings.HasPrefix(literal, string(prefix)) && !strings.HasPrefix(string(prefix), literal) {
		k.Table.Errorf("strip_prefix", "no path of this route begins with %q: all begin with %q", prefix, literal)
		return nil
	}
	return &strip{prefix}
}

// template returns nil when the key is wrong, which is then recorded, or the path that it is about.
func (k *keys) template() *newPath {
	vars, ok := edge.RouteVars(k.Path, k.Prefix)
	if !ok {
		return nil // whoever compiles the routes reports it
	}
	n, message := parse(k.Rewrite, vars, k.Prefix != "")
	if message != "" {
		k.Table.Errorf("rewrite", "%s", message)
		return nil
	}
	return n
}

// host adds what decides the Host toward the target.
func (k *keys) host(r *edge.RouteSetup) {
	switch {
	case !r.Table.Has("set_host"):
		if k.PreserveHost {
			r.Add(edge.Rewrite, keepHost{})
		} else {
			r.Note("preserve_host", "false")
		}
		return
	case r.Table.Has("preserve_host"):
		k.Table.Errorf("set_host", "a route has either set_host or preserve_host")
		return
	}
	vars, ok := edge.RouteVars(k.Path, k.Prefix)
	if !ok {
		return
	}
	host, message := template.Parse(k.SetHost, template.Host, vars)
	if message == "" && !isAuthority(host.Skeleton()) {
		message = "must be a host, with a port or without, is " + strconv.Quote(k.SetHost)
	}
	if message != "" {
		k.Table.Errorf("set_host", "%s", message)
		return
	}
	r.Add(edge.Rewrite, &setHost{host})
	r.Note("set_host", k.SetHost)
}

// isAuthority reports whether text can be the Host of a request.
func isAuthority(text string) bool {
	u, err := url.Parse("http://" + text)
	return err == nil && u.Host == text && text != "" && u.Hostname() != "" && u.User == nil
}
