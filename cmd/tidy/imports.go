package main

import (
	"slices"
	"strconv"
	"strings"
)

// arrow is what the packages of one folder may import of this module, besides their own sub-folders.
type arrow struct {
	from string   // a folder; "edge/*" is every folder of edge that no line above names
	to   []string // folders, with all below them; "edge." is the package edge itself without its sub-folders
}

// core is what every feature may import.
var core = []string{"edge.", "edge/config", "edge/route", "edge/lib"}

// arrows is the star: everything points at edge, and features do not see each other. The first line that
// matches a package decides. Test files are free, but may not import cmd either.
var arrows = []arrow{
	{"edge/lib", []string{"edge/lib"}},
	{"edge/route", []string{"edge/lib"}},
	{"edge/config", []string{"edge/lib"}},
	{"pool/balance", []string{"edge/lib"}},
	{"pool/breaker", []string{"edge/config", "edge/lib"}},
	{"pool/discovery", []string{"edge/config", "edge/lib"}},
	{"pool/health", []string{"edge/config", "edge/lib"}},
	{"pool/limit", []string{"edge/config", "edge/lib"}},
	{"pool/outlier", []string{"edge/config", "edge/lib"}},
	{"pool/budget", []string{"edge/lib"}},
	{"pool/certs", []string{"edge/config", "edge/lib"}},
	{"pool/fixed", []string{"pool/section", "edge."}},
	{"pool/guard", []string{"pool/breaker", "pool/health", "pool/limit", "edge.", "edge/lib"}},
	{"pool/h1", []string{"pool/resolve", "pool/transport", "edge.", "edge/config", "edge/lib"}},
	{"pool/hashkey", []string{"pool/balance", "pool/section", "edge.", "edge/lib"}},
	{"pool/kept", []string{"pool/discovery", "edge/lib"}},
	{"pool/order", []string{"pool/section", "edge/lib"}},
	{"pool/outcome", []string{"edge.", "edge/lib"}},
	{"pool/own", []string{"edge/config", "edge/lib"}},
	{"pool/queue", []string{"edge/lib"}},
	{"pool/recent", []string{"edge/lib"}},
	{"pool/replay", []string{"pool/transport", "edge."}},
	{"pool/resolve", []string{"edge/lib"}},
	{"pool/section", []string{"pool/balance", "pool/breaker", "pool/discovery", "pool/health", "pool/limit",
		"pool/outlier", "pool/transport", "edge.", "edge/config", "edge/lib"}},
	{"pool/status", []string{"pool/health", "pool/order"}},
	{"pool/ticket", []string{"pool/section", "edge.", "edge/lib"}},
	{"pool/transport", []string{"edge.", "edge/config", "edge/lib"}},
	{"ratelimit/bucket", []string{"edge/lib"}},
	{"cache/fresh", []string{"edge/lib"}},
	{"cache/store", []string{"edge/lib"}},
	{"cache/disk", []string{"edge/lib"}},
	// Each layer of a cache stands on those above it here.
	{"cache/outcome", []string{"cache/fresh"}},
	{"cache/accept", []string{"edge.", "edge/lib"}},
	{"cache/key", []string{"cache/accept", "cache/fresh", "edge.", "edge/config", "edge/lib"}},
	{"cache/entry", []string{"cache/accept", "cache/fresh", "cache/key", "edge.", "edge/lib"}},
	{"cache/purge", []string{"cache/disk", "cache/key", "cache/store", "edge/lib"}},
	{"cache/records", []string{"cache/accept", "cache/disk", "cache/entry", "cache/key", "cache/purge",
		"cache/store", "edge.", "edge/lib"}},
	{"cache/chunks", []string{"cache/disk", "cache/entry", "cache/fresh", "cache/key", "cache/store", "edge."}},
	{"cache/flight", []string{"cache/chunks", "cache/entry", "cache/outcome", "cache/store", "edge."}},
	{"cache/fetch", []string{"cache/accept", "cache/entry", "cache/flight", "cache/fresh", "cache/key",
		"cache/outcome", "cache/purge", "cache/records", "cache/store", "edge."}},
	{"cache/section", []string{"cache/accept", "cache/fresh", "cache/key", "cache/store", "edge/config",
		"edge/lib"}},
	{"cache/lookup", []string{"cache/accept", "cache/chunks", "cache/entry", "cache/fetch", "cache/flight",
		"cache/fresh", "cache/key", "cache/outcome", "cache/purge", "cache/section", "cache/store", "edge.",
		"edge/lib"}},
	{"cache/warm", []string{"edge."}},
	{"cache/cachetest", []string{"edge.", "edge/lib"}},
	{"edge/front/client", []string{"edge/front/clientauth", "edge/lib"}},
	{"edge/front/clientauth", []string{"edge/config", "edge/route", "edge/lib"}},
	{"edge/front/h1", []string{"edge/front/client", "edge/route", "edge.", "edge/lib"}},
	{"edge/e2e", []string{"edge", "bench", "pool", "ratelimit", "cache", "configs"}},
	{"edge/live", append([]string{"edge/front"}, core...)},
	{"edge/*", core},
	{"edge", []string{"edge/config", "edge/route", "edge/lib"}},
	{"pool", core},
	{"ratelimit", core},
	{"cache", core},
	{"configs", core},
	{"bench", []string{"edge", "pool", "ratelimit", "cache", "configs"}},
	{"cmd", []string{"edge", "pool", "ratelimit", "cache", "configs"}},
}

