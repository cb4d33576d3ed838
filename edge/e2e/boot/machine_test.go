package boot

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/penstock-edge/penstock/edge/e2e"
)

const units = "../../../configs/systemd"

// packages are what the system in the container has beside Debian's minimum.
const packages = "systemd,systemd-sysv,dbus,procps,openssl"

// patience bounds each wait. Nothing is measured by it.
const patience = 2 * time.Minute

// machine is a container in which Debian's systemd has booted. It has the host's network, and the gateway with its
// units; what is written in it is gone with it.
type machine struct {
	t      *testing.T
	leader string // its first process, by the host's number
	bounds bool   // it can bound the memory of a service
}

func TestMain(m *testing.M) { e2e.Main(m) }

// boot boots a container, or skips the test where that is not asked for.
func boot(t *testing.T) *machine {
	t.Helper()
	if os.Getenv("PENSTOCK_BOOT") == "" {
		t.Skip("boots a container of Debian; make soak, or PENSTOCK_BOOT=1, does")
	}
	if os.Getuid() != 0 {
		t.Skip("only root boots containers")
	}
	for _, tool := range []string{"systemd-nspawn", "mmdebstrap", "nsenter"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%v: apt-get install systemd-container mmdebstrap util-linux", err)
		}
	}
	folder, err := filepath.Abs(units)
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"--quiet", "--directory=" + system(t), "--volatile=overlay", "--register=no", "--keep-unit",
		"--machine=penstock-boot", "--console=pipe", "--boot", "--bind-ro=" + e2e.Binary + ":/usr/bin/penstock"}
	for name, at := range map[string]string{"penstock.service": "etc/systemd/system/penstock.service",
		"penstock.socket": "etc/systemd/system/penstock.socket", "penstock-restart": "usr/sbin/penstock-restart"} {
		args = append(args, "--bind-ro="+filepath.Join(folder, name)+":/"+at)
	}
	nspawn := exec.Command("systemd-nspawn", append(args, "systemd.unit=multi-user.target")...)
	if _, err := os.Stat("/sys/fs/cgroup/memory"); err == nil {
		nspawn.Env = append(os.Environ(), "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=0")
	}
	var console bytes.Buffer
	nspawn.Stdout, nspawn.Stderr = &console, &console
	if err := nspawn.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = nspawn.Wait(); close(ended) }()
	m := &machine{t: t}
	t.Cleanup(func() {
		if pid, err := strconv.Atoi(m.leader); err == nil {
			_ = syscall.Kill(pid, syscall.SIGKILL) // all others die with the first process
		}
		_ = nspawn.Process.Kill()
		<-ended
		if t.Failed() {
			t.Logf("console:\n%s", console.Bytes())
		}
	})
	children := fmt.Sprintf("/proc/%d/task/%d/children", nspawn.Process.Pid, nspawn.Process.Pid)
	m.wait("the container to begin", func() bool {
		select {
		case <-ended:
			t.Fatalf("systemd-nspawn has ended:\n%s", console.Bytes())
		default:
		}
		b, _ := os.ReadFile(children)
		m.leader, _, _ = strings.Cut(string(b), " ")
		_, err := m.try("systemctl", "is-system-running", "--wait")
		return m.leader != "" && err == nil || m.active("multi-user.target")
	})
	m.bound()
	return m
}

// bound finds out whether the container can bound the memory of a service. Where the host still has control
// groups of version 1, the container is given the one for memory, unless a systemd of the host has it.
func (m *machine) bound() {
	m.t.Helper()
	const v1 = "/sys/fs/cgroup/memory"
	if out, err := m.try("cat", "/sys/fs/cgroup/cgroup.controllers"); err == nil {
		m.bounds = strings.Contains(out, "memory")
		return
	}
	_, err := os.Stat("/run/systemd/system")
	if _, failed := m.try("mount", "-o", "remount,rw,bind", v1); err == nil || failed != nil {
		return
	}
	m.do("systemctl", "daemon-reexec")
	m.bounds = true
	m.t.Cleanup(func() { // systemd of the container leaves its folders; those in use refuse to go
		slices, _ := filepath.Glob(v1 + "/*.slice")
		for _, at := range append(slices, v1+"/init.scope") {
			services, _ := filepath.Glob(at + "/*")
			for _, name := range append(services, at) {
				_ = syscall.Rmdir(name)
			}
		}
	})
}

