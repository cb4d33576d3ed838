package capacity

// Host is a machine to say something about.
type Host struct {
	Cores    int     `json:"cores"`
	MemoryGB float64 `json:"memory_gb"` // of 2^30 bytes
}

// Share is the part of a request's CPU time that a feature takes.
type Share struct {
	Feature string  `json:"feature"`
	Percent float64 `json:"percent"`
	Low     float64 `json:"low"`
	High    float64 `json:"high"`

	Untrusted bool `json:"untrusted,omitempty"`
}

// Statement is what a host carries.
type Statement struct {
	Host
	Rate       float64 `json:"rate"`       // requests a second
	PerCore    float64 `json:"per_core"`   // of the same on one
	Efficiency float64 `json:"efficiency"` // of each of the cores, one alone being 1
	Linear     bool    `json:"linear"`     // the efficiency of 1 is assumed, not measured
	Plain      int     `json:"plain"`      // idle connections
	TLS        int     `json:"tls"`
	Active     int     `json:"active"`     // connections in use at the same time
	Kernel     bool    `json:"kernel"`     // the kernel's memory counts in connections
	Handshakes float64 `json:"handshakes"` // TLS, a second
	Shares     []Share `json:"shares"`
	Untrusted  bool    `json:"untrusted,omitempty"` // because the knee is
}

const (
	planned = .65 // share of the knee to plan with
	usable  = .8  // share of the memory to plan with
)

// state does the statement's arithmetic.
func (r *Report) state(h Host) Statement {
	s := Statement{Host: h, PerCore: planned * r.Knee.Rate, Efficiency: 1, Linear: true,
		Untrusted: r.Knee.Untrusted}
	if sigma := r.coreSigma(); sigma >= 0 {
		s.Linear = false
		s.Efficiency = 1 / (1 + sigma*float64(h.Cores-1))
	}
	n := float64(h.Cores)
	s.Rate = s.PerCore * n * s.Efficiency
	s.Handshakes = r.TLS.PerCore * n * s.Efficiency
	m := r.Memory
	// A socket is the same to the kernel with and without TLS; what others took makes a figure too high.
	kernel := min(m.Plain.Kernel, m.TLS.Kernel)
	if kernel == 0 {
		kernel = max(m.Plain.Kernel, m.TLS.Kernel)
	}
	s.Kernel = kernel > 0
	free := usable*h.MemoryGB*(1<<30) - m.Base
	s.Plain, s.TLS = held(free, m.Plain.Process, kernel), held(free, m.TLS.Process, kernel)
	s.Active = held(free, m.Active, kernel)
	for _, f := range r.Features {
		if f.Missing != "" || f.With.CPU <= 0 {
			continue
		}
		part := func(ns float64) float64 { return ns / f.With.CPU * 100 }
		s.Shares = append(s.Shares, Share{f.Name, part(f.Cost.Median), part(f.Cost.Low), part(f.Cost.High),
			f.Untrusted})
	}
	return s
}

// held is how many connections a memory holds, each with some bytes of the process and of the kernel.
func held(free, process, kernel float64) int {
	if process <= 0 || free <= 0 { // not measured
		return 0
	}
	return int(free / (process + kernel))
}

// coreSigma gives the law's σ of cores, from one core and two that the gateway had for itself and used; -1:
// not measured.
func (r *Report) coreSigma() float64 {
	var most [3]Load
	for _, s := range r.Scaling {
		if s.Shared || s.Cores < 1 || s.Cores > 2 {
			continue
		}
		for _, p := range s.Points {
			if p.X > most[s.Cores].X {
				most[s.Cores] = p
			}
		}
	}
	const used = .9 // below it, something else was the limit
	if most[1].Busy < used || most[2].Busy < used || most[1].X <= 0 {
		return -1
	}
	return max(0, 2*most[1].X/most[2].X-1)
}
