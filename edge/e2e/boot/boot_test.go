// Package boot runs the units of configs/systemd in a container in which Debian's systemd has booted.
package boot

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/penstock-edge/penstock/edge/e2e"
)

const config = "/etc/penstock/penstock.toml"

// file is the configuration that most of the tests begin with. %[1]s is the listener's address, %[2]s the
// target's.
const file = `
[admin]
address = "unix:/run/penstock/admin.sock"
[[listener]]
name = "public"
address = "%[1]s"
reuse_port = true
[pool.app]
targets = ["%[2]s"]
[[route]]
prefix = "/"
pool = "app"
`

// TestUnits boots once and asks one thing after the other of the service.
func TestUnits(t *testing.T) {
	m := boot(t)
	u := &unit{machine: m, address: e2e.FreeAddr(t), target: e2e.HTTPOrigin(t, slowOrWhole)}
	for _, part := range []struct {
		name string
		run  func(*unit, *testing.T)
	}{
		{"Start", (*unit).start},
		{"ReloadRefused", (*unit).reloadRefused},
		{"Priorities", (*unit).priorities},
		{"Stop", (*unit).stop},
		{"Credentials", (*unit).credentials},
		{"FewDescriptors", (*unit).fewDescriptors},
		{"Watchdog", (*unit).watchdog},
		{"Memory", (*unit).memory},
		{"StartLimit", (*unit).startLimit},
		{"Socket", (*unit).socket},
		{"Restart", (*unit).restart},
	} {
		t.Run(part.name, func(t *testing.T) {
			m.t = t
			_, _ = m.try("systemctl", "stop", "penstock.socket", "penstock.service")
			_, _ = m.try("systemctl", "reset-failed")
			m.do("rm", "-rf", "/etc/systemd/system/penstock.service.d")
			m.do("systemctl", "daemon-reload")
			m.write(config, fmt.Sprintf(file, u.address, u.target))
			part.run(u, t)
		})
		m.t = t
	}
}

// unit is the service in the container, the address that it listens at, and that of its target.
type unit struct {
	*machine
	address, target string
}

// slowOrWhole answers from the host. /slow begins an answer and ends it when the client's body has ended.
func slowOrWhole(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/slow" {
		_ = http.NewResponseController(w).EnableFullDuplex() // HTTP/1.1 can
		_, _ = io.WriteString(w, "begun\n")                  // the gateway may have gone
		w.(http.Flusher).Flush()
		_, _ = io.Copy(io.Discard, r.Body) // likewise
	}
	_, _ = io.WriteString(w, "whole\n") // likewise
}

// get asks the service for a path, on a connection of its own.
func (u *unit) get(path string) (int, string) {
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	resp, err := c.Get("http://" + u.address + path)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	b, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b)
}

func (u *unit) serves() bool {
	status, _ := u.get("/")
	return status == http.StatusOK
}

func (u *unit) mustServe() {
	u.t.Helper()
	if status, body := u.get("/"); status != http.StatusOK {
		u.t.Errorf("GET /: %d %s\n%s", status, body, u.journal("-n", "20"))
	}
}

// start: systemctl start returns when the gateway serves; the service has a user of its own, and its files are
// for nobody else.
func (u *unit) start(t *testing.T) {
	u.write(config, "[log.access]\noutput = \"/var/log/penstock/access.log\"\n"+fmt.Sprintf(file, u.address, u.target))
	u.do("systemctl", "start", "penstock")
	u.mustServe()
	if s := u.is("StatusText"); s == "" {
		t.Error("no status text")
	}
	if owner := u.do("stat", "-c", "%u", "/proc/"+u.is("MainPID")); owner == "0" || owner != u.is("UID") {
		t.Errorf("runs as %q, want the user that systemd has lent, %s", owner, u.is("UID"))
	}
	if mode := u.do("stat", "-c", "%a", "/var/log/private/penstock/access.log"); mode != "600" {
		t.Errorf("mode of the access log: %s, want 600", mode)
	}
}

// reloadRefused: a file with a mistake makes systemctl reload fail and show the lines; what ran before goes on.
func (u *unit) reloadRefused(t *testing.T) {
	u.do("systemctl", "start", "penstock")
	u.do("systemctl", "reload", "penstock")
	before := u.is("MainPID")
	u.write(config, fmt.Sprintf(file, u.address, u.target)+"polo = \"app\"\n")
	u.refuse("systemctl", "reload", "penstock")
	if s := u.do("systemctl", "status", "penstock", "--no-pager", "-n", "20"); !strings.Contains(s, "polo: unknown key") {
		t.Errorf("status does not say which line is wrong:\n%s", s)
	}
	u.write(config, "not TOML at all [")
	u.refuse("systemctl", "reload", "penstock")
	u.mustServe()
	if now := u.is("MainPID"); now != before || u.is("ActiveState") != "active" {
		t.Errorf("process %s has become %s, %s", before, now, u.is("ActiveState"))
	}
	u.write(config, fmt.Sprintf(file, u.address, u.target))
	u.do("systemctl", "reload", "penstock")
}

