package main

import (
	"go/ast"
	"slices"
	"strconv"
	"strings"
)

// The gateway reaches the machine through the leaves of edge/lib that a simulation replaces. What goes past
// them would not repeat from a seed: see edge/adr/0019-a-world-in-a-box.md.

// chanceImports are the packages of which edge/lib/chance is the seam.
var chanceImports = []string{"math/rand", "math/rand/v2", "crypto/rand"}

// netNames are what package net has besides types; edge/lib/sockets and edge/lib/poll are their seam.
var netNames = []string{"Dial", "DialTimeout", "DialTCP", "DialUDP", "DialUnix", "Listen", "ListenTCP",
	"ListenUnix", "ListenPacket", "ListenUDP", "DefaultResolver", "LookupHost", "LookupIP", "LookupAddr",
	"FileConn", "FileListener"}

// callPrefixes are how system calls on sockets and epoll sets begin in packages syscall and unix.
var callPrefixes = []string{"Socket", "Connect", "Bind", "Listen", "Accept", "Recv", "Send", "Epoll",
	"Eventfd", "Shutdown", "RawSyscall", "Getsock", "Setsock"}

// pastSeam says why a file may go past the leaves.
var pastSeam = map[string]string{
	"edge/admin/listen.go":   "the admin interface is called in a simulation, not connected to",
	"edge/admin/place.go":    "as above",
	"edge/front/leave.go":    "how a socket is left behind to another process: not simulated",
	"edge/front/settings.go": "Unix sockets are not simulated",
	"pool/h1/conn.go":        "of connections that no loop can wait for, which TLS makes: not simulated",
}

// checkSeam reports what reaches the machine past the leaves.
func checkSeam(t *tree) []finding {
	var found []finding
	for _, f := range t.gos {
		if f.test || !shipped(f.dir) {
			continue
		}
		past := passesSeam(f)
		if pastSeam[f.name] == "" {
			found = append(found, past...)
		} else if len(past) == 0 {
			found = append(found, finding{f.name, 0, "nothing goes past the leaves: take it out of pastSeam"})
		}
	}
	return found
}

// passesSeam returns where a file reaches the machine past the leaves.
func passesSeam(f *goFile) []finding {
	var found []finding
	for _, spec := range f.ast.Imports {
		if path, err := strconv.Unquote(spec.Path.Value); err == nil && slices.Contains(chanceImports, path) {
			found = append(found, f.at(spec.Pos(), "%s is used past edge/lib/chance", path))
		}
	}
	ast.Inspect(f.ast, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if x, ok := sel.X.(*ast.Ident); ok && reaches(x.Name, sel.Sel.Name) {
			found = append(found, f.at(sel.Pos(), "%s.%s goes past edge/lib/poll and edge/lib/sockets",
				x.Name, sel.Sel.Name))
		}
		return true
	})
	return found
}

// shipped reports whether the packages of a folder are a part of what a simulation runs.
func shipped(dir string) bool {
	leaves := []string{"edge/lib/poll", "edge/lib/sockets", "edge/lib/chance", "edge/lib/splice", "edge/e2e",
		"edge/bodytest"}
	for _, leaf := range leaves {
		if within(dir, leaf) {
			return false
		}
	}
	for _, top := range []string{"edge", "pool", "ratelimit", "cache"} {
		if within(dir, top) {
			return true
		}
	}
	return false
}

func reaches(pkg, name string) bool {
	switch pkg {
	case "net":
		return slices.Contains(netNames, name)
	case "syscall", "unix":
		return slices.ContainsFunc(callPrefixes, func(p string) bool { return strings.HasPrefix(name, p) })
	}
	return false
}
