//go:build !race

package route

import "testing"

func TestAllocs(t *testing.T) {
	var m Match
	f := func(name string, table *Table, k *Key, status int) {
		t.Helper()
		n := testing.AllocsPerRun(100, func() { table.Lookup(k, &m) })
		if n != 0 || m.Status != status {
			t.Errorf("%s: %v allocations, status %d", name, n, m.Status)
		}
	}
	for kind := range loads {
		for _, n := range []int{1, 100, 10000} {
			table, k := load(t, kind, n)
			f(loads[kind].name, table, k, 200)
			k.Host, k.Path = []byte("other.example.net"), []byte("/nothing/here/at/all")
			f(loads[kind].name+" missed", table, k, 404)
		}
	}
	table, k := guarded(t)
	f("predicates", table, k, 200)
	k.Method = []byte("POST")
	f("wrong method", table, k, 405)

	q := Key{Method: []byte("GET"), Path: k.Path, Header: k.Header} // may live on the stack
	if n := testing.AllocsPerRun(100, func() { table.Lookup(&q, &m); _ = m.Param("id") }); n != 0 {
		t.Errorf("a key on the stack: %v allocations", n)
	}
}

func TestCanonicalAllocs(t *testing.T) {
	dst := make([]byte, 0, 1024)
	f := func(raw string) {
		t.Helper()
		in := []byte(raw)
		if n := testing.AllocsPerRun(100, func() { _, _ = Canonical(dst, in) }); n != 0 {
			t.Errorf("%q: %v allocations", raw, n)
		}
	}
	f("/api/v1/users/42")
	f("/a/./b/../%7euser/%c3%a9|x%2Fy")
	f("/a/../..")
	f("/%zz")
	host := []byte("API.Example.COM:8080")
	if n := testing.AllocsPerRun(100, func() { NormalHost(dst, host) }); n != 0 {
		t.Errorf("NormalHost: %v allocations", n)
	}
}
