package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/penstock-edge/penstock/edge/lib/header"
)

// Load reads a file and decodes its core sections. It never returns nil. The mistakes found are returned by
// File.Finish, which is to be called once the owners of all other sections have decoded theirs.
func Load(name string, text []byte, o Options) *Config {
	f := Parse(name, text, o)
	c := &Config{File: f}
	_ = f.Guard(c.read) // it is recorded
	return c
}

// read decodes the core sections.
func (c *Config) read() {
	f := c.File
	f.section("server").Decode(&c.Server)
	f.section("admin").Decode(&c.Admin)
	f.section("log").Decode(&c.Log)
	for _, t := range f.Root.List("listener") {
		var l Listener
		t.Decode(&l)
		c.Listeners = append(c.Listeners, l)
	}
	for _, t := range f.Root.List("route") {
		var r Route
		t.Decode(&r)
		c.Routes = append(c.Routes, r)
	}
	c.checkListeners()
	c.checkAddresses()
	c.checkRoutes()
}

// section returns a table of the root, an empty one when it is not in the file.
func (f *File) section(key string) *Table {
	if t := f.Root.Child(key); t != nil {
		return t
	}
	return f.emptyTable(key, f.Root.node)
}

func (c *Config) checkListeners() {
	if len(c.Listeners) == 0 && !c.File.Root.Has("listener") {
		c.File.Root.Errorf("listener", "there must be at least one [[listener]]")
	}
	names := make(taken, len(c.Listeners))
	for i := range c.Listeners {
		l := &c.Listeners[i]
		switch {
		case !l.Table.Has("name"):
			// Not taken: two listeners of one address are reported as that, not as having one name too.
			l.Name = l.Address
		case !IsName(l.Name):
			l.Table.Errorf("name", "%s", badName)
		default:
			names.claim(l.Name, "listener", l.Table)
		}
	}
}

// checkAddresses reports addresses that cannot be read, and those that two would listen on.
func (c *Config) checkAddresses() {
	type user struct {
		endpoint
		what string
	}
	var users []user
	if e, ok := parseEndpoint(c.Admin.Address); ok {
		what := "[admin], which has it by default"
		if c.Admin.Table.Has("address") {
			what = "[admin] " + lineOf(c.Admin.Table, "address")
		}
		users = append(users, user{e, what})
	} else {
		c.Admin.Table.Errorf("address", "%s%s", badAddress, shorten(c.Admin.Address))
	}
	for i := range c.Listeners {
		l := &c.Listeners[i]
		e, ok := parseEndpoint(l.Address)
		if !ok && l.Table.Has("address") {
			l.Table.Errorf("address", "%s%s", badAddress, shorten(l.Address))
		}
		if !ok {
			continue
		}
		for _, u := range users {
			if e.clashes(u.endpoint) {
				l.Table.Errorf("address", "%s is already taken by %s", shorten(l.Address), u.what)
				break
			}
		}
		users = append(users, user{e, "the listener " + lineOf(l.Table, "address")})
	}
}

func lineOf(t *Table, key string) string {
	line, _ := t.Pos(key)
	return atLine(line)
}

func atLine(line int) string { return "at line " + strconv.Itoa(line) }

func (c *Config) checkRoutes() {
	if len(c.Routes) == 0 && !c.File.Root.Has("route") {
		c.File.Root.Errorf("route", "there must be at least one [[route]]")
	}
	names := make(taken, len(c.Routes))
	for i := range c.Routes {
		r := &c.Routes[i]
		switch {
		case !r.Table.Has("name"):
			r.Name = fmt.Sprintf("route-%d", i+1)
			names.claim(r.Name, "route", r.Table)
		case !IsName(r.Name):
			r.Table.Errorf("name", "%s", badName)
		default:
			names.claim(r.Name, "route", r.Table)
		}
		r.check()
		for _, name := range r.Listeners {
			if known := c.listenerNames(); !slices.Contains(known, name) {
				r.Table.Unknown("listeners", "listener", name, known)
			}
		}
	}
}

func (c *Config) listenerNames() []string {
	names := make([]string, len(c.Listeners))
	for i := range c.Listeners {
		names[i] = c.Listeners[i].Name
	}
	return names
}

func (r *Route) check() {
	hasPath, hasPrefix := r.Table.Has("path"), r.Table.Has("prefix")
	switch {
	case hasPath && hasPrefix:
		r.Table.Errorf("prefix", "a route has either a path or a prefix: the path is %s", lineOf(r.Table, "path"))
	case !hasPath && !hasPrefix:
		r.Table.Errorf("", `a route needs a path or a prefix: prefix = "/" takes everything`)
	case hasPath && !strings.HasPrefix(r.Path, "/"):
		r.Table.Errorf("path", "must begin with /, is %s", shorten(r.Path))
	case hasPrefix && !strings.HasPrefix(r.Prefix, "/"):
		r.Table.Errorf("prefix", "must begin with /, is %s", shorten(r.Prefix))
	}
	for _, method := range r.Methods {
		r.checkMethod(method)
	}
	r.checkStars()
	r.checkHosts()
}

// checkMethod reports what is no method, and a common one that is not in upper case: any token is a method,
// and they are compared by case (RFC 9110 section 9.1).
func (r *Route) checkMethod(method string) {
	upper := strings.ToUpper(method)
	switch {
	case !header.IsToken(method):
		r.Table.Mistake("methods", method, "", shorten(method)+" is not a method")
	case upper != method && slices.Contains(commonMethods, upper):
		r.Table.Mistake("methods", method, upper, shorten(method)+" is not a method")
	}
}

var commonMethods = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT",
	"QUERY"}

// taken are the tables that have given themselves a name.
type taken map[string]*Table

func (names taken) claim(name, what string, t *Table) {
	if other := names[name]; other != nil {
		t.Errorf("name", "%q is the name of the %s %s too", name, what, lineOf(other, "name"))
		return
	}
	names[name] = t
}
