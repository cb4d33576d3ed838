package main

import (
	"go/ast"
	"regexp"
	"strings"
	"unicode/utf8"
)

// tornColumns is how long a line of a comment is at least when its sentence goes on below it. A shorter one
// with room for the next word was torn when the text around it was changed.
const tornColumns = 80

var (
	// ends is the end of a line that may be short: of a sentence, or in front of a list.
	ends = regexp.MustCompile(`[.:!?…][)"'` + "`" + `]*$`)
	// item is the beginning of one that begins anew.
	item = regexp.MustCompile(`^([-*+•]|[0-9]+[.)]|[A-Z]+:|\|)`)
	// dangling are words that no sentence ends with.
	dangling = regexp.MustCompile(`(?i)\b(a|an|the|and|or|but|whose|than|because|unless)$`)
)

// checkTorn reports comments whose lines are broken in the middle, or that end with half a sentence.
func checkTorn(t *tree) []finding {
	var found []finding
	for _, f := range t.gos {
		for _, group := range f.ast.Comments {
			found = append(found, tornLines(f, group)...)
		}
	}
	return found
}

func tornLines(f *goFile, group *ast.CommentGroup) []finding {
	var found []finding
	for i, c := range group.List {
		text, ok := prose(c)
		if !ok {
			continue
		}
		var next string
		goesOn := false
		if i+1 < len(group.List) && f.line(group.List[i+1].Pos()) == f.line(c.Pos())+1 {
			next, goesOn = prose(group.List[i+1])
		}
		if !goesOn {
			if dangling.MatchString(text) {
				found = append(found, f.at(c.Pos(), "the comment ends within a sentence: %q", text))
			}
			continue
		}
		word, _, _ := strings.Cut(next, " ")
		room := 3 + utf8.RuneCountInString(text) + 1 + utf8.RuneCountInString(word)
		indent := f.fset.Position(c.Pos()).Column - 1
		sameColumn := f.fset.Position(group.List[i+1].Pos()).Column-1 == indent
		if sameColumn && room+4*indent < tornColumns && !ends.MatchString(text) && !item.MatchString(next) {
			found = append(found, f.at(c.Pos(), "the comment is torn after %q: there is room for %q", text, word))
		}
	}
	return found
}

// prose returns the text of a line of a comment, unless it is empty, a directive or set as it stands.
func prose(c *ast.Comment) (string, bool) {
	text, ok := strings.CutPrefix(c.Text, "// ")
	if !ok || text == "" || text[0] == ' ' || text[0] == '\t' {
		return "", false
	}
	return strings.TrimRight(text, " "), true
}
