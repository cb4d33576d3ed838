package ratelimit

import "github.com/penstock-edge/penstock/edge/lib/clock"

// Status is a limit as /status shows it.
type Status struct {
	Name      string            `json:"name"`
	Algorithm string            `json:"algorithm"`
	Rate      string            `json:"rate,omitempty"`
	Burst     int64             `json:"burst,omitempty"`
	Most      int64             `json:"max_in_flight,omitempty"`
	Quota     int64             `json:"quota,omitempty"`
	Period    string            `json:"period,omitempty"`
	Mode      string            `json:"mode"`
	Scope     string            `json:"scope"`
	Count     string            `json:"count,omitempty"` // statuses of the answers that are charged
	Missing   string            `json:"missing"`         // what becomes of requests without a part of the key
	Lacking   uint64            `json:"without_key"`     // requests without a part of the key
	Exempt    int               `json:"exempt"`          // keys that are not limited, as the file has them
	Fleet     *FleetStatus      `json:"fleet,omitempty"` // of the scope fleet
	Keys      int               `json:"keys"`            // with something spent
	MaxKeys   int               `json:"max_keys"`
	Evictions uint64            `json:"evictions"` // keys that were forgotten to make room
	Bytes     int64             `json:"bytes"`     // of its table
	Decisions map[string]uint64 `json:"decisions"`
	Banned    int               `json:"banned"`        // keys that pay a penalty
	Offenders []Offender        `json:"top_offenders"` // the keys refused most often
}

// FleetStatus is how a limit is shared.
type FleetStatus struct {
	Mode      string `json:"mode"`
	OnFailure string `json:"on_failure"`
	ServerUp  bool   `json:"server_up"`
	Nodes     int64  `json:"nodes"` // gateways seen when the server answered last
	Fallbacks uint64 `json:"fallbacks"`
}

func (ls *limits) status() any {
	all := []Status{}
	for _, l := range ls.list {
		c := l.conf
		s := Status{Name: l.name, Algorithm: c.Algorithm, Mode: c.Mode, MaxKeys: c.MaxKeys,
			Most: c.MaxInFlight, Scope: c.Scope, Count: c.Count, Missing: c.Missing, Lacking: l.missing.Sum(),
			Exempt: len(c.exempt), Decisions: map[string]uint64{}}
		if c.Rate.Count > 0 {
			s.Rate = c.Rate.String()
		}
		if c.Algorithm == "gcra" {
			s.Burst = c.Burst
		}
		if c.Algorithm == "quota" {
			s.Quota, s.Period = c.Quota, c.Period
		}
		if l.shared != nil {
			link := l.shared.Link()
			s.Fleet = &FleetStatus{c.Fleet, c.OnFailure, link.Up(), link.Nodes(), l.fallbacks.Sum()}
		}
		for d, name := range decisionNames {
			s.Decisions[name] = l.decisions[d].Sum()
		}
		if l.kept != nil {
			s.Keys, s.Evictions, s.Bytes = l.kept.keys(clock.Now()), l.kept.evictions(), l.kept.bytes()
			s.Offenders = l.kept.worst.top(10)
			if l.kept.box != nil {
				s.Banned = l.kept.box.bans.Keys(clock.Now())
			}
		}
		all = append(all, s)
	}
	return all
}
