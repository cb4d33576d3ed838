package rig

import (
	"bufio"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// Machine is where and when figures were taken.
type Machine struct {
	CPU    string            `json:"cpu"`
	Cores  int               `json:"cores"`
	Kernel string            `json:"kernel"`
	Go     string            `json:"go"`
	Date   string            `json:"date"`
	Peers  map[string]string `json:"peers"` // version by name; "" where it is missing
}

// Describe reads what the machine says of itself, and asks the peers for their versions.
func Describe() Machine {
	m := Machine{Cores: runtime.NumCPU(), Go: runtime.Version(), Date: time.Now().UTC().Format(time.DateTime)}
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(text)) {
		if name, value, _ := strings.Cut(line, ":"); strings.TrimSpace(name) == "model name" {
			m.CPU = strings.TrimSpace(value)
			break
		}
	}
	text, _ = os.ReadFile("/proc/sys/kernel/osrelease")
	m.Kernel, _, _ = strings.Cut(strings.TrimSpace(string(text)), "-") // what follows is the builder's own
	m.Peers = map[string]string{}
	for name, args := range map[string][]string{
		"nginx": {"nginx", "-v"}, "haproxy": {"haproxy", "-v"}, "caddy": {"caddy", "version"},
		"varnish": {"varnishd", "-V"},
	} {
		out, _ := exec.Command(args[0], args[1:]...).CombinedOutput()
		line, _, _ := strings.Cut(string(out), "\n")
		m.Peers[name] = strings.TrimSpace(line)
	}
	return m
}

// Scrape reads metrics without labels from Penstock's admin address. Families with labels add up.
func Scrape(admin string) (map[string]float64, error) {
	r, err := http.Get("http://" + admin + "/metrics")
	if err != nil {
		return nil, err
	}
	defer r.Body.Close()
	values := map[string]float64{}
	for lines := bufio.NewScanner(r.Body); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), " ")
		if i := strings.LastIndexByte(lines.Text(), ' '); strings.Contains(name, "{") {
			name, value = name[:strings.IndexByte(name, '{')], lines.Text()[i+1:]
		}
		if v, err := strconv.ParseFloat(value, 64); err == nil && name != "#" {
			values[name] += v
		}
	}
	return values, nil
}
