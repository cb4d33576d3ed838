package main

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// Go collects when the heap has doubled, or after two minutes, and keeps what was freed. A gateway in steady
// state allocates nothing, so that what a burst has taken would be kept for as long as it is quiet.
const (
	collectEvery = 30 * time.Second // at most; less often when a collection takes more than a thousandth of that
	worthIt      = 4 << 20          // bytes: less that is free is not given back to the system
)

// giveBack collects from time to time and gives free memory back, until stop is closed.
func giveBack(stop <-chan struct{}) {
	for wait := collectEvery; ; {
		select {
		case <-stop:
			return
		case <-time.After(wait):
		}
		begun := time.Now()
		collect()
		wait = max(collectEvery, 1000*time.Since(begun))
	}
}

func collect() {
	runtime.GC()
	free := []metrics.Sample{{Name: "/memory/classes/heap/free:bytes"}}
	metrics.Read(free)
	if free[0].Value.Uint64() > worthIt {
		debug.FreeOSMemory()
	}
}
