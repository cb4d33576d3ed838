package main

import (
	"fmt"
	"go/ast"
	"go/token"
	"unicode/utf8"
)

const (
	maxFunction = 70  // lines, from func to the closing brace
	maxFile     = 600 // lines of a Go file, tests included
	maxColumns  = 110 // of a Go file that is no test; a tab counts as one
)

// longFunctions are the functions that may be longer, each with its reason. The key is FOLDER.NAME or
// FOLDER.TYPE.NAME. An entry whose function has become short, or is gone, is itself a finding.
var longFunctions = map[string]string{}

// checkSizes reports functions, files and lines that are too long. A test's tables may make its functions
// and lines long: only the length of the whole file is checked there.
func checkSizes(t *tree) []finding {
	var found []finding
	long := map[string]bool{}
	for _, f := range t.gos {
		if n := len(t.lines[f.name]); n > maxFile {
			message := fmt.Sprintf("%d lines; a file has at most %d", n, maxFile)
			found = append(found, finding{f.name, maxFile + 1, message})
		}
		if f.test {
			continue
		}
		found = append(found, longLines(t.lines[f.name], f.name)...)
		found = append(found, longFuncs(f, long)...)
	}
	for key := range longFunctions {
		if !long[key] {
			found = append(found, finding{"cmd/tidy/sizes.go", 1, key + " is not long: take it out of longFunctions"})
		}
	}
	return found
}

func longLines(lines []string, name string) []finding {
	var found []finding
	for i, line := range lines {
		if n := utf8.RuneCountInString(line); n > maxColumns {
			message := fmt.Sprintf("%d columns; a line has at most %d", n, maxColumns)
			found = append(found, finding{name, i + 1, message})
		}
	}
	return found
}

// longFuncs reports the functions of a file that are too long, and marks those it lets pass in long. A
// function literal is part of the function around it; one at package level stands for itself.
func longFuncs(f *goFile, long map[string]bool) []finding {
	var found []finding
	report := func(name string, from, to token.Pos) {
		n := f.line(to) - f.line(from) + 1
		key := f.dir + "." + name
		if n <= maxFunction {
			return
		}
		if longFunctions[key] != "" {
			long[key] = true
			return
		}
		found = append(found, f.at(from, "%s has %d lines; a function has at most %d", name, n, maxFunction))
	}
	for _, decl := range f.ast.Decls {
		if fn, ok := decl.(*ast.FuncDecl); ok {
			report(funcName(fn), fn.Pos(), fn.End())
			continue
		}
		ast.Inspect(decl, func(n ast.Node) bool {
			if fn, ok := n.(*ast.FuncLit); ok {
				report("func literal", fn.Pos(), fn.End())
				return false
			}
			return true
		})
	}
	return found
}

// funcName is NAME, or TYPE.NAME for a method.
func funcName(fn *ast.FuncDecl) string {
	if r := receiver(fn); r != "" {
		return r + "." + fn.Name.Name
	}
	return fn.Name.Name
}

// receiver returns the name of a method's type, without pointer and type parameters; "" for a function.
func receiver(fn *ast.FuncDecl) string {
	if fn.Recv == nil || len(fn.Recv.List) == 0 {
		return ""
	}
	expr := fn.Recv.List[0].Type
	for {
		switch e := expr.(type) {
		case *ast.StarExpr:
			expr = e.X
		case *ast.IndexExpr:
			expr = e.X
		case *ast.IndexListExpr:
			expr = e.X
		case *ast.ParenExpr:
			expr = e.X
		case *ast.Ident:
			return e.Name
		default:
			return ""
		}
	}
}
