package cache

import (
	"strings"
	"testing"
)

// TestReasons: each reason has a word of its own, fit for a label and a token, and a sentence.
func TestReasons(t *testing.T) {
	seen := map[string]bool{}
	for r := noReason + 1; r < reasons; r++ {
		if r == notStorable {
			continue
		}
		w := r.word()
		if w == "" || strings.Trim(w, "abcdefghijklmnopqrstuvwxyz_") != "" || seen[w] || r.text() == "" {
			t.Errorf("%d: %q, %q", r, w, r.text())
		}
		seen[w] = true
	}
}
