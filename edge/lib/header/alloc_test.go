//go:build !race

package header

import "testing"

func TestNoAllocations(t *testing.T) {
	h, _ := request("A: 1\r\nGone: 1\r\nA: 2\r\nGone: 2\r\n")
	text := Text{Bytes: h.AppendBytes(nil)}
	n := testing.AllocsPerRun(1000, func() {
		if err := text.ReadWithout(h, isGone); err != nil {
			t.Fatal(err)
		}
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}
