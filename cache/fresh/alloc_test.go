//go:build !race

package fresh

import (
	"strings"
	"testing"
)

func TestAllocQueryRule(t *testing.T) {
	rule, _ := ParseNoVarySearch(`key-order, params=("utm_source")`)
	stored, query, room := rule.Append(nil), []byte("b=%31&utm_source=x&a=2&c&d=e&"+strings.Repeat("z=1&", 12)),
		make([]byte, 0, 256)
	q := QueryRule{Names: make([][]byte, 0, 4)}
	if n := testing.AllocsPerRun(1000, func() {
		if q.ParseRule(stored) != nil || len(q.AppendQuery(room, query)) == 0 {
			t.Fatal("nothing")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