// system returns the folder of a small Debian, which is made once.
func system(t *testing.T) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(cache, "penstock", "bookworm-"+strings.ReplaceAll(packages, ",", "-"))
	if _, err := os.Stat(dir); err == nil {
		return dir
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Logf("making a Debian in %s, about a minute", dir)
	fresh := dir + ".new"
	_ = os.RemoveAll(fresh)
	out, err := exec.Command("mmdebstrap", "--quiet", "--variant=minbase", "--include="+packages, "bookworm", fresh).
		CombinedOutput()
	if err != nil {
		t.Fatalf("mmdebstrap: %v\n%s", err, out)
	}
	if err := os.Rename(fresh, dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

// try runs a command in the container and returns what it printed.
func (m *machine) try(args ...string) (string, error) { return m.feed(nil, args...) }

func (m *machine) feed(in io.Reader, args ...string) (string, error) {
	if m.leader == "" {
		return "", os.ErrProcessDone
	}
	ctx, cancel := context.WithTimeout(m.t.Context(), patience)
	defer cancel()
	all := append([]string{"-t", m.leader, "-m", "-u", "-i", "-p", "-C", "--"}, args...)
	c := exec.CommandContext(ctx, "nsenter", all...)
	c.Stdin = in
	out, err := c.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// do runs a command that must succeed.
func (m *machine) do(args ...string) string {
	m.t.Helper()
	out, err := m.try(args...)
	if err != nil {
		m.t.Fatalf("%s: %v\n%s\n%s", strings.Join(args, " "), err, out, m.journal())
	}
	return out
}

// refuse runs a command that must fail.
func (m *machine) refuse(args ...string) string {
	m.t.Helper()
	out, err := m.try(args...)
	if err == nil {
		m.t.Errorf("%s has not failed:\n%s", strings.Join(args, " "), out)
	}
	return out
}

// write writes a file of the container.
func (m *machine) write(path, text string) {
	m.t.Helper()
	m.do("mkdir", "-p", filepath.Dir(path))
	if out, err := m.feed(strings.NewReader(text), "sh", "-c", "cat > "+path); err != nil {
		m.t.Fatalf("%s: %v\n%s", path, err, out)
	}
}

// dropIn gives the service settings of its own, in place of those of before.
func (m *machine) dropIn(text string) {
	m.t.Helper()
	m.write("/etc/systemd/system/penstock.service.d/test.conf", "[Service]\n"+text)
	m.do("systemctl", "daemon-reload")
}

// is returns a property of the service.
func (m *machine) is(property string) string {
	m.t.Helper()
	return m.do("systemctl", "show", "--value", "-p", property, "penstock.service")
}

func (m *machine) active(unit string) bool {
	_, err := m.try("systemctl", "--quiet", "is-active", unit)
	return err == nil
}

// journal returns what the journal has of the service; args choose.
func (m *machine) journal(args ...string) string {
	out, _ := m.try(append([]string{"journalctl", "-u", "penstock*", "-o", "cat", "--no-pager"}, args...)...)
	return out
}

// wait waits until what is asked for is so.
func (m *machine) wait(what string, is func() bool) {
	m.t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for look := time.NewTicker(50 * time.Millisecond); !is(); {
		select {
		case <-look.C:
		case <-deadline.C:
			m.t.Fatalf("waited %v for %s\n%s", patience, what, m.journal("-n", "50"))
		}
	}
}
