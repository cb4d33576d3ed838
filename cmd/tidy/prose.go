package main

import (
	"go/ast"
	"go/token"
	"regexp"
	"slices"
	"strings"
)

// banned are phrases that no comment has, each with what the standard library writes. The patterns are spelt
// so that they do not match themselves.
var banned = []struct {
	phrase  *regexp.Regexp
	instead string
}{
	{regexp.MustCompile(`(?i)\b(tell|say)s? +(that|whether|if)\b`), `"reports whether" or "returns"`},
	{regexp.MustCompile(`\b(by|for|from|with) +who\b`), `"whoever", or name the one`},
}

// claims is the beginning of a comment by which the declared thing talks.
var claims = regexp.MustCompile(`^(\w+) +(says?|tells? +(what|why|how|which|where|when|who|apart|of))\b`)

// vague are names of functions and types that leave out what is taken, told or asked.
var vague = []string{
	"take", "tell", "hear", "honour", "believe", "sheet", "survey", "thin", "crowded", "putAside", "resort",
}

// checkProse reports phrases in comments that Go's own comments do not use, and names that say nothing.
func checkProse(t *tree) []finding {
	var found []finding
	for _, f := range t.gos {
		for _, group := range f.ast.Comments {
			found = append(found, phrases(f, group)...)
		}
		for _, decl := range f.ast.Decls {
			found = append(found, vagueNames(f, decl)...)
		}
	}
	return found
}

// phrases reports the banned phrases of one comment, also where a line ends within one.
func phrases(f *goFile, group *ast.CommentGroup) []finding {
	var text strings.Builder
	var starts []int // of each line, in text
	for _, line := range group.List {
		starts = append(starts, text.Len())
		text.WriteString(strings.TrimSpace(strings.TrimPrefix(line.Text, "//")) + " ")
	}
	at := func(offset int) token.Pos {
		i, exact := slices.BinarySearch(starts, offset)
		if !exact {
			i--
		}
		return group.List[i].Pos()
	}
	var found []finding
	for _, b := range banned {
		for _, m := range b.phrase.FindAllStringIndex(text.String(), -1) {
			found = append(found, f.at(at(m[0]), "%q in a comment: write %s", text.String()[m[0]:m[1]], b.instead))
		}
	}
	return found
}

// vagueNames reports what a declaration declares under a vague name, and a comment that begins as if the name
// could talk.
func vagueNames(f *goFile, decl ast.Decl) []finding {
	var found []finding
	look := func(name *ast.Ident, docs ...*ast.CommentGroup) {
		lower := strings.ToLower(name.Name[:1]) + name.Name[1:]
		if slices.Contains(vague, lower) {
			found = append(found, f.at(name.Pos(), "%s does not name what it is about", name.Name))
		}
		for _, doc := range docs {
			if m := claims.FindStringSubmatch(doc.Text()); m != nil && m[1] == name.Name {
				found = append(found, f.at(doc.Pos(), "%q begins the comment: write returns, describes or reports", m[0]))
			}
		}
	}
	switch d := decl.(type) {
	case *ast.FuncDecl:
		look(d.Name, d.Doc)
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			if s, ok := spec.(*ast.TypeSpec); ok {
				look(s.Name, d.Doc, s.Doc)
			}
		}
	}
	return found
}
