package metric

import (
	"bytes"
	"os"
	"strconv"
	"syscall"
	"time"
)

// ticksPerSecond is USER_HZ, the unit of times in /proc; it is 100 on every
// architecture that Go runs on.
const ticksPerSecond = 100

// process writes the metrics that client libraries of Prometheus have agreed upon.
// They come from system calls and from /proc (proc(5)).
func (t *text) process() {
	var used syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &used) == nil {
		cpu := time.Duration(used.Utime.Nano() + used.Stime.Nano())
		t.one("process_cpu_seconds_total", "CPU time used, by the process and the kernel for it.",
			counter, cpu.Seconds())
	}
	var files syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files) == nil {
		t.one("process_max_fds", "File descriptors the process may have open.", gauge, float64(files.Cur))
	}
	if n, ok := openFiles(); ok {
		t.one("process_open_fds", "File descriptors open.", gauge, float64(n))
	}
	// From the state of the process on: its name, which may hold anything, is cut off.
	stat, err := os.ReadFile("/proc/self/stat")
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if err != nil || len(fields) < 22 {
		return
	}
	pages, virtual := number(fields[21]), number(fields[20])
	t.one("process_resident_memory_bytes", "Memory in RAM.", gauge, pages*float64(os.Getpagesize()))
	if boot, ok := bootTime(); ok {
		t.one("process_start_time_seconds", "When the process started, seconds since 1970.", gauge,
			boot+number(fields[19])/ticksPerSecond)
	}
	t.one("process_virtual_memory_bytes", "Address space in use.", gauge, virtual)
}

// openFiles counts the descriptors of the process. Linux 6.2 and later tell the number
// as the size of the directory; before, all of them have to be listed.
func openFiles() (n int, ok bool) {
	const path = "/proc/self/fd"
	if info, err := os.Stat(path); err == nil && info.Size() > 0 {
		return int(info.Size()), true
	}
	dir, err := os.Open(path)
	if err != nil {
		return 0, false
	}
	defer dir.Close()
	for {
		names, err := dir.Readdirnames(1024)
		n += len(names)
		if err != nil {
			return n - 1, true // but for dir itself
		}
	}
}

// bootTime returns when the system started, in seconds since 1970.
func bootTime() (float64, bool) {
	stat, err := os.ReadFile("/proc/stat")
	_, after, found := bytes.Cut(stat, []byte("\nbtime "))
	line, _, _ := bytes.Cut(after, []byte("\n"))
	return number(line), err == nil && found
}

// number reads what the kernel wrote; 0 if it is none.
func number(b []byte) float64 {
	n, err := strconv.ParseFloat(string(b), 64)
	if err != nil {
		return 0
	}
	return n
}
