package capacity

import (
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/penstock-edge/penstock/bench/rig"
)

// tick is the unit of the times in /proc/stat: USER_HZ, which is 100 wherever Go runs on Linux.
const tick = 10 * time.Millisecond

// usage is the CPU time of all processes of the machine, and that of ours: this one and what it has started.
type usage struct {
	machine, ours time.Duration
	at            time.Time
}

func readUsage() usage {
	text, _ := os.ReadFile("/proc/stat")
	ours, _ := rig.ReadCPU(rig.Tree(os.Getpid()))
	return usage{processTime(string(text)), time.Duration(ours.Total), time.Now()}
}

// processTime adds up user, nice and system. Interrupts are left out: they serve our sockets too.
func processTime(stat string) time.Duration {
	line, _, _ := strings.Cut(stat, "\n")
	sum := time.Duration(0)
	for i, s := range strings.Fields(line) {
		if n, err := strconv.ParseInt(s, 10, 64); err == nil && i <= 3 {
			sum += time.Duration(n) * tick
		}
	}
	return sum
}

// others is the share of one core that processes which are not ours have used since an earlier reading. It
// takes a little off, never adds: ours includes their interrupts.
func (u usage) others(before usage) float64 {
	took := u.at.Sub(before.at)
	if took <= 0 {
		return 0
	}
	return max(0, float64((u.machine-before.machine)-(u.ours-before.ours))/float64(took))
}
