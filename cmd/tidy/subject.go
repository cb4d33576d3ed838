package main

import (
	"fmt"
	"os/exec"
	"regexp"
	"strings"
	"unicode/utf8"
)

const maxSubject = 72 // columns of the first line of a commit

// subjectForm is "package: do this": a folder, several or "all", and what is done, without a full stop.
var subjectForm = regexp.MustCompile(`^[a-z0-9.][A-Za-z0-9_./-]*(, [A-Za-z0-9_./-]+)*: [^\s].*[^\s.]$`)

// checkSubject reports a wrong subject of the last commit. History cannot be changed: only that one is looked
// at. Merges are exempt; so is a tree without git.
func checkSubject(root string) []finding {
	git := exec.Command("git", "-C", root, "log", "-1", "--no-show-signature", "--format=%P%n%s")
	out, err := git.Output()
	if err != nil {
		return nil
	}
	parents, subject, _ := strings.Cut(strings.TrimSuffix(string(out), "\n"), "\n")
	if strings.Contains(parents, " ") || strings.HasPrefix(subject, "Merge ") { // no parents in a shallow clone
		return nil
	}
	if wrong := judgeSubject(subject); wrong != "" {
		return []finding{{".git/HEAD", 1, fmt.Sprintf("the subject %q %s", subject, wrong)}}
	}
	return nil
}

// judgeSubject returns what is wrong with the subject of a commit, "" if nothing.
func judgeSubject(subject string) string {
	switch n := utf8.RuneCountInString(subject); {
	case n > maxSubject:
		return fmt.Sprintf("has %d columns; at most %d", n, maxSubject)
	case !subjectForm.MatchString(subject):
		return `is not of the form "package: do this"`
	}
	return ""
}
