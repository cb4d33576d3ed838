package main

import (
	"go/ast"
	"go/token"
	"slices"
	"strings"
)

// emptyNames say nothing about what is in a package.
var emptyNames = []string{"util", "utils", "common", "helper", "helpers", "types", "misc", "shared"}

// selfEvident are methods whose interface of the standard library already says what they do.
var selfEvident = []string{"Error", "String", "Unwrap", "Len", "Less", "Swap"}

// checkNames reports packages with an empty name, and init functions outside cmd.
func checkNames(t *tree) []finding {
	var found []finding
	for _, f := range t.gos {
		name := strings.TrimSuffix(f.ast.Name.Name, "_test")
		if slices.Contains(emptyNames, name) {
			found = append(found, f.at(f.ast.Name.Pos(), "a package called %s says nothing", name))
		}
		if within(f.dir, "cmd") {
			continue
		}
		for _, decl := range f.ast.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
				found = append(found, f.at(fn.Pos(), "init() outside cmd: register explicitly"))
			}
		}
	}
	return found
}

// checkDocs reports exported names without a comment. Packages named main and tests export nothing.
func checkDocs(t *tree) []finding {
	var found []finding
	for _, f := range t.gos {
		if f.test || f.ast.Name.Name == "main" {
			continue
		}
		for _, decl := range f.ast.Decls {
			for _, name := range undocumented(decl) {
				found = append(found, f.at(name.Pos(), "exported %s has no comment", name.Name))
			}
		}
	}
	return found
}

// undocumented returns the exported names of a declaration that have no comment. One comment over a group
// of constants or variables stands for all of them; types need their own.
func undocumented(decl ast.Decl) []*ast.Ident {
	switch d := decl.(type) {
	case *ast.FuncDecl:
		if d.Doc != nil || !d.Name.IsExported() || !exportedReceiver(d) {
			return nil
		}
		return []*ast.Ident{d.Name}
	case *ast.GenDecl:
		var names []*ast.Ident
		for _, spec := range d.Specs {
			names = append(names, undocumentedSpec(d, spec)...)
		}
		return names
	}
	return nil
}

func undocumentedSpec(d *ast.GenDecl, spec ast.Spec) []*ast.Ident {
	var names []*ast.Ident
	switch s := spec.(type) {
	case *ast.TypeSpec:
		if s.Doc != nil || s.Comment != nil || d.Doc != nil && !d.Lparen.IsValid() {
			return nil
		}
		names = append(names, s.Name)
	case *ast.ValueSpec:
		if d.Tok != token.CONST && d.Tok != token.VAR || d.Doc != nil || s.Doc != nil || s.Comment != nil {
			return nil
		}
		names = append(names, s.Names...)
	}
	return slices.DeleteFunc(names, func(n *ast.Ident) bool { return !n.IsExported() })
}

// exportedReceiver reports whether a function is visible outside its package and needs its own comment.
func exportedReceiver(fn *ast.FuncDecl) bool {
	if fn.Recv == nil {
		return true
	}
	return ast.IsExported(receiver(fn)) && !slices.Contains(selfEvident, fn.Name.Name)
}
