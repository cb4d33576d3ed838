package e2e

import (
	le "encoding/binary"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
)

// Sum adds up all series of a metric that hold label.
func (g *Gateway) Sum(prefix, label string) (sum float64) {
	g.T.Helper()
	for line := range strings.Lines(g.Metrics()) {
		if !strings.HasPrefix(line, prefix) || !strings.Contains(line, label) {
			continue
		}
		value := strings.TrimSpace(line[strings.LastIndexByte(line, ' '):])
		if v, err := strconv.ParseFloat(value, 64); err == nil {
			sum += v
		}
	}
	return sum
}

// Metrics returns the text of /metrics.
func (g *Gateway) Metrics() string {
	g.T.Helper()
	resp, err := http.Get("http://" + g.Admin + "/metrics")
	if err != nil {
		g.T.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		g.T.Fatal(err)
	}
	return string(b)
}

// Healthy fails the test when a target has been taken out, or an attempt counted as its failure.
func (g *Gateway) Healthy(t testing.TB) {
	t.Helper()
	for _, outcome := range []string{"connect", "reset", "timeout", "error"} {
		if n := g.Sum("penstock_upstream_requests_total{", `outcome="`+outcome+`"`); n != 0 {
			t.Errorf("%v attempts with outcome %s", n, outcome)
		}
	}
	if n := g.Sum("penstock_target_ejections_total{", ""); n != 0 {
		t.Errorf("%v ejections", n)
	}
	for _, bad := range []string{"target unhealthy", "target ejected", "breaker open"} {
		if strings.Contains(g.Log.String(), bad) {
			t.Errorf("the log says %q", bad)
		}
	}
}

// Readyz returns the status of /readyz; 0 when nobody answers.
func (g *Gateway) Readyz() int {
	resp, err := http.Get("http://" + g.Admin + "/readyz")
	if err != nil {
		return 0
	}
	resp.Body.Close()
	return resp.StatusCode
}

// PoolStatus returns what /status says of the first pool.
func (g *Gateway) PoolStatus() map[string]any {
	g.T.Helper()
	return Dig(g.Status(), "pools", 0).(map[string]any)
}

// Waiting is how many requests wait for a connection.
func (g *Gateway) Waiting() int {
	g.T.Helper()
	n := 0.0
	for _, target := range g.PoolStatus()["targets"].([]any) {
		n = max(n, Dig(target, "waiting").(float64))
	}
	return int(n)
}

// UsedInFile adds up what the keys of a quota have used. A record has 40 bytes, the last 8 of them are that;
// before them are 16 bytes, and after them 8.
func UsedInFile(t *testing.T, file string) (n int64) {
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for b = b[16:]; len(b) > 8; b = b[40:] {
		n += int64(le.LittleEndian.Uint64(b[32:40]))
	}
	return n
}

// Readiness returns what /readyz says; 0: nothing.
func (g *Gateway) Readiness() (int, string) {
	resp, err := http.Get("http://" + g.Admin + "/readyz")
	if err != nil {
		return 0, ""
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body) // a cut answer shows in the comparison
	return resp.StatusCode, string(b)
}

// memory is what a process uses.
type memory struct{ RSS, Peak int64 }

// MemoryOf returns what a process uses.
func MemoryOf(t testing.TB, pid int) (m memory) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var kb int64
		if _, err := fmt.Sscanf(line, "VmRSS: %d kB", &kb); err == nil {
			m.RSS = kb << 10
		}
		if _, err := fmt.Sscanf(line, "VmHWM: %d kB", &kb); err == nil {
			m.Peak = kb << 10
		}
	}
	return m
}

// MiB is a number of bytes for a reader.
func MiB(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }

// Settled waits until no more than a few goroutines are left above what there were: connections of the admin
// API come and go.
func Settled(t testing.TB, g *Gateway, idle float64) {
	t.Helper()
	Eventually(t, "goroutines are what they were", func() bool { return g.Metric("go_goroutines") <= idle+3 })
}

// TargetsOf returns what /status says of a pool's targets, by address.
func (g *Gateway) TargetsOf(pool string) map[string]map[string]any {
	g.T.Helper()
	all := map[string]map[string]any{}
	pools, _ := Dig(g.Status(), "pools").([]any)
	for _, p := range pools {
		if Dig(p, "name") != pool {
			continue
		}
		for _, each := range Dig(p, "targets").([]any) {
			all[Dig(each, "address").(string)] = each.(map[string]any)
		}
	}
	return all
}

// InFlight returns how many requests the first target of the first pool has.
func (g *Gateway) InFlight() float64 {
	g.T.Helper()
	target := Dig(g.Status(), "pools", 0, "targets", 0)
	return Dig(target, "in_flight").(float64)
}

// Dig follows names and indexes into decoded JSON.
func Dig(v any, path ...any) any {
	for _, p := range path {
		switch p := p.(type) {
		case string:
			v = v.(map[string]any)[p]
		case int:
			v = v.([]any)[p]
		}
	}
	return v
}

// Tunnels returns the tunnels of the first listener as /status lists them.
func (g *Gateway) Tunnels() []any {
	g.T.Helper()
	list, _ := Dig(g.Status(), "listeners", 0, "tunnels").([]any) // null when there are none
	return list
}
