package overload

import (
	"os"
	"path"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
)

// files is a machine whose kernel says what a test wants, by path.
func files(t *testing.T, what map[string]string) machine {
	t.Helper()
	root := t.TempDir()
	for name, text := range what {
		name = filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return machine{root: root}
}

const (
	groupFile = "/proc/self/cgroup"
	infoFile  = "/proc/meminfo"
	eightGiB  = "MemTotal:        8388608 kB\nMemFree:          100000 kB\n"
)

func TestLimits(t *testing.T) {
	t.Setenv("GOMEMLIMIT", "")
	f := func(what map[string]string, limit int64, where string) {
		t.Helper()
		got, err := files(t, what).limits()
		if limit == 0 {
			if err == nil {
				t.Errorf("%v: %v, want an error", what, got)
			}
			return
		}
		if err != nil || len(got) != 1 || got[0] != (bound{limit, where}) {
			t.Errorf("%v: %v, %v; want %d of %s", what, got, err, limit, where)
		}
	}
	group := func(own, above string) map[string]string {
		return map[string]string{infoFile: eightGiB, groupFile: "0::/a.slice/b.service\n",
			"/sys/fs/cgroup/a.slice/memory.max": above, "/sys/fs/cgroup/a.slice/b.service/memory.max": own}
	}
	f(map[string]string{}, 0, "")
	f(map[string]string{infoFile: "MemFree: 1 kB\n"}, 0, "")
	f(map[string]string{infoFile: eightGiB}, 8<<30, "MemTotal")
	f(map[string]string{infoFile: eightGiB, groupFile: "nonsense"}, 8<<30, "MemTotal")
	f(map[string]string{infoFile: eightGiB, groupFile: "0::/gone\n"}, 8<<30, "MemTotal")
	f(group("1073741824\n", "max\n"), 1<<30, "/sys/fs/cgroup/a.slice/b.service")
	whole := group("max\n", "max\n")
	whole["/sys/fs/cgroup/memory.max"] = "268435456\n" // of a container
	f(whole, 1<<28, "/sys/fs/cgroup")
	first := map[string]string{infoFile: eightGiB, groupFile: "4:memory:/a/b\n0::/\n",
		"/sys/fs/cgroup/memory/memory.limit_in_bytes":   "9223372036854771712\n",
		"/sys/fs/cgroup/memory/a/memory.limit_in_bytes": "67108864\n"}
	f(first, 1<<26, "/sys/fs/cgroup/memory/a")
	f(group("1073741824\n", "536870912\n"), 1<<29, "/sys/fs/cgroup/a.slice")
	f(group("max\n", "max\n"), 8<<30, "MemTotal")
	f(group("999999999999999\n", "max\n"), 8<<30, "MemTotal")
	f(group("-5\n", "12x\n"), 8<<30, "MemTotal")
	f(group("0\n", ""), 8<<30, "MemTotal")
	alone := group("1073741824\n", "max\n") // a sandbox that hides meminfo
	delete(alone, infoFile)
	f(alone, 1<<30, "/sys/fs/cgroup/a.slice/b.service")
	f(map[string]string{infoFile: eightGiB, groupFile: "0::/\n", "/sys/fs/cgroup/memory.max": "1048576\n"},
		1<<20, "/sys/fs/cgroup") // a container sees its own group as the root
}

// GOMEMLIMIT counts when it is the lower one.
func TestLimitOfTheRuntime(t *testing.T) {
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(-1))
	m := files(t, map[string]string{infoFile: eightGiB})
	f := func(text string, limit int64, bounds int) {
		t.Helper()
		t.Setenv("GOMEMLIMIT", text)
		debug.SetMemoryLimit(limit)
		got, err := m.limits()
		if err != nil || len(got) != bounds || bounds == 2 && got[1] != (bound{limit, goLimit}) {
			t.Errorf("%q, %d: %v, %v", text, limit, got, err)
		}
	}
	f("", 4<<30, 1) // the gauge's own
	f("off", 4<<30, 1)
	f("4GiB", 4<<30, 2)
	f("16GiB", 16<<30, 1)
}

