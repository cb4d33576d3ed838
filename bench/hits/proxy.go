package hits

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/penstock-edge/penstock/bench/rig"
)

// Stage is where the caches are started.
type Stage struct {
	Self string    // the program with the bench's own commands
	Ours string    // Penstock's program
	Dir  string    // for files; the caller removes it
	Log  io.Writer // progress of what takes long

	count int
	trace bool // Penstock tells of each garbage collection
}

func (s *Stage) say(format string, args ...any) { fmt.Fprintf(s.Log, format+"\n", args...) }

// proxy is a cache that runs, on the core of proxies.
type proxy struct {
	*rig.Process
	addr, admin string // admin: Penstock's alone
	errors      string // file of standard error
}

func (s *Stage) start(name, origin string, memory int64) (*proxy, error) {
	s.count++
	dir := filepath.Join(s.Dir, strconv.Itoa(s.count)+"-"+name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	p := &proxy{errors: filepath.Join(dir, "stderr")}
	var err error
	if p.addr, err = rig.FreeAddr(); err != nil {
		return nil, err
	}
	if p.admin, err = rig.FreeAddr(); err != nil {
		return nil, err
	}
	var text, file string
	var args []string
	switch name {
	case "penstock":
		text, file = penstock(p.addr, p.admin, origin, memory), filepath.Join(dir, "penstock.toml")
		args = []string{s.Ours, "run", "--config", file}
		if s.trace {
			args = append([]string{"env", "GODEBUG=gctrace=1"}, args...)
		}
	case "varnish":
		text, file = varnish(origin), filepath.Join(dir, "default.vcl")
		args = []string{"varnishd", "-F", "-j", "none", "-n", filepath.Join(dir, "work"), "-a", p.addr,
			"-s", fmt.Sprintf("malloc,%dk", memory>>10), "-f", file}
	default:
		return nil, fmt.Errorf("no cache %q", name)
	}
	if _, err := exec.LookPath(args[0]); err != nil {
		return nil, err
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		return nil, err
	}
	p.Process, err = rig.Start(rig.Program{Args: args, Core: rig.ProxyCore, Err: p.errors, Ready: p.addr})
	return p, err
}

func penstock(addr, admin, origin string, memory int64) string {
	return fmt.Sprintf(`
[admin]
address = %q
[log]
level = "warn"
[log.access]
output = "off"
[[listener]]
address = %q
[pool.origin]
targets = [%q]
max_connections = 20000 # Varnish knows no bound
[cache.main]
size = "%dKiB"
cookies = "ignore" # the loader sends one
[[route]]
prefix = "/"
pool = "origin"
cache = "main"
`, admin, addr, origin, memory>>10)
}

func varnish(origin string) string {
	host, port, _ := strings.Cut(origin, ":")
	return fmt.Sprintf(`vcl 4.1;
backend default { .host = "%s"; .port = "%s"; }
sub vcl_recv { return (hash); }
sub vcl_backend_response { set beresp.ttl = 1h; return (deliver); }
`, host, port)
}
