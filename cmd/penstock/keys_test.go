package main

import (
	"strings"
	"testing"
)

// Each key that the binary decodes has a line in configs/full.toml that says what it means; a default said there
// is the one of the binary.
func TestKeysHaveMeanings(t *testing.T) {
	meanings := meaningsOf(fullText(t))
	told := 0
	for _, k := range allKeys() {
		if k.Type == "" {
			t.Errorf("[%s] %s has no type", k.Section, k.Name)
		}
		m, ok := meanings[[2]string{k.Section, k.Name}]
		if !ok || m.text == "" {
			continue // a key within an inline table: the line of the table tells of it
		}
		told++
		if k.Required != strings.HasPrefix(m.def, "required") && k.Required {
			t.Errorf("[%s] %s is required, and configs/full.toml says %q", k.Section, k.Name, m.def)
		}
	}
	if told < 250 {
		t.Errorf("configs/full.toml tells of %d keys only", told)
	}
}