func TestUsed(t *testing.T) {
	const dir = "/sys/fs/cgroup/a"
	f := func(what map[string]string, where string, want int64) {
		t.Helper()
		got, err := files(t, what).used(where)
		if (err != nil) != (want < 0) || want >= 0 && got != want {
			t.Errorf("%v: %d, %v; want %d", what, got, err, want)
		}
	}
	group := func(current, stat string) map[string]string {
		return map[string]string{dir + "/memory.current": current, dir + "/memory.stat": stat}
	}
	f(group("5000\n", "anon 1\ninactive_file 2000\n"), dir, 3000)
	f(group("5000\n", "inactive_file 9000\n"), dir, 0)
	f(group("5000\n", "active_file 2000\n"), dir, -1)
	f(group("max\n", "inactive_file 0\n"), dir, -1)
	f(map[string]string{dir + "/memory.current": "5000\n"}, dir, -1)
	f(nil, dir, -1)
	f(map[string]string{"/proc/self/statm": "9 3 1\n"}, "MemTotal", 3*int64(os.Getpagesize()))
	f(map[string]string{"/proc/self/statm": "9\n"}, "MemTotal", -1)
	f(nil, "memory_limit", -1)
}

// Garbage does not count against GOMEMLIMIT, what is kept does.
func TestLasting(t *testing.T) {
	const size = 64 << 20
	f := func(what string, before, low, high int64) int64 {
		t.Helper()
		runtime.GC()
		now := lasting()
		if grown := now - before; grown < low || grown > high {
			t.Errorf("%s: %d bytes more, want %d to %d", what, grown, low, high)
		}
		return now
	}
	before := f("at first", 0, 1, 1<<40)
	kept := make([]byte, size)
	f("kept", before, size*9/10, size*11/10)
	runtime.KeepAlive(kept)
	f("let go", before, -size/10, size/10)
}

// The machine that the test runs on can be read, whatever it is.
func TestMachine(t *testing.T) {
	bounds, err := machine{}.limits()
	if err != nil || len(bounds) == 0 {
		t.Fatalf("%v, %v", bounds, err)
	}
	for _, b := range bounds {
		used, err := machine{}.used(b.where)
		if err != nil || b.bytes <= 0 || used <= 0 || used > 1<<45 {
			t.Errorf("%d used of %v: %v", used, b, err)
		}
	}
	if used, err := (machine{}).used("MemTotal"); err != nil || used < 1<<20 {
		t.Errorf("resident: %d %v", used, err)
	}
	if busy, n, err := (machine{}).busy(); err != nil || busy <= 0 || n < 1 {
		t.Errorf("%v of %v processors, %v", busy, n, err)
	}
}

func TestGroups(t *testing.T) {
	const newer, older = 0, 1 // versions of control groups
	f := func(text string, v int, want string) {
		t.Helper()
		var got []string
		for dir := versions[v].groupOf([]byte(text)); dir != ""; dir = parent(dir) {
			got = append(got, dir)
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("%q: %q, want %q", text, s, want)
		}
	}
	f("0::/system.slice/penstock.service\n", newer, "/system.slice/penstock.service /system.slice /")
	const both = "4:memory:/x\n1:name=systemd:/0::/y\n0::/a\n"
	f(both, newer, "/a /")
	f(both, older, "/x /")
	f("0::/\n", newer, "/") // the root of a container's own view
	f("4:memory:/x\n", newer, "")
	f("0::/../../a\n", newer, "/a /")
	f("", newer, "")
	f("", older, "")
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("0::/system.slice/a.service\n"))
	f.Add([]byte("MemTotal:       16316412 kB\nMemFree: 1 kB\n"))
	f.Add([]byte("max\n"))
	f.Add([]byte("5000 1234 100 1 0 5 0\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		steps := 0
		for dir := versions[len(text)%2].groupOf(text); dir != ""; dir = parent(dir) {
			if steps++; steps > len(text)+2 || path.Clean(dir) != dir || dir[0] != '/' {
				t.Fatalf("%q leads to %q", text, dir)
			}
		}
		for _, read := range []func() (int64, bool){
			func() (int64, bool) { return number(text) },
			func() (int64, bool) { return field(text, "MemTotal:") },
			func() (int64, bool) { return resident(text) },
		} {
			if n, ok := read(); ok && n < 0 {
				t.Fatalf("%q holds %d", text, n)
			}
		}
	})
}
