package hits

import (
	"fmt"
	"math"
	"time"

	"github.com/penstock-edge/penstock/bench/rig"
)

// Plan is how a hit ratio is measured.
type Plan struct {
	Peers    []string // penstock, varnish
	Memory   int64    // of each cache in bytes
	Times    float64  // how much larger than that all objects together are
	Body     int      // bytes of each object's body, or Mixed
	Exponent float64  // s of the popularity
	Warm     float64  // requests that do not count, in those that it takes to fill the cache
	Requests int      // that count
	Conns    int
	Rate     float64 // requests a second; 0: as fast as they are answered
	Seed     uint64
}

// Ratio is what a sequence of requests has given.
type Ratio struct {
	Plan    Plan    `json:"plan"`
	Objects int     `json:"objects"`
	Warm    int     `json:"warm"` // requests
	LRU     float64 `json:"lru"`  // share of hits if the cache had no overhead and kept the order exactly
	Rows    []Row   `json:"rows"`
}

// Row is what one cache has given.
type Row struct {
	Peer    string  `json:"peer"`
	Missing string  `json:"missing,omitempty"` // why it was not measured
	Hits    float64 `json:"hits"`              // share of the requests that did not reach the origin
	Fetches int64   `json:"fetches"`           // requests that did, those for warmth too
	Pss     int64   `json:"pss_bytes"`         // at the end
	Idle    int64   `json:"idle_pss_bytes"`    // before the first request
	Rate    float64 `json:"rate"`              // requests answered a second
	Failed  int     `json:"failed"`
	Why     string  `json:"why,omitempty"` // the first failure
}

// Ratio sends the same requests to each cache.
func (s *Stage) Ratio(p Plan) (Ratio, error) {
	sizes := Sizes(int64(float64(p.Memory)*p.Times), p.Body)
	r := Ratio{Plan: p, Objects: len(sizes)}
	z := NewZipf(len(sizes), p.Exponent)
	s.say("%d objects; drawing requests", len(sizes))
	// What fits is full long before four requests an object, unless all fits.
	r.Warm = int(math.Ceil(p.Warm * float64(fill(p.Memory, sizes, z.Sequence(4*len(sizes), p.Seed)))))
	sequence := z.Sequence(r.Warm+p.Requests, p.Seed)
	r.LRU = simulate(p.Memory, sizes, sequence, r.Warm)
	for _, name := range p.Peers {
		row, err := s.ratio(name, p, sizes, sequence, r.Warm)
		if err != nil {
			return r, err
		}
		r.Rows = append(r.Rows, row)
	}
	return r, nil
}

func (s *Stage) ratio(name string, p Plan, sizes, sequence []int32, warm int) (Row, error) {
	row := Row{Peer: name}
	o, err := startOrigin()
	if err != nil {
		return row, err
	}
	defer o.stop()
	x, err := s.start(name, o.addr, p.Memory)
	if err != nil {
		row.Missing = err.Error()
		s.say("%s is not measured: %s", name, row.Missing)
		return row, nil
	}
	defer x.Stop()
	if row.Idle, err = rig.Pss(rig.Tree(x.Pid)); err != nil {
		return row, err
	}
	part := func(what string, sequence []int32) {
		c := client{addr: x.addr, conns: p.Conns, rate: p.Rate, sequence: sequence, sizes: sizes, folder: "o"}
		failed, err := c.run(func(done int) {
			s.say("%s, %s: %d of %d requests, %d fetches", name, what, done, len(sequence), o.asked.Load())
		})
		if row.Failed += failed; err != nil && row.Why == "" {
			row.Why = err.Error()
		}
	}
	part("warming up", sequence[:warm])
	before, begin := o.asked.Load(), time.Now()
	part("measuring", sequence[warm:])
	row.Fetches = o.asked.Load()
	row.Rate = float64(p.Requests) / time.Since(begin).Seconds()
	row.Hits = 1 - float64(row.Fetches-before)/float64(p.Requests)
	if row.Failed >= len(sequence) {
		return row, fmt.Errorf("%s: no request succeeded: %s", name, row.Why)
	}
	row.Pss, err = rig.Pss(rig.Tree(x.Pid))
	return row, err
}
