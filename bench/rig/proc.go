package rig

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// tick is the unit of the times in /proc/PID/stat: USER_HZ, which is 100 wherever Go runs on Linux.
const tick = 10_000_000

// CPU is what a process and all its children have used, in nanoseconds. Total is exact; User and System are
// what the kernel's ticks say of it.
type CPU struct{ Total, User, System int64 }

// Sub gives what was used since an earlier reading, Total shared out as the ticks say.
func (c CPU) Sub(before CPU) CPU {
	d := CPU{c.Total - before.Total, c.User - before.User, c.System - before.System}
	if ticks := d.User + d.System; ticks > 0 {
		d.User = int64(float64(d.Total) * float64(d.User) / float64(ticks))
		d.System = d.Total - d.User
	}
	return d
}

// Tree gives a process and all that came from it.
func Tree(pid int) []int {
	children := map[int][]int{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, name := range stats {
		f := statFields(name)
		if len(f) < 2 {
			continue
		}
		parent, _ := strconv.Atoi(f[1])
		child, _ := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		children[parent] = append(children[parent], child)
	}
	all := []int{pid}
	for i := 0; i < len(all); i++ {
		all = append(all, children[all[i]]...)
	}
	return all
}

// statFields gives what follows the program's name: state, parent, and so on.
func statFields(name string) []string {
	text, _ := os.ReadFile(name)
	i := bytes.LastIndexByte(text, ')')
	return strings.Fields(string(text[i+1:]))
}

// ReadCPU adds up what the processes have used.
func ReadCPU(pids []int) (CPU, error) {
	var c CPU
	for _, pid := range pids {
		tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
		if len(tasks) == 0 {
			return c, fmt.Errorf("process %d is gone, or the kernel has no schedstat", pid)
		}
		for _, name := range tasks {
			text, _ := os.ReadFile(name)
			f := strings.Fields(string(text))
			if len(f) == 0 {
				continue
			}
			n, _ := strconv.ParseInt(f[0], 10, 64)
			c.Total += n
		}
		if f := statFields(fmt.Sprintf("/proc/%d/stat", pid)); len(f) > 12 {
			user, _ := strconv.ParseInt(f[11], 10, 64)
			system, _ := strconv.ParseInt(f[12], 10, 64)
			c.User, c.System = c.User+user*tick, c.System+system*tick
		}
	}
	return c, nil
}

// Pss gives the memory of processes in bytes, shared pages by their share.
func Pss(pids []int) (int64, error) {
	sum := int64(0)
	for _, pid := range pids {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		if err != nil {
			return 0, err
		}
		for line := range strings.Lines(string(text)) {
			if f := strings.Fields(line); len(f) == 3 && f[0] == "Pss:" {
				kb, _ := strconv.ParseInt(f[1], 10, 64)
				sum += kb << 10
			}
		}
	}
	return sum, nil
}

// Host is the machine's time in ticks: all of it, and what the hypervisor kept for others.
type Host struct{ All, Steal int64 }

// ReadHost reads the machine's time.
func ReadHost() Host {
	text, _ := os.ReadFile("/proc/stat")
	line, _, _ := strings.Cut(string(text), "\n")
	var h Host
	for i, s := range strings.Fields(line) {
		n, _ := strconv.ParseInt(s, 10, 64)
		if i > 0 && i <= 8 {
			h.All += n
		}
		if i == 8 {
			h.Steal = n
		}
	}
	return h
}

// StealSince gives the share of time that was stolen since an earlier reading.
func (h Host) StealSince(before Host) float64 {
	if h.All == before.All {
		return 0
	}
	return float64(h.Steal-before.Steal) / float64(h.All-before.All)
}
