package hits

import (
	"bufio"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/penstock-edge/penstock/bench/duel"
	"github.com/penstock-edge/penstock/bench/load"
	"github.com/penstock-edge/penstock/bench/rig"
)

// Side is one of the two over a whole phase.
type Side struct {
	duel.Sample         // medians over the pairs that count, of the hot objects' requests; CPU of all requests
	Entries     float64 `json:"entries"`   // in the cache, at the end
	Pss         int64   `json:"pss_bytes"` // at the end
	Hits        float64 `json:"hits"`      // share of all requests
	GC          float64 `json:"gc"`        // share of the CPU time
	Cycles      int     `json:"gc_cycles"`
	Evictions   float64 `json:"evictions"`
}

// side is one of the two while it runs.
type side struct {
	*proxy
	name         string
	hits, misses *rig.Loader
	samples      []duel.Sample
	collected    collections // in the phase's blocks
	busy         float64     // seconds of CPU time in them
	before       counters    // at the phase's start
}

func (s *side) stop() {
	for _, l := range []*rig.Loader{s.hits, s.misses} {
		if l != nil {
			l.Stop()
		}
	}
	s.Stop()
}

func (s *Stage) side(name, origin string, p FullPlan) (*side, error) {
	x, err := s.start("penstock", origin, p.Memory)
	if err != nil {
		return nil, err
	}
	a := &side{proxy: x, name: name}
	loader := func(folder string, paths int) (l *rig.Loader) {
		if err == nil {
			l, err = rig.StartLoader(s.Self, filepath.Join(s.Dir, name+"-"+folder+".log"), "-addr", x.addr, "-path",
				fmt.Sprintf("/%s/{n}/%d", folder, p.Body), "-paths", strconv.Itoa(paths))
		}
		return l
	}
	a.hits = loader("o", p.Hot)
	a.misses = loader("m", int(2*p.Memory/int64(p.Body))) // when they come again, they are forgotten
	if err != nil {
		a.stop()
		return nil, err
	}
	return a, nil
}

// ask asks for objects once.
func (s *Stage) ask(x *side, folder string, from, to int, p FullPlan) error {
	c := client{addr: x.addr, conns: p.Conns, folder: folder, sizes: make([]int32, to)}
	for i := range c.sizes {
		c.sizes[i] = int32(p.Body)
	}
	for i := from; i < to; i++ {
		c.sequence = append(c.sequence, int32(i))
	}
	failed, err := c.run(func(int) {})
	if failed > 0 {
		return fmt.Errorf("%d of %d requests failed: %w", failed, to-from, err)
	}
	return nil
}

// counters are what Penstock counts itself.
type counters struct{ asked, hits, evicted, entries float64 }

func (s *side) counters() (c counters, err error) {
	m, err := rig.Scrape(s.admin)
	if err != nil {
		return c, err
	}
	c = counters{asked: m["penstock_cache_requests_total"], evicted: m["penstock_cache_evictions_total"],
		entries: m["penstock_cache_entries"]}
	r, err := http.Get("http://" + s.admin + "/metrics")
	if err != nil {
		return c, err
	}
	defer r.Body.Close()
	for lines := bufio.NewScanner(r.Body); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), "} ")
		if strings.HasPrefix(name, "penstock_cache_requests_total{") && strings.Contains(name, `status="hit"`) {
			c.hits, err = strconv.ParseFloat(value, 64)
		}
	}
	return c, err
}

func (s *side) begin() (err error) {
	s.samples, s.collected, s.busy = nil, collections{}, 0
	s.before, err = s.counters()
	return err
}

// measure has hits asked for during a block, and objects that are not stored yet beside them.
func (s *side) measure(p FullPlan, misses float64) error {
	if _, err := s.run(p, misses, p.Warm); err != nil {
		return err
	}
	pids := rig.Tree(s.Pid)
	earlier, err := readCollections(s.errors)
	if err != nil {
		return err
	}
	before, err := rig.ReadCPU(pids)
	if err != nil {
		return err
	}
	sample, err := s.run(p, misses, p.Seconds)
	if err != nil {
		return err
	}
	after, err := rig.ReadCPU(pids)
	if err != nil {
		return err
	}
	later, err := readCollections(s.errors)
	if err != nil {
		return err
	}
	c := later.sub(earlier)
	s.collected.cycles, s.collected.seconds = s.collected.cycles+c.cycles, s.collected.seconds+c.seconds
	used := float64(after.Sub(before).Total)
	s.busy += used / 1e9
	sample.CPU = used / (float64(sample.Done) / (1 - misses))
	s.samples = append(s.samples, sample)
	return nil
}

// run has both loaders at work and gives what the one of the hot objects has seen.
func (s *side) run(p FullPlan, misses, seconds float64) (duel.Sample, error) {
	type answer struct {
		load.Result
		err error
	}
	beside := make(chan answer, 1)
	if misses == 0 {
		beside <- answer{}
	} else {
		go func() {
			r, err := s.misses.Do("run conns=%d rate=%f seconds=%f", p.Conns, p.Rate*misses, seconds)
			beside <- answer{r, err}
		}()
	}
	sample, err := duel.Measure(s.Process, s.hits, p.Conns, p.Rate*(1-misses), seconds, "")
	b := <-beside
	if err = errors.Join(err, b.err); err != nil {
		return sample, err
	}
	if n := sample.Failed + b.Failed; n > 0 {
		return sample, fmt.Errorf("%s: %d requests failed: %v %v", s.name, n, sample.Errors, b.Errors)
	}
	return sample, nil
}

// end sums the phase up.
func (s *side) end() (Side, error) {
	now, err := s.counters()
	if err != nil {
		return Side{}, err
	}
	e := Side{Entries: now.entries, Hits: (now.hits - s.before.hits) / (now.asked - s.before.asked),
		Evictions: now.evicted - s.before.evicted, GC: s.collected.seconds / s.busy, Cycles: s.collected.cycles}
	e.Pss, err = rig.Pss(rig.Tree(s.Pid))
	return e, err
}
