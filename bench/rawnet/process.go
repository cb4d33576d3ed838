package rawnet

import (
	"runtime"
	"runtime/debug"

	"golang.org/x/sys/unix"
)

// Own makes the process one loop: the calling goroutine keeps its thread, the collector rests, timeouts are
// kept to the nanosecond instead of 50 microseconds, and as many files may be open as the system lets it.
func Own() {
	runtime.LockOSThread()
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(2 << 30)                      // the collector wakes when something grows without bound
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0) // without it the pace is kept less well, no more
	var files unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &files) == nil {
		files.Cur = files.Max
		_ = unix.Setrlimit(unix.RLIMIT_NOFILE, &files) // connections fail, and say so
	}
}
