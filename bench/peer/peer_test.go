package peer

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/penstock-edge/penstock/bench/rig"
)

// setup is a place for a proxy that does a work, with nothing at any of its addresses.
func setup(t *testing.T, w Work, ours string) Setup {
	t.Helper()
	dir := t.TempDir()
	s := Setup{Work: w, Dir: dir, Self: "/bin/true", Ours: ours, Cert: filepath.Join(dir, "cert")}
	for _, addr := range []*string{&s.Addr, &s.Admin, &s.Origin} {
		var err error
		if *addr, err = rig.FreeAddr(); err != nil {
			t.Fatal(err)
		}
	}
	if err := rig.WriteCert(s.Cert); err != nil {
		t.Fatal(err)
	}
	return s
}

// Every peer that is installed accepts the configurations that are written for it, by its own word.
func TestConfigurations(t *testing.T) {
	ours := filepath.Join(t.TempDir(), "penstock")
	build := exec.Command("go", "build", "-pgo=off", "-buildvcs=false", "-o", ours,
		"github.com/penstock-edge/penstock/cmd/penstock")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("cannot build the gateway: %v\n%s", err, out)
	}
	f := func(name string, check ...string) {
		t.Run(strings.Split(name, "=")[0], func(t *testing.T) {
			if _, err := exec.LookPath(check[0]); err != nil {
				t.Skipf("%s is not installed", check[0])
			}
			accepted := 0
			for _, w := range Works {
				s := setup(t, w, ours)
				p, err := Write(name, s)
				if errors.Is(err, ErrUnfit) {
					continue
				}
				if err != nil {
					t.Fatalf("%s: %v", w.Name, err)
				}
				if p.Ready != s.Addr || p.Core != rig.ProxyCore || p.Ours || p.Err == "" {
					t.Errorf("%s: %+v", w.Name, p)
				}
				// The last argument is the file, and the others mention it nowhere.
				args := append(slices.Clone(check[1:]), p.Args[len(p.Args)-1])
				for i := range args {
					args[i] = strings.ReplaceAll(args[i], "DIR", s.Dir)
				}
				cmd := exec.Command(check[0], args...)
				cmd.Env = append(os.Environ(), "HOME="+s.Dir)
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Errorf("%s: %v\n%s", w.Name, err, out[max(0, len(out)-2000):])
				}
				accepted++
			}
			if accepted == 0 {
				t.Error("fit for nothing")
			}
		})
	}
	f("ours", ours, "check")
	f("self", ours, "check")
	f("penstock="+ours, ours, "check")
	f("nginx", "nginx", "-p", "DIR", "-e", "stderr", "-t", "-c")
	f("haproxy", "haproxy", "-c", "-f")
	f("caddy", "caddy", "validate", "--adapter", "caddyfile", "--config")
	f("varnish", "varnishd", "-j", "none", "-C", "-n", "DIR/work", "-f")
}

// Each line in a capital name between @ signs is filled in.
func TestNothingLeftOpen(t *testing.T) {
	for _, w := range Works {
		s := setup(t, w, "penstock")
		for i, text := range []string{penstock(s), nginx(s), haproxy(s), caddy(s), varnish(s)} {
			if n := strings.Count(text, "@"); n > 0 && (i != 3 || w.Routes == 1 || n != 2) { // caddy names a matcher
				t.Errorf("%s, %d: %d signs left in\n%.2000s", w.Name, i, n, text)
			}
		}
	}
}

func TestRelay(t *testing.T) {
	s := setup(t, Works[0], "")
	p, err := Write("relay", s)
	want := []string{s.Self, "relay", "-listen", s.Addr, "-target", s.Origin}
	if err != nil || !p.Ours || !slices.Equal(p.Args, want) {
		t.Errorf("%+v, %v; want %v", p, err, want)
	}
}

func TestCannot(t *testing.T) {
	t.Setenv("PATH", t.TempDir()) // where nothing is installed
	f := func(name, work string, want error) {
		t.Helper()
		w, err := Find(work)
		if err != nil {
			t.Fatal(err)
		}
		_, err = Write(name, setup(t, w, "/nowhere/penstock"))
		if !errors.Is(err, want) {
			t.Errorf("%s, %s: %v, want %v", name, work, err, want)
		}
	}
	for _, name := range []string{"nginx", "haproxy", "caddy", "varnish", "ours", "penstock=/nowhere/else"} {
		f(name, "plain-128", ErrMissing)
	}
	for _, work := range []string{"routes-128", "full-128", "tls-128"} {
		f("varnish", work, ErrUnfit)
	}
	f("relay", "full-128", ErrUnfit)
	f("relay", "tls-128", ErrUnfit)
	f("relay", "close-128", nil)
	w, err := Find("no such work")
	if err == nil {
		t.Errorf("found %+v", w)
	}
	if _, err := Write("apache", setup(t, Works[0], "")); err == nil {
		t.Error("a peer nobody knows was written")
	}
}
