package main

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/token"
	"maps"
	"slices"
	"strings"
)

const (
	maxComplexity = 15   // cyclomatic, of a function
	maxPackage    = 3000 // lines of a package without its tests
	maxInterfaces = 1.0  // for each 1,000 lines of the repository
	minComments   = 12.0 // lines in 100 of the repository that have a comment
)

// complexParsers are the functions that may be more complex, each with its reason; all are parsers. The key
// is FOLDER.NAME or FOLDER.TYPE.NAME. An entry whose function has become simple, or is gone, is itself a
// finding.
var complexParsers = map[string]string{
	"edge/lib/wire.validIPv6":          "each branch is a rule of RFC 3986 section 3.2.2 about one byte",
	"cache/entry.Description.readLine": "each branch is a field of an answer's head that a cache reads",
	"cache/fresh.Date":                 "each branch is a part of the three forms of RFC 9110 section 5.6.7",
	"cache/fresh.Directives.set":       "each branch is a directive of RFC 9111 section 5.2",
	"edge/front.parseProxyV1":          "each branch is a part of the line of the PROXY protocol, version 1",
	"edge/lib/ip.parse6":               "each branch is a rule of RFC 4291 section 2.2 about one byte",
}

// complexity is the cyclomatic complexity of a function: 1, and 1 for each if, loop, case, && and ||.
func complexity(fn ast.Node) int {
	n := 1
	ast.Inspect(fn, func(node ast.Node) bool {
		switch s := node.(type) {
		case *ast.IfStmt, *ast.ForStmt, *ast.RangeStmt:
			n++
		case *ast.CaseClause:
			n += min(len(s.List), 1) // default has no list
		case *ast.CommClause:
			if s.Comm != nil {
				n++
			}
		case *ast.BinaryExpr:
			if s.Op == token.LAND || s.Op == token.LOR {
				n++
			}
		}
		return true
	})
	return n
}

// checkComplexity reports functions that have too many branches. Those of tests may.
func checkComplexity(t *tree) []finding {
	var found []finding
	exempt := maps.Clone(complexParsers)
	for _, f := range t.gos {
		if f.test {
			continue
		}
		for _, decl := range f.ast.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok {
				continue
			}
			n, key := complexity(fn), f.dir+"."+funcName(fn)
			switch {
			case n <= maxComplexity:
			case exempt[key] != "":
				delete(exempt, key)
			default:
				found = append(found, f.at(fn.Pos(), "%s has cyclomatic complexity %d; a function has at most %d",
					funcName(fn), n, maxComplexity))
			}
		}
	}
	if t.text["cmd/tidy/figures.go"] == nil {
		return found // the tree of another repository
	}
	for _, key := range slices.Sorted(maps.Keys(exempt)) {
		message := key + " is not complex: take it out of complexParsers"
		found = append(found, finding{"cmd/tidy/figures.go", 1, message})
	}
	return found
}

// figures are counted over all Go files but tests.
type figures struct {
	packages                    map[string]int // lines, by folder
	lines, comments, interfaces int
}

func count(t *tree) figures {
	c := figures{packages: map[string]int{}}
	for _, f := range t.gos {
		if f.test {
			continue
		}
		n := len(t.lines[f.name])
		c.packages[f.dir] += n
		c.lines += n
		for _, group := range f.ast.Comments {
			c.comments += f.line(group.End()) - f.line(group.Pos()) + 1
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			if s, ok := n.(*ast.TypeSpec); ok {
				if _, ok := s.Type.(*ast.InterfaceType); ok {
					c.interfaces++
				}
			}
			return true
		})
	}
	return c
}

// density returns how many of 100 lines have a comment.
func (c figures) density() float64 { return 100 * float64(c.comments) / float64(max(c.lines, 1)) }

// abstract returns how many interfaces 1,000 lines have.
func (c figures) abstract() float64 { return 1000 * float64(c.interfaces) / float64(max(c.lines, 1)) }

// checkFigures reports packages that are too large, and a repository with too many interfaces or too few
// comments. One of less than 1,000 lines is too small to be judged as a whole.
func checkFigures(t *tree) []finding {
	var found []finding
	c := count(t)
	for dir, n := range c.packages {
		if n > maxPackage {
			found = append(found, finding{dir, 1, fmt.Sprintf("%d lines; a package has at most %d", n, maxPackage)})
		}
	}
	if c.lines < 1000 {
		return found
	}
	if n := c.abstract(); n > maxInterfaces {
		message := fmt.Sprintf("%.2f interfaces for each 1,000 lines; at most %g", n, maxInterfaces)
		found = append(found, finding{"go.mod", 1, message})
	}
	if n := c.density(); n < minComments {
		message := fmt.Sprintf("%.1f %% of the lines have a comment; at least %g", n, minComments)
		found = append(found, finding{"go.mod", 1, message})
	}
	return found
}

// figuresText is what -figures prints: the figures of the whole, then the ten largest packages and the ten
// most complex functions.
func figuresText(t *tree) string {
	c := count(t)
	var b strings.Builder
	fmt.Fprintf(&b, "%d lines, %.1f %% with a comment, %.2f interfaces for each 1,000\n",
		c.lines, c.density(), c.abstract())
	branches := map[string]int{}
	for _, f := range t.gos {
		for _, decl := range f.ast.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok && !f.test {
				branches[f.dir+"."+funcName(fn)] = complexity(fn)
			}
		}
	}
	for _, list := range []map[string]int{c.packages, branches} {
		names := slices.SortedFunc(maps.Keys(list), func(a, b string) int {
			return cmp.Or(cmp.Compare(list[b], list[a]), cmp.Compare(a, b))
		})
		b.WriteByte('\n')
		for _, name := range names[:min(len(names), 10)] {
			fmt.Fprintf(&b, "%6d %s\n", list[name], name)
		}
	}
	return b.String()
}
