// Package peer writes the configurations with which Penstock and others do the same work: the same headers
// added, connections to the target kept, the same timeouts, logs on or off for all.
package peer

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/penstock-edge/penstock/bench/rig"
)

// Work is what a proxy has to do.
type Work struct {
	Name   string
	Path   string // with {n} where the number of a route goes
	Paths  int    // how many numbers are asked for in turn; 0: one for each route
	Routes int
	Log    bool // a line for each request, into a file
	TLS    bool // towards clients
	Close  bool // a connection for each request
	Conns  int
	// Guarded switches on all that the pool has against its target's failures; "bare" does the work without.
	Guarded bool
	Limited bool // a rate limit for each address, far above what comes; "bare" does without
	Cached  bool // the answer is in a cache; "bare" does without
	Told    bool // and clients are told what is left, in fields of the answer
}

// Works are the works by name.
var Works = []Work{
	{Name: "plain-0", Path: "/0", Routes: 1, Conns: 64},
	{Name: "plain-128", Path: "/128", Routes: 1, Conns: 64},
	{Name: "plain-1k", Path: "/1024", Routes: 1, Conns: 64},
	{Name: "plain-10k", Path: "/10240", Routes: 1, Conns: 64},
	{Name: "plain-100k", Path: "/102400", Routes: 1, Conns: 64},
	{Name: "10m", Path: "/10485760", Routes: 1, Conns: 8},
	{Name: "routes-128", Path: "/r/{n}/128", Routes: 10000, Conns: 64},
	{Name: "full-128", Path: "/r/{n}/128", Routes: 10000, Log: true, Conns: 64},
	{Name: "close-128", Path: "/128", Routes: 1, Close: true, Conns: 64},
	{Name: "guarded-128", Path: "/128", Routes: 1, Conns: 64, Guarded: true},
	{Name: "limited-128", Path: "/128", Routes: 1, Conns: 64, Limited: true},
	{Name: "told-128", Path: "/128", Routes: 1, Conns: 64, Limited: true, Told: true},
	{Name: "cached-128", Path: "/128", Routes: 1, Conns: 64, Cached: true},
	{Name: "cached-10k", Path: "/10240", Routes: 1, Conns: 64, Cached: true},
	{Name: "cached-1m", Path: "/1048576", Routes: 1, Conns: 16, Cached: true},
	{Name: "missed-10k", Path: "/m/{n}/10240", Paths: 40_000, Routes: 1, Conns: 64, Cached: true}, // 400 MB
	{Name: "tls-128", Path: "/128", Routes: 1, TLS: true, Conns: 64},
}

// Numbers returns how many numbers stand in turn for {n} in the paths of a work.
func (w Work) Numbers() int { return max(w.Paths, w.Routes) }

// Find gives a work by its name.
func Find(name string) (Work, error) {
	for _, w := range Works {
		if w.Name == name {
			return w, nil
		}
	}
	return Work{}, fmt.Errorf("no work %q", name)
}

// Setup is where a proxy stands.
type Setup struct {
	Work   Work
	Dir    string // of its own; files go there
	Self   string // the program that has the relay
	Ours   string // Penstock's program
	Addr   string
	Admin  string // Penstock's, for its metrics
	Origin string
	Cert   string // a file with certificate and key, and each alone beside it in .crt and .key
}

// ErrMissing is returned for a peer that is not installed, ErrUnfit for one that cannot do the work.
var (
	ErrMissing = errors.New("not installed")
	ErrUnfit   = errors.New("cannot do this work")
)

// canDo reports whether a kind of peer can do a work.
func canDo(kind string, w Work) bool {
	switch kind {
	case "nginx":
		return !w.Told // limit_req does not send what is left
	case "haproxy":
		return !w.Cached // its cache keeps no answer without freshness of its own
	case "caddy":
		return !w.Limited && !w.Cached // that takes a module of somebody else
	case "varnish":
		return w.Routes <= 1 && !w.Log && !w.TLS && !w.Limited
	case "relay":
		return !w.Log && !w.TLS && !w.Limited && !w.Cached
	}
	return true
}

// Write writes a peer's files, and returns how it is started.
func Write(name string, s Setup) (rig.Program, error) {
	p := rig.Program{Core: rig.ProxyCore, Err: filepath.Join(s.Dir, "stderr"), Ready: s.Addr}
	var text, file string
	name, bare := strings.CutSuffix(name, "-bare")
	kind, program, _ := strings.Cut(name, "=")
	if bare || kind == "bare" {
		s.Work.Guarded, s.Work.Limited, s.Work.Cached = false, false, false
	}
	if !canDo(kind, s.Work) {
		return p, ErrUnfit
	}
	switch kind {
	case "penstock", "ours", "self", "bare":
		if program == "" {
			program = s.Ours
		}
		text, file, p.Args = penstock(s), "penstock.toml", []string{program, "run", "--config"}
	case "nginx":
		text, file, p.Args = nginx(s), "nginx.conf", []string{"nginx", "-p", s.Dir, "-c"}
	case "haproxy":
		p.Out = filepath.Join(s.Dir, "access.log")
		text, file, p.Args = haproxy(s), "haproxy.cfg", []string{"haproxy", "-db", "-f"}
		lines := numbered(s.Work, "%s origin\n")
		if err := os.WriteFile(filepath.Join(s.Dir, "routes.map"), []byte(lines), 0o644); err != nil {
			return p, err
		}
	case "caddy":
		text, file, p.Args = caddy(s), "Caddyfile", []string{"caddy", "run", "--adapter", "caddyfile", "--config"}
	case "varnish":
		text, file = varnish(s), "default.vcl"
		p.Args = []string{"varnishd", "-F", "-j", "none", "-n", filepath.Join(s.Dir, "work"), "-a", s.Addr,
			"-s", "malloc,64m", "-p", "timeout_idle=75", "-f"}
	case "relay":
		p.Ours, p.Args = true, []string{s.Self, "relay", "-listen", s.Addr, "-target", s.Origin}
		return p, nil
	default:
		return p, fmt.Errorf("no peer %q", name)
	}
	if _, err := exec.LookPath(p.Args[0]); err != nil {
		return p, fmt.Errorf("%w: %s", ErrMissing, p.Args[0])
	}
	file = filepath.Join(s.Dir, file)
	p.Args = append(p.Args, file)
	return p, os.WriteFile(file, []byte(text), 0o644)
}

// numbered gives a line for each route; format has one %s, for the path.
func numbered(w Work, format string) string {
	var b strings.Builder
	for i := range w.Routes {
		fmt.Fprintf(&b, format, strings.ReplaceAll(w.Path, "{n}", fmt.Sprint(i)))
	}
	return b.String()
}
