//go:build !race

package header

import "testing"

func TestNoAllocations(t *testing.T) {
	f, keep := new(Fields), new(Fields)
	keep.SetLines([]byte("Host: a\r\nAccept: 1, 2\r\nX-A: 1\r\nACCEPT: 3\r\nX-a: 2\r\nUser-Agent: x\r\n"), nil)
	var dst []byte
	value := []byte("192.0.2.1")
	n := testing.AllocsPerRun(1000, func() {
		keep.CopyTo(f)
		f.SetBytes("X-A", value)
		f.Set("X-B", "b")
		f.AddBytes("X-B", f.Get("Accept"))
		f.Rename("accept", "Accept-Language")
		f.Del("user-agent")
		f.DelFunc(func(name []byte) bool { return HasPrefix(name, "x-b") })
		sum := 0
		for v := range f.All("Accept-Language") {
			sum += len(v)
		}
		for v := range f.List("Accept-Language") {
			sum += len(v)
		}
		for name, v := range f.Each() {
			sum += len(name) + len(v)
		}
		if sum == 0 || f.Has("None") || f.Only("Accept-Language") != nil || len(f.Last("Accept-Language")) != 1 {
			t.Fatalf("%d, %q", sum, f.Lines())
		}
		dst = f.AppendWith(f.AppendKey(f.AppendList(dst[:0], "Accept-Language"), "X-A"), "Host", value)
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}
