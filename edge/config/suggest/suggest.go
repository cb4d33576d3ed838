// Package suggest finds the name that a misspelt one was meant to be.
package suggest

import (
	"strings"
	"unicode/utf8"
)

// maxTypos is the largest edit distance at which a name still counts as misspelt rather than as another name.
const maxTypos = 2

// Nearest returns the name of known that got was probably meant to be, or "". A name is near when at most
// two letters were changed, left out, added or swapped with their neighbour, and fewer than half of them.
// Of equally near names the first wins.
func Nearest(got string, known []string) string {
	best, bestAt := "", maxTypos+1
	for _, name := range known {
		if name == got || abs(len(name)-len(got)) > maxTypos*utf8.UTFMax {
			continue
		}
		a, b := []rune(got), []rune(name)
		if abs(len(a)-len(b)) > maxTypos {
			continue
		}
		d := distance(a, b)
		if d < bestAt && d*2 < max(len(a), len(b)) {
			best, bestAt = name, d
		}
	}
	if best == "" {
		return shortFor(got, known)
	}
	return best
}

// leastShort is how long a word must be to be taken for the beginning of a longer one.
const leastShort = 4

// shortFor returns the one name of known that got is an abbreviation of, whatever signs are between its
// words; "" when there is none, or more.
func shortFor(got string, known []string) (found string) {
	plain := strings.NewReplacer("_", "", "-", "", " ", "")
	got = plain.Replace(strings.ToLower(got))
	if len(got) < leastShort {
		return ""
	}
	for _, name := range known {
		if name == got || !strings.HasPrefix(plain.Replace(name), got) {
			continue
		}
		if found != "" {
			return ""
		}
		found = name
	}
	return found
}

// distance is the Damerau-Levenshtein distance in its optimal string alignment form: the least number of
// insertions, deletions, substitutions and swaps of neighbours that make b of a, no place edited twice.
func distance(a, b []rune) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			swap := 1
			if a[i-1] == b[j-1] {
				swap = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+swap)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}

func abs(n int) int {
	return max(n, -n)
}
