package capacity

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/penstock-edge/penstock/bench/duel"
	"github.com/penstock-edge/penstock/bench/rig"
)

// memory measures idle connections, plain and over TLS, and then plain ones in use.
func (b *bench) memory(index int) error {
	m := &b.report.Memory
	m.Conns = b.Conns
	for _, secure := range []bool{false, true} {
		var flags []string
		if secure {
			flags = append(flags, "-tls")
		}
		err := b.alone(Spec{Index: index, Wide: true}, nil, func(s *side) error {
			idle, base, err := b.idle(s)
			if err != nil {
				return err
			}
			b.say("idle connection: %.0f bytes and %.0f of the kernel's", idle.Process, idle.Kernel)
			if secure {
				m.TLS = idle
				return nil
			}
			m.Plain, m.Base = idle, base
			return nil
		}, flags...)
		if err != nil {
			return err
		}
	}
	return b.alone(Spec{Index: index, Wide: true, Apart: true}, nil, func(s *side) (err error) {
		if _, err := s.load.Do("drop"); err != nil {
			return err
		}
		b.pause()
		p := &duel.Proxy{Name: "penstock", Process: s.Process, Load: s.load}
		m.Active, err = p.Active(b.Conns, max(2, b.Seconds))
		b.say("connection in use: %.0f bytes", m.Active)
		return err
	})
}

// idle gives what a connection holds after one request and some seconds of nothing, and what the gateway
// holds without any. It has served before.
func (b *bench) idle(s *side) (each Idle, base float64, err error) {
	if s.expect != "" {
		return each, 0, fmt.Errorf("%s gives no answers that the loader keeps connections for", s.copy.Route)
	}
	if _, err := s.load.Do("drop"); err != nil {
		return each, 0, err
	}
	b.pause()
	pids := rig.Tree(s.Pid)
	before, err := rig.Pss(pids)
	if err != nil {
		return each, 0, err
	}
	kernel := kernelBytes()
	opened, err := s.load.Do("idle conns=%d", b.Conns)
	if err != nil {
		return each, 0, err
	}
	if opened.Failed > 0 {
		return each, 0, fmt.Errorf("%d of %d connections failed: %v", opened.Failed, b.Conns, opened.Errors)
	}
	b.pause()
	after, err := rig.Pss(pids)
	if err != nil {
		return each, 0, err
	}
	n := float64(b.Conns)
	each = Idle{Process: max(0, float64(after-before)) / n, Kernel: max(0, kernelBytes()-kernel) / n / 2}
	return each, float64(before), nil
}

// kernelBytes is the kernel's memory for objects such as sockets, and for what these have in their queues.
func kernelBytes() float64 {
	sum := 0.0
	if f, err := os.Open("/proc/meminfo"); err == nil {
		defer f.Close()
		for lines := bufio.NewScanner(f); lines.Scan(); {
			if f := strings.Fields(lines.Text()); len(f) > 1 && f[0] == "Slab:" {
				kb, _ := strconv.ParseFloat(f[1], 64)
				sum += kb * 1024
			}
		}
	}
	text, _ := os.ReadFile("/proc/net/sockstat")
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 2 && f[0] == "TCP:" && f[len(f)-2] == "mem" {
			pages, _ := strconv.ParseFloat(f[len(f)-1], 64)
			sum += pages * float64(os.Getpagesize())
		}
	}
	return sum
}

// MachineGB is the memory of this machine in units of 2^30 bytes.
func MachineGB() float64 {
	text, _ := os.ReadFile("/proc/meminfo")
	f := strings.Fields(string(text))
	if len(f) < 2 {
		return 0
	}
	kb, _ := strconv.ParseFloat(f[1], 64)
	return kb / (1 << 20)
}
