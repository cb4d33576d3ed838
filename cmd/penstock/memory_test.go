package main

import (
	"runtime"
	"runtime/metrics"
	"testing"
	"testing/synctest"
)

func heapHeld() uint64 {
	s := []metrics.Sample{{Name: "/memory/classes/heap/free:bytes"}, {Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64() + s[1].Value.Uint64()
}

// TestCollect: what a burst has taken goes back to the system.
func TestCollect(t *testing.T) {
	collect()
	before := heapHeld()
	burst := make([]*[64 << 10]byte, 1000)
	for i := range burst {
		burst[i] = new([64 << 10]byte)
	}
	if held := heapHeld(); held < before+32<<20 {
		t.Fatalf("the burst took %d bytes", held-before)
	}
	runtime.KeepAlive(burst) // until here
	collect()
	if after := heapHeld(); after > before+2*worthIt {
		t.Errorf("%d MiB are still held, %d before", after>>20, before>>20)
	}
}

func TestGiveBackStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stop, done := make(chan struct{}), make(chan struct{})
		go func() { giveBack(stop); close(done) }()
		synctest.Wait()
		close(stop)
		<-done
	})
}
