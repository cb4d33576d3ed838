package h1

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

func TestIdleSlotsOneOwner(t *testing.T) {
	s := &idleSlots{slots: make([]atomic.Pointer[conn], 8)}
	owners := make([]atomic.Int32, 8)
	conns := make([]*conn, 8)
	index := map[*conn]int{}
	for i := range conns {
		conns[i] = &conn{}
		index[conns[i]] = i
		if !s.push(conns[i]) {
			t.Fatal("no room for the first eight")
		}
	}
	if s.push(&conn{}) {
		t.Fatal("a ninth connection found a slot")
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for range 20_000 {
				c := s.pop()
				if c == nil {
					continue
				}
				if owners[index[c]].Add(1) != 1 {
					t.Error("a connection has two owners")
				}
				runtime.Gosched()
				owners[index[c]].Add(-1)
				if !s.push(c) {
					t.Error("a connection found no slot")
				}
			}
		}()
	}
	wg.Wait()
	seen := map[*conn]bool{}
	for c := s.pop(); c != nil; c = s.pop() {
		seen[c] = true
	}
	if len(seen) != 8 {
		t.Fatalf("%d connections left of 8", len(seen))
	}
}

func TestIdleSlotsLastInFirstOut(t *testing.T) {
	s := &idleSlots{slots: make([]atomic.Pointer[conn], 4)}
	a, b, c := &conn{}, &conn{}, &conn{}
	s.push(a)
	s.push(b)
	s.push(c)
	if s.pop() != c || s.pop() != b {
		t.Fatal("the last one in is not the first one out")
	}
	s.push(b)
	if s.pop() != b || s.pop() != a || s.pop() != nil {
		t.Fatal("order lost after a push")
	}
}
