//go:build !race

package template

import "testing"

func TestNoAllocations(t *testing.T) {
	values := letters{"t": "a/b\"<c>\r\n", "p": "/a b", "q": "a=b#", "h": "h:1"}
	room := make([]byte, 0, 512)
	for place := Text; place <= Query; place++ {
		tmpl, _ := Parse("a{t}b{p}c{q}d{h}", place, values)
		if n := testing.AllocsPerRun(1000, func() { room, _ = tmpl.Append(room[:0], values) }); n != 0 {
			t.Errorf("place %d: %v allocations", place, n)
		}
	}
}