// leaves are the folders that import nothing of ours but edge/lib, and at most one engine of somebody else.
var leaves = []string{
	"edge/lib", "edge/route", "edge/config", "pool/balance", "ratelimit/bucket", "cache/fresh", "cache/store",
	"cache/disk",
}

// topLevel is what may stand at the top of the repository, besides dot files.
var topLevel = []string{
	"cmd", "edge", "pool", "ratelimit", "cache", "bench", "configs", "docs",
	"go.mod", "go.sum", "Makefile", "README.md", "LICENSE",
}

// checkTop reports files outside the fixed top level.
func checkTop(t *tree) []finding {
	var found []finding
	for _, name := range t.names {
		top, _, _ := strings.Cut(name, "/")
		if !strings.HasPrefix(top, ".") && !slices.Contains(topLevel, top) {
			found = append(found, finding{name, 1, "not one of the fixed top-level names: " + top})
		}
	}
	return found
}

// checkImports reports every import of ours that no arrow allows.
func checkImports(t *tree) []finding {
	var found []finding
	for _, f := range t.gos {
		for _, spec := range f.ast.Imports {
			to, ours := t.ours(importPath(spec.Path.Value))
			if !ours {
				continue
			}
			if why := refuse(f.dir, to, f.test); why != "" {
				found = append(found, f.at(spec.Pos(), "%s", why))
			}
		}
	}
	return found
}

// ours turns an import path into a folder of this module.
func (t *tree) ours(path string) (folder string, ok bool) {
	if path == t.module {
		return ".", true
	}
	return strings.CutPrefix(path, t.module+"/")
}

// refuse returns why a package in folder from may not import the package in folder to; empty: it may.
func refuse(from, to string, test bool) string {
	switch {
	case within(to, "cmd") && !within(from, "cmd"):
		return "nothing imports cmd: " + to
	case within(to, "bench") && !within(from, "bench") && !within(from, "edge/e2e"):
		return "nothing imports bench: " + to
	case test:
		return ""
	}
	a := arrowOf(from)
	if a == nil {
		return "no rule says what " + from + " may import: add it to arrows in cmd/tidy"
	}
	if from == to || within(to, ownFolder(a, from)) || slices.ContainsFunc(a.to, func(f string) bool {
		return f == to+"." || within(to, f)
	}) {
		return ""
	}
	return from + " may not import " + to + ": it may import " + strings.Join(allowed(a), ", ")
}

// arrowOf returns the first arrow that matches a folder, or nil.
func arrowOf(from string) *arrow {
	for i := range arrows {
		folder, below := strings.CutSuffix(arrows[i].from, "/*")
		if below && strings.HasPrefix(from, folder+"/") || !below && within(from, folder) {
			return &arrows[i]
		}
	}
	return nil
}

// ownFolder is the folder whose packages from may import freely: its feature's. For the package edge it is
// none, because below edge lie all features.
func ownFolder(a *arrow, from string) string {
	if folder, below := strings.CutSuffix(a.from, "/*"); below {
		feature, _, _ := strings.Cut(from[len(folder)+1:], "/")
		return folder + "/" + feature
	}
	if a.from == "edge" {
		return "."
	}
	return a.from
}

func allowed(a *arrow) []string {
	var names []string
	for _, f := range a.to {
		names = append(names, strings.TrimSuffix(f, "."))
	}
	return names
}

// checkEngines reports a leaf package that stands on more than one module of somebody else. golang.org/x
// counts as the standard library.
func checkEngines(t *tree) []finding {
	var found []finding
	engine := map[string]string{} // by folder
	for _, f := range t.gos {
		leaf := slices.ContainsFunc(leaves, func(l string) bool { return within(f.dir, l) })
		if !leaf || f.test {
			continue
		}
		for _, spec := range f.ast.Imports {
			m := t.moduleOf(importPath(spec.Path.Value))
			if m == "" || strings.HasPrefix(m, "golang.org/x/") || m == engine[f.dir] {
				continue
			}
			if engine[f.dir] != "" {
				found = append(found, f.at(spec.Pos(), "a leaf package has one engine: %s has %s and now %s",
					f.dir, engine[f.dir], m))
				continue
			}
			engine[f.dir] = m
		}
	}
	return found
}

// moduleOf returns the required module that holds an import path, or "".
func (t *tree) moduleOf(path string) string {
	best := ""
	for _, m := range t.needs {
		if within(path, m) && len(m) > len(best) {
			best = m
		}
	}
	return best
}

// importPath takes the quotes off an import literal. The parser has accepted it, so it is a string.
func importPath(literal string) string {
	path, err := strconv.Unquote(literal)
	if err != nil {
		panic("BUG: import path " + literal + " is no string")
	}
	return path
}
