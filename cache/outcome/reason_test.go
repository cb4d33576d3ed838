package outcome

import (
	"strings"
	"testing"
)

// TestReasons: each reason has a word of its own, fit for a label and a token, and a sentence.
func TestReasons(t *testing.T) {
	seen := map[string]bool{}
	for r := None + 1; r < Reasons; r++ {
		if r == NotStorable {
			continue
		}
		w := r.Word()
		if w == "" || strings.Trim(w, "abcdefghijklmnopqrstuvwxyz_") != "" || seen[w] || r.Text() == "" {
			t.Errorf("%d: %q, %q", r, w, r.Text())
		}
		seen[w] = true
	}
}
