package overload

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"path"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// machine reads what the kernel says.
type machine struct {
	root string // before all paths; empty but in tests
}

// limits are the lowest of the control groups around the process, else the
// machine's memory; and GOMEMLIMIT, if that is lower.
func (m machine) limits() ([]bound, error) {
	hard, ok := m.group()
	if total, err := m.total(); err != nil && !ok {
		return nil, err
	} else if err == nil && (!ok || total < hard.bytes) {
		hard = bound{total, "MemTotal"}
	}
	if soft, ok := softLimit(); ok && soft < hard.bytes {
		return []bound{hard, {soft, goLimit}}, nil
	}
	return []bound{hard}, nil
}

// group returns the lowest limit of the control groups around the process; false: they have none.
func (m machine) group() (least bound, ok bool) {
	text, err := os.ReadFile(m.root + "/proc/self/cgroup")
	if err != nil {
		return bound{}, false // a kernel without control groups
	}
	for _, v := range versions {
		for dir := v.groupOf(text); dir != ""; dir = parent(dir) {
			at := path.Join(v.mount, dir)
			value, err := os.ReadFile(m.root + at + "/" + v.limit)
			n, is := number(value)
			if err == nil && is && n > 0 && n < noLimit && (!ok || n < least.bytes) {
				least, ok = bound{n, at}, true
			}
		}
	}
	return least, ok
}

// noLimit is less than what version 1 has in place of "max".
const noLimit = 1 << 60

// collector returns the limit that the garbage collector keeps to in a control group with a limit: the
// rest is for what is not Go's. math.MaxInt64: none.
func (m machine) collector() int64 {
	if b, ok := m.group(); ok {
		return int64(float64(b.bytes) * softPart)
	}
	return math.MaxInt64
}

// name names where a bound comes from.
func (b bound) name() string {
	switch {
	case strings.HasPrefix(b.where, groups):
		return "the control group " + b.where
	case b.where == goLimit:
		return "the variable " + goLimit
	}
	return "what the machine has"
}

// total returns the machine's memory in bytes.
func (m machine) total() (int64, error) {
	text, err := os.ReadFile(m.root + "/proc/meminfo")
	if err != nil {
		return 0, err
	}
	kib, ok := field(text, "MemTotal:")
	if !ok || kib == 0 {
		return 0, errors.New("/proc/meminfo has no MemTotal")
	}
	return kib * 1024, nil
}

// groups is where control groups are mounted.
const groups = "/sys/fs/cgroup"

// version is how a version of control groups calls things.
type version struct {
	mount, line, limit, used, idle string
}

// versions are both that there are. Hosts with the first one have a hierarchy for memory alone.
var versions = []version{
	{groups, "0::/", "memory.max", "memory.current", "inactive_file"},
	{groups + "/memory", ":memory:/", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"},
}

// groupOf returns the path of the group in /proc/self/cgroup; empty: there is none.
func (v *version) groupOf(text []byte) string {
	for line := range bytes.Lines(text) {
		before, dir, ok := bytes.Cut(bytes.TrimSpace(line), []byte(v.line))
		if ok && !bytes.Contains(before, []byte("/")) {
			return path.Clean("/" + string(dir))
		}
	}
	return ""
}

// parent returns the group above; empty: there is none. In a container the topmost may have a limit too.
func parent(dir string) string {
	if dir == "/" {
		return ""
	}
	return path.Dir(dir)
}

// number reads a file that holds one; "max" is none.
func number(text []byte) (int64, bool) {
	n, err := strconv.ParseInt(string(bytes.TrimSpace(text)), 10, 64)
	return n, err == nil && n >= 0
}

// field reads the number behind a name at the beginning of a line.
func field(text []byte, name string) (int64, bool) {
	for line := range bytes.Lines(text) {
		rest, ok := bytes.CutPrefix(line, []byte(name))
		if !ok || len(rest) == 0 || rest[0] != ' ' && rest[0] != '\t' {
			continue
		}
		value, _, _ := strings.Cut(strings.TrimSpace(string(rest)), " ")
		n, err := strconv.ParseInt(value, 10, 64)
		return n, err == nil && n >= 0 && n < 1<<52
	}
	return 0, false
}

// used is what the process has in memory, or its control group without the files that the kernel could
// forget, when the limit is the group's: buffers of sockets count there too.
func (m machine) used(where string) (int64, error) {
	switch {
	case where == goLimit:
		return lasting(), nil
	case strings.HasPrefix(where, groups):
		return m.groupUses(where)
	}
	text, err := os.ReadFile(m.root + "/proc/self/statm")
	if err != nil {
		return 0, err
	}
	pages, ok := resident(text)
	if !ok {
		return 0, errors.New("/proc/self/statm cannot be read")
	}
	return pages * int64(os.Getpagesize()), nil
}

// groupUses returns what the control group in dir uses, without the files that nobody has read for a while.
func (m machine) groupUses(dir string) (int64, error) {
	v := &versions[0]
	current, err := os.ReadFile(m.root + dir + "/" + v.used)
	if err != nil && strings.HasPrefix(dir, versions[1].mount) {
		v = &versions[1]
		current, err = os.ReadFile(m.root + dir + "/" + v.used)
	}
	if err != nil {
		return 0, err
	}
	stat, err := os.ReadFile(m.root + dir + "/memory.stat")
	if err != nil {
		return 0, err
	}
	n, ok := number(current)
	idle, ok2 := field(stat, v.idle)
	if !ok || !ok2 {
		return 0, fmt.Errorf("%s/%s or memory.stat cannot be read", dir, v.used)
	}
	return max(n-idle, 0), nil
}

// resident returns the second number of statm: pages in memory.
func resident(text []byte) (int64, bool) {
	parts := bytes.Fields(text)
	if len(parts) < 2 {
		return 0, false
	}
	n, ok := number(parts[1])
	return n, ok && n < 1<<40
}

// busy is the processor time of all threads, and GOMAXPROCS, which follows the quota of the control group.
func (machine) busy() (time.Duration, float64, error) {
	var ru syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &ru); err != nil {
		return 0, 1, err
	}
	return time.Duration(ru.Utime.Nano() + ru.Stime.Nano()), float64(runtime.GOMAXPROCS(0)), nil
}

// goLimit is where the limit comes from that the environment gave the Go runtime.
const goLimit = "GOMEMLIMIT"

// softLimit returns GOMEMLIMIT in bytes; false: it is not set. While it is set the gauge leaves the runtime's
// limit alone, so that it is still this one.
func softLimit() (int64, bool) {
	if text := os.Getenv(goLimit); text == "" || text == "off" {
		return 0, false
	}
	n := debug.SetMemoryLimit(-1)
	return n, n > 0
}

// lasting returns the bytes of the Go runtime that a collection would not free: live objects as of the last
// one, stacks and the runtime's own. The collector lets garbage grow up to GOMEMLIMIT before it works, so
// that all memory of the process would look like an overload where there is none.
func lasting() int64 {
	s := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/total:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/unused:bytes"},
		{Name: "/memory/classes/heap/free:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(s)
	n := s[0].Value.Uint64() + s[1].Value.Uint64()
	for _, heap := range s[2:] {
		n -= heap.Value.Uint64()
	}
	return int64(n)
}
