//go:build !race

package operation

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

const unitFolder = "../../../configs/systemd"

// TestUnitsVerify: systemd reads the units without a word. The binary is not installed here, so another one
// stands in its place.
func TestUnitsVerify(t *testing.T) {
	needSystemd(t)
	f := func(units ...string) {
		t.Helper()
		dir := t.TempDir()
		args := []string{"verify", "--man=no"}
		for _, name := range units {
			args = append(args, filepath.Join(dir, name))
			text := strings.ReplaceAll(readUnit(t, name), "/usr/bin/penstock", "/bin/true")
			writeUnit(t, filepath.Join(dir, name), text)
		}
		out, err := exec.Command("systemd-analyze", args...).CombinedOutput()
		if err != nil || len(out) > 0 {
			t.Errorf("systemd-analyze %v: %v\n%s", args, err, out)
		}
	}
	f("penstock.service")
	f("penstock.service", "penstock.socket")
}

// TestUnitSandbox: systemd rates what the service could do to its host at less than 2.0 of 10.
func TestUnitSandbox(t *testing.T) {
	needSystemd(t)
	unit := filepath.Join(unitFolder, "penstock.service")
	out, err := exec.Command("systemd-analyze", "security", "--offline=true", "--no-pager", unit).CombinedOutput()
	if err != nil {
		t.Fatalf("systemd-analyze security: %v\n%s", err, out)
	}
	m := regexp.MustCompile(`exposure level for penstock\.service: ([0-9.]+)`).FindSubmatch(out)
	if m == nil {
		t.Fatalf("no exposure level in\n%s", out)
	}
	score, err := strconv.ParseFloat(string(m[1]), 64)
	if err != nil || score >= 2.0 {
		t.Errorf("exposure level %s, want below 2.0\n%s", m[1], out)
	}
	t.Logf("exposure level %s", m[1])
}

// TestUnitSettings holds what systemd cannot know: how the unit's settings fit to the program's.
func TestUnitSettings(t *testing.T) {
	f := func(unit, want string) {
		t.Helper()
		if !regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(want) + `$`).MatchString(readUnit(t, unit)) {
			t.Errorf("%s has no line %q", unit, want)
		}
	}
	f("penstock.service", "Type=notify")
	f("penstock.service", "NotifyAccess=main")
	f("penstock.service", "ExecReload=/usr/bin/penstock reload --config /etc/penstock/penstock.toml")
	f("penstock.service", "StartLimitBurst=20")
	f("penstock.service", "LogRateLimitIntervalSec=1s")
	f("penstock.service", "RuntimeDirectoryPreserve=yes")
	f("penstock.service", "KillMode=mixed")
	f("penstock.service", "LimitNOFILE=1048576")

	const drain = 30 * time.Second // the default of drain_timeout
	m := regexp.MustCompile(`(?m)^TimeoutStopSec=(\d+)$`).FindStringSubmatch(readUnit(t, "penstock.service"))
	if m == nil {
		t.Fatal("penstock.service has no TimeoutStopSec in seconds")
	}
	if stop, err := time.ParseDuration(m[1] + "s"); err != nil || stop <= drain {
		t.Errorf("TimeoutStopSec=%s cuts a drain of %v short", m[1], drain)
	}
}

// needSystemd skips the test where there is no systemd-analyze.
func needSystemd(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("no systemd-analyze; make deps brings it")
		}
		t.Skip("no systemd-analyze; make deps brings it")
	}
}

func readUnit(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(unitFolder, filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func writeUnit(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