// priorities: journalctl finds mistakes by their priority, and access lines in their thousands drown none.
func (u *unit) priorities(t *testing.T) {
	text := "[log.access]\noutput = \"stdout\"\n" + fmt.Sprintf(file, u.address, u.target)
	u.write(config, text)
	u.do("systemctl", "start", "penstock")
	u.mustServe()
	for range 4 {
		c := http.Client{Timeout: patience}
		for range 5000 {
			resp, err := c.Get("http://" + u.address + "/")
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
		}
		c.CloseIdleConnections()
		u.write(config, text+"polo = 1\n")
		u.refuse("systemctl", "reload", "penstock")
	}
	u.wait("the mistakes in the journal", func() bool {
		return strings.Count(u.journal("-p", "err", "--since", "-10min"), "polo") >= 4
	})
	if lines := u.journal("-p", "err", "--since", "-10min"); strings.Contains(lines, "GET /") {
		t.Errorf("access lines among the errors:\n%.2000s", lines)
	}
}

// stop: a request under way is answered whole, and systemd calls the end a success.
func (u *unit) stop(t *testing.T) {
	u.do("systemctl", "start", "penstock")
	body, release := io.Pipe()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, "http://"+u.address+"/slow", body)
	if err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = io.WriteString(release, "x") }()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	stopped := make(chan error, 1)
	go func() {
		_, err := u.try("systemctl", "stop", "penstock")
		stopped <- err
	}()
	u.wait("the drain", func() bool { return u.is("ActiveState") == "deactivating" && !u.serves() })
	_ = release.Close()
	if b, err := io.ReadAll(resp.Body); err != nil || string(b) != "begun\nwhole\n" {
		t.Errorf("answer %q, %v", b, err)
	}
	if err := <-stopped; err != nil {
		t.Errorf("systemctl stop: %v", err)
	}
	if r := u.is("Result"); r != "success" {
		t.Errorf("Result=%s ExecMainStatus=%s\n%s", r, u.is("ExecMainStatus"), u.journal("-n", "20"))
	}
}

// credentials: certificates that root alone may read reach the service, and check knows where they come from.
func (u *unit) credentials(t *testing.T) {
	u.do("mkdir", "-p", "-m", "0700", "/etc/penstock/tls")
	u.do("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=site.example", "-addext",
		"subjectAltName=DNS:site.example", "-keyout", "/etc/penstock/tls/site.key", "-out", "/etc/penstock/tls/site.crt")
	u.dropIn("LoadCredential=site.crt:/etc/penstock/tls/site.crt\nLoadCredential=site.key:/etc/penstock/tls/site.key\n")
	u.write(config, strings.Replace(fmt.Sprintf(file, u.address, u.target), "[pool.app]", `[[listener.certificate]]
cert = "${CREDENTIALS_DIRECTORY}/site.crt"
key = "${CREDENTIALS_DIRECTORY}/site.key"
[pool.app]`, 1))
	u.do("penstock", "check", "--credentials", "/etc/penstock/tls", config)
	u.do("systemctl", "start", "penstock")
	out := u.do("sh", "-c", "echo | openssl s_client -connect "+u.address+" -servername site.example 2>/dev/null")
	if !strings.Contains(out, "site.example") {
		t.Errorf("another certificate:\n%s", out)
	}
	// Outside the unit the files are root's: check, called by root, names what the service could not read.
	u.write(config, strings.ReplaceAll(u.do("cat", config), "${CREDENTIALS_DIRECTORY}", "/etc/penstock/tls"))
	u.do("useradd", "--system", "watcher")
	if out, _ := u.try("penstock", "check", "--user", "watcher", config); !strings.Contains(out, "watcher") {
		t.Errorf("check does not say what the user could not read:\n%s", out)
	}
}

// fewDescriptors: a gateway that has run out of descriptors is alive, and the watchdog knows.
func (u *unit) fewDescriptors(t *testing.T) {
	u.dropIn("LimitNOFILE=64\nWatchdogSec=1\n")
	u.do("systemctl", "start", "penstock")
	for range 100 {
		c, err := net.Dial("tcp", u.address)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
	}
	fed := u.is("WatchdogTimestampMonotonic")
	for range 5 { // five feedings later it has been without descriptors for longer than WatchdogSec
		u.wait("the watchdog's food", func() bool { return u.is("WatchdogTimestampMonotonic") != fed })
		fed = u.is("WatchdogTimestampMonotonic")
	}
	if n := u.is("NRestarts"); n != "0" || u.is("ActiveState") != "active" {
		t.Errorf("%s restarts, %s\n%s", n, u.is("ActiveState"), u.journal("-n", "30"))
	}
}

