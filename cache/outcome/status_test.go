package outcome

import (
	"strings"
	"testing"
)

// TestStatuses: each status has a word of its own, and counts as one result: as from the cache where the target was
// spared all but a question.
func TestStatuses(t *testing.T) {
	seen := map[string]bool{}
	f := func(want string, all ...Status) {
		t.Helper()
		for _, s := range all {
			w := s.Word()
			if got := s.Result().Word(); got != want || w == "" || seen[w] || strings.Trim(w, "abcdefghijklmnopqrstuvwxyz_") != "" {
				t.Errorf("%q counts as %q, want %q", w, got, want)
			}
			seen[w] = true
		}
	}
	f("bypass", Bypass)
	f("hit", Hit, Stale, Rescued, Revalidated, Collapsed)
	f("miss", Miss, Expired, Passed, NotCached)
	if len(seen) != int(Statuses) {
		t.Errorf("%d statuses of %d", len(seen), Statuses)
	}
}
