//go:build !race

package pathtmpl

import "testing"

type fixed [2][]byte

func (v *fixed) ParamAt(i int) []byte { return v[i] }

func TestNoAllocations(t *testing.T) {
	tmpl, _, _ := Parse("/x/{b}/{a}/", []string{"a", "b"}, true)
	room, path := make([]byte, 0, 64), []byte("/old//rest")
	v := &fixed{[]byte("1"), []byte("2")}
	if n := testing.AllocsPerRun(1000, func() { room = tmpl.Append(room[:0], v, path, 4) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if string(room) != "/x/2/1/rest" {
		t.Errorf("%s", room)
	}
}