// watchdog: a process that hangs is ended and started again.
func (u *unit) watchdog(t *testing.T) {
	u.dropIn("WatchdogSec=1\nTimeoutAbortSec=2\n")
	u.do("systemctl", "start", "penstock")
	u.do("kill", "-STOP", u.is("MainPID"))
	u.wait("another process", func() bool { return u.is("NRestarts") == "1" && u.serves() })
	if !strings.Contains(u.journal(), "result 'watchdog'") {
		t.Errorf("no word of the watchdog:\n%s", u.journal("-n", "50"))
	}
}

// memory: caches that cannot fit are refused with their numbers, in place of a loop of processes that the kernel
// ends; what fits serves, and refuses requests before the kernel acts.
func (u *unit) memory(t *testing.T) {
	if !u.bounds {
		t.Skip("the host gives the container no say over memory")
	}
	u.dropIn("MemoryMax=64M\nMemorySwapMax=0\n")
	u.write(config, fmt.Sprintf(file, u.address, u.target)+"cache = \"main\"\n[cache.main]\nsize = \"256MiB\"\n")
	u.refuse("systemctl", "start", "penstock")
	lines := u.journal("-n", "20")
	if !strings.Contains(lines, "256") || !strings.Contains(lines, "memory") || !strings.Contains(lines, "64") {
		t.Errorf("the journal does not have the numbers:\n%s", lines)
	}
	if r := u.is("Result"); r == "oom-kill" {
		t.Errorf("Result=%s", r)
	}
	for limit, more := range map[string]string{"64M": "cache = \"main\"\n[cache.main]\nsize = \"8MiB\"\n", "32M": ""} {
		_, _ = u.try("systemctl", "stop", "penstock")
		u.dropIn("MemoryMax=" + limit + "\nMemorySwapMax=0\n")
		u.write(config, fmt.Sprintf(file, u.address, u.target)+more+"[overload]\n")
		u.do("systemctl", "start", "penstock")
		u.flood(t)
		if n := u.is("NRestarts"); n != "0" {
			t.Errorf("MemoryMax=%s: %s restarts under load\n%s", limit, n, u.journal("-n", "30"))
		}
		u.wait("the gateway to serve again", u.serves)
	}
}

// flood sends large requests on many connections that read nothing.
func (u *unit) flood(t *testing.T) {
	t.Helper()
	head := "GET /?" + strings.Repeat("x", 4000) + " HTTP/1.1\r\nHost: a\r\n\r\n"
	for range 3000 {
		c, err := net.Dial("tcp", u.address)
		if err != nil {
			continue // refused: that is what it may do
		}
		defer func() { _ = c.Close() }()
		_, _ = io.WriteString(c, strings.Repeat(head, 4))
	}
}

// startLimit: a service that cannot start has failed after the starts that the unit allows.
func (u *unit) startLimit(t *testing.T) {
	u.dropIn("RestartSec=0\n")
	u.write(config, "polo = 1\n")
	u.refuse("systemctl", "start", "penstock")
	u.wait("the unit to fail", func() bool { return u.is("ActiveState") == "failed" })
	n, err := strconv.Atoi(u.is("NRestarts"))
	if err != nil || n < 5 || n > 20 {
		t.Errorf("NRestarts=%d, want up to 20", n)
	}
}

// socket: the socket unit has the address, and starts the service when somebody comes.
func (u *unit) socket(t *testing.T) {
	_, port, _ := net.SplitHostPort(u.address)
	u.write("/etc/systemd/system/penstock.socket.d/test.conf", "[Socket]\nListenStream=\nListenStream=127.0.0.1:"+port+"\n")
	u.do("systemctl", "daemon-reload")
	u.do("systemctl", "start", "penstock.socket")
	u.mustServe()
	for range 3 {
		u.do("systemctl", "restart", "penstock")
		u.mustServe()
	}
	u.do("systemctl", "stop", "penstock.service")
	u.mustServe()
	u.do("systemctl", "stop", "penstock.socket", "penstock.service")
	if status, _ := u.get("/"); status != 0 {
		t.Error("it serves with both units stopped")
	}
}

// restart: two processes relieve each other, and no client that comes meanwhile is refused.
func (u *unit) restart(t *testing.T) {
	u.do("cp", "/etc/systemd/system/penstock.service", "/etc/systemd/system/penstock@.service")
	u.do("systemctl", "daemon-reload")
	u.do("penstock-restart")
	ctx, cancel := context.WithCancel(context.Background())
	failed := make(chan string, 1)
	asked := make(chan int, 1)
	go func() {
		n := 0
		for ; ctx.Err() == nil; n++ {
			if status, body := u.get("/"); status != http.StatusOK {
				select {
				case failed <- fmt.Sprint(status, " ", body):
				default:
				}
			}
		}
		asked <- n
	}()
	for range 3 {
		u.do("penstock-restart")
	}
	cancel()
	t.Logf("%d requests while three processes relieved each other", <-asked)
	select {
	case why := <-failed:
		t.Errorf("a request failed: %s", why)
	default:
	}
	if !u.active("penstock@green.service") || u.active("penstock@blue.service") {
		t.Error("after three restarts green should run, and blue not")
	}
	u.do("systemctl", "stop", "penstock@green.service")
}
