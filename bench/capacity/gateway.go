package capacity

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/penstock-edge/penstock/bench/duel"
	"github.com/penstock-edge/penstock/bench/rig"
)

// maxOthers is how much of one core's time processes that are not ours may use in a run that is to be
// trusted.
const maxOthers = .1

// site is where gateways are measured: the origin, and a directory for their files.
type site struct {
	self, ours string // the program with the bench's own commands, the gateway's
	file       *File
	dir        string
	cert       string
	addr       string
	origin     *rig.Process
	count      int
}

func newSite(self, ours string, f *File) (*site, error) {
	dir, err := os.MkdirTemp("", "penstock-capacity-")
	if err != nil {
		return nil, err
	}
	s := &site{self: self, file: f, dir: dir, cert: filepath.Join(dir, "cert")}
	if s.ours, err = filepath.Abs(ours); err == nil {
		_, err = os.Stat(s.ours)
	}
	if err == nil {
		err = rig.WriteCert(s.cert)
	}
	if err == nil {
		s.addr, err = rig.FreeAddr()
	}
	if err == nil {
		s.origin, err = rig.Start(rig.Program{Args: []string{self, "origin", "-listen", s.addr},
			Core: rig.OtherCore, Ours: true, Err: filepath.Join(dir, "origin.log"), Ready: s.addr})
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return s, nil
}

func (s *site) close() {
	s.origin.Stop()
	os.RemoveAll(s.dir)
}

// gateway is one that runs with a copy of the configuration.
type gateway struct {
	*rig.Process
	copy  *Copy
	site  *site
	spec  Spec
	cores int
}

// start starts a gateway with a copy on some cores, of which the first is rig.ProxyCore.
func (s *site) start(spec Spec, cores ...int) (*gateway, error) {
	s.count++
	spec.Dir = filepath.Join(s.dir, strconv.Itoa(s.count))
	if err := os.Mkdir(spec.Dir, 0o755); err != nil {
		return nil, err
	}
	spec.Origin, spec.Cert = s.addr, s.cert
	for _, addr := range []*string{&spec.Addr, &spec.Secure, &spec.Admin} {
		var err error
		if *addr, err = rig.FreeAddr(); err != nil {
			return nil, err
		}
	}
	file := filepath.Join(spec.Dir, "penstock.toml")
	c, err := prepare(s.ours, s.file, spec, file)
	if err != nil {
		return nil, err
	}
	args := []string{s.ours, "run", "--config", file}
	if len(cores) > 1 {
		list := strings.Trim(strings.ReplaceAll(fmt.Sprint(cores), " ", ","), "[]")
		args = append([]string{"taskset", "-c", list}, args...)
	}
	p, err := rig.Start(rig.Program{Args: args, Core: rig.ProxyCore, Err: filepath.Join(spec.Dir, "stderr"),
		Ready: spec.Addr})
	if err != nil {
		return nil, err
	}
	return &gateway{Process: p, copy: c, site: s, spec: spec, cores: max(1, len(cores))}, nil
}

// prepare writes a copy into a file in which the route to be measured takes the requests that are meant for
// it.
func prepare(ours string, f *File, spec Spec, file string) (*Copy, error) {
	for {
		c, err := f.Copy(spec)
		if err != nil {
			return nil, err
		}
		if err := os.WriteFile(file, []byte(c.Text), 0o644); err != nil {
			return nil, err
		}
		why := ""
		if out, err := exec.Command(ours, "check", file).CombinedOutput(); err != nil {
			why = fmt.Sprintf("the copy is not valid: %s", strings.ReplaceAll(string(out), file, "copy"))
		} else if took := taker(ours, file, c.Path); took != c.Route {
			why = fmt.Sprintf("route %q takes %s", took, c.Path)
		} else if took := taker(ours, file, barePath); took != bareName {
			why = fmt.Sprintf("route %q takes %s", took, barePath)
		}
		if why == "" {
			return c, nil
		}
		if spec.Urgent {
			return nil, fmt.Errorf("%s: %s", c.Route, strings.TrimSpace(why))
		}
		spec.Urgent = true
	}
}

// taker returns the route that takes a request of the loader's; "": none.
func taker(ours, file, path string) string {
	args := []string{"explain", file, "GET", "http://" + host + path}
	for _, h := range sent {
		args = append(args, "-H", h[0]+": "+h[1])
	}
	out, err := exec.Command(ours, args...).Output()
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(out)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "route" {
			return f[1]
		}
	}
	return ""
}

// side is one of two things that are measured in turns: a path of a gateway, with a loader of its own.
type side struct {
	*gateway
	load   *rig.Loader
	expect string
	conns  int
	others float64 // of the last run
}

// side starts a loader. More are its flags.
func (g *gateway) side(path, expect string, more ...string) (*side, error) {
	addr := g.spec.Addr
	for _, m := range more {
		if m == "-tls" {
			addr = g.spec.Secure
		}
	}
	flags := append([]string{"-addr", addr, "-path", path}, more...)
	l, err := rig.StartLoader(g.site.self, filepath.Join(g.spec.Dir, "loader.log"), flags...)
	if err != nil {
		return nil, err
	}
	return &side{gateway: g, load: l, expect: expect, conns: 64}, nil
}

// once loads for some seconds, at a rate or closed loop if that is 0. Answers as expected count as done.
func (s *side) once(rate, seconds float64) (duel.Sample, error) {
	use := readUsage()
	x, err := duel.Measure(s.Process, s.load, s.conns, rate, seconds, s.expect)
	s.others = readUsage().others(use)
	if err != nil {
		return x, fmt.Errorf("%s: %w", s.copy.Route, err)
	}
	return x, nil
}

// measure is once, and once more if that is not to be trusted.
func (s *side) measure(rate, seconds float64) (duel.Sample, bool, error) {
	var out duel.Sample
	for range 2 {
		var err error
		out, err = s.once(rate, seconds)
		if err != nil || out.Trusted() && s.others <= maxOthers {
			return out, true, err
		}
	}
	return out, false, nil
}

// busy is the share of its cores' time that the gateway used.
func (s *side) busy(x duel.Sample) float64 { return x.CPU * x.Rate / 1e9 / float64(s.cores) }
