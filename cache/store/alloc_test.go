//go:build !race

package store

import "testing"

func TestAllocGet(t *testing.T) {
	s := New(MinSize)
	k := Key{'k'}
	if _, err := s.Put(k, []byte("meta"), [][]byte{make([]byte, 1000)}, 100); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 0, 4096)
	if n := testing.AllocsPerRun(1000, func() {
		if _, _, ok := s.Get(k, buf); !ok {
			t.Fatal("gone")
		}
		if _, _, ok := s.Get(Key{}, buf); ok {
			t.Fatal("found")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
