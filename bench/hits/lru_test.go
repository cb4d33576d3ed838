package hits

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// slowLRU is a list, newest first.
type slowLRU struct {
	sizes    []int32
	capacity int64
	list     []int32
	evicted  int
}

func (l *slowLRU) ask(object int32) bool {
	i := slices.Index(l.list, object)
	if i >= 0 {
		l.list = slices.Delete(l.list, i, i+1)
	} else if int64(l.sizes[object]) > l.capacity {
		return false
	}
	l.list = slices.Insert(l.list, 0, object)
	for {
		sum := int64(0)
		for _, o := range l.list {
			sum += int64(l.sizes[o])
		}
		if sum <= l.capacity {
			return i >= 0
		}
		l.list = l.list[:len(l.list)-1]
		l.evicted++
	}
}

func TestLRU(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sizes := rapid.SliceOfN(rapid.Int32Range(0, 20), 1, 20).Draw(t, "sizes")
		capacity := rapid.Int64Range(0, 100).Draw(t, "capacity")
		sequence := rapid.SliceOf(rapid.Int32Range(0, int32(len(sizes)-1))).Draw(t, "sequence")
		fast, slow := NewLRU(capacity, sizes), slowLRU{sizes: sizes, capacity: capacity}
		for i, object := range sequence {
			if got, want := fast.Ask(object), slow.ask(object); got != want {
				t.Fatalf("request %d, object %d: hit %v, want %v", i, object, got, want)
			}
			if fast.evicted != slow.evicted {
				t.Fatalf("request %d, object %d: %d evicted, want %d", i, object, fast.evicted, slow.evicted)
			}
		}
	})
}

func TestFill(t *testing.T) {
	f := func(capacity int64, want int, sequence ...int32) {
		t.Helper()
		if got := fill(capacity, []int32{10, 10, 10, 50}, sequence); got != want {
			t.Errorf("%d bytes, %v: full after %d requests, want %d", capacity, sequence, got, want)
		}
	}
	f(20, 0)
	f(20, 3, 0, 1, 0)
	f(20, 3, 0, 1, 0, 2, 1)
	f(40, 3, 0, 1, 3) // which never fits
	f(50, 1, 0, 3)
}

func TestSimulate(t *testing.T) {
	f := func(capacity int64, warm int, want float64, sequence ...int32) {
		t.Helper()
		if got := simulate(capacity, []int32{10, 10, 10}, sequence, warm); got != want {
			t.Errorf("%d bytes, %v after %d: %g hits, want %g", capacity, sequence, warm, got, want)
		}
	}
	f(30, 0, 0, 0, 1, 2)
	f(30, 3, 1, 0, 1, 2, 2, 1, 0)
	f(20, 0, .25, 0, 1, 0, 2)
	f(20, 3, .5, 0, 1, 0, 2, 0)
	f(20, 3, 0, 0, 1, 0, 2, 1)
}
