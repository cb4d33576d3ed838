package ratelimit

import (
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/penstock-edge/penstock/edge/config"
	"github.com/penstock-edge/penstock/edge/lib/header"
	"github.com/penstock-edge/penstock/edge/lib/ip"
	"github.com/penstock-edge/penstock/ratelimit/bucket"
	"github.com/penstock-edge/penstock/ratelimit/quota"
)

// Config is [rate_limit.NAME].
type Config struct {
	// How many requests of a key may pass; /s, /min, /h or /day.
	Rate config.Rate `toml:"rate" unset:"required for gcra and sliding_window"`
	// How many may pass at once after a pause, at least 1; for gcra.
	Burst int64 `toml:"burst" default:"0" min:"0" max:"1000000000" unset:"what the rate has in a second"`
	// Requests of a key under way at once.
	MaxInFlight int64 `toml:"max_in_flight" min:"1" max:"1000000" unset:"required for concurrency"`
	// or sliding_window, concurrency, quota
	Algorithm string `toml:"algorithm" default:"gcra" enum:"gcra|sliding_window|concurrency|quota"`
	// How many may pass in each period of the calendar.
	Quota  int64  `toml:"quota" min:"1" max:"1000000000000" unset:"required for quota"`
	Period string `toml:"period" default:"day" enum:"hour|day|month"` // or hour, month; of a quota
	Zone   string `toml:"zone" default:"UTC"`                         // whose midnight begins a period
	// Keeps the counts of a quota over restarts.
	File string `toml:"file" unset:"required in the scope node"`
	// fleet: counted over all gateways with the same [redis].
	Scope string `toml:"scope" default:"node" enum:"node|fleet"`
	// exact: ask the server before each answer; fast: tell it afterwards.
	Fleet string `toml:"fleet" default:"exact" enum:"exact|fast"`
	// How long a request waits for the server; to be told it has 5 times that.
	FleetTimeout time.Duration `toml:"fleet_timeout" default:"20ms" min:"1ms" max:"10s"`
	// What a gateway admits of a key untold, for fast; 0: a quarter of the limit.
	FleetLease int64 `toml:"fleet_lease" default:"0" min:"0" max:"1000000000"`
	// While the server does not answer: local (a part of the limit for each gateway), allow, or deny (503).
	OnFailure string `toml:"on_failure" default:"local" enum:"local|allow|deny"`
	// observe: count what would be refused, refuse nobody.
	Mode string `toml:"mode" default:"enforce" enum:"enforce|observe"`
	// Of a request, where its route has no rate_cost.
	Cost int64 `toml:"cost" default:"1" min:"0" max:"1000000"`
	// Field of the answer with what the request has cost; charged afterwards, and removed.
	CostHeader string `toml:"cost_header"`
	// "401,403" or "400-499": only requests so answered are charged, afterwards; "": all, beforehand.
	Count   string `toml:"count"`
	Headers bool   `toml:"headers" default:"true"` // answers carry RateLimit and RateLimit-Policy
	// true: X-RateLimit-Limit, -Remaining and -Reset (seconds from now) as well.
	XHeaders bool    `toml:"x_headers" default:"false"`
	Answer   *Answer `toml:"answer" unset:"a problem with status 429"` // what a refused client gets
	// Requests without the field: one (they share a key), ip (their address), skip (no limit), refuse
	// (401).
	Missing string `toml:"missing" default:"one" enum:"one|ip|skip|refuse"`
	// Keys with something spent at once; 11 bytes each.
	MaxKeys int `toml:"max_keys" default:"100000" min:"1" max:"100000000"`
	// true: no two keys share a state, not one in a million; 32 bytes each.
	Exact bool `toml:"exact" default:"false"`
	// Bits of an address that make a key: a customer has a whole network.
	IPv6Prefix int `toml:"ipv6_prefix" default:"64" min:"1" max:"128"`
	// Bits of an address that make a key.
	IPv4Prefix int            `toml:"ipv4_prefix" default:"32" min:"1" max:"32"`
	Allow      []netip.Prefix `toml:"allow"` // clients that are not limited
	Deny       []netip.Prefix `toml:"deny"`  // clients that get 403
	// A key that is refused too often is refused early for a while.
	Penalty *Penalty `toml:"penalty"`

	Table *config.Table `toml:"-"`

	// ip, route, host, method, path, global, header:NAME, cookie:NAME, query:NAME, or a list of them.
	parts []part `reads:"key" unset:"ip" type:"string or list of strings"`
	// Keys that are not limited; for a key of several parts lists, in which "*" is anything.
	exempt      []exemption `reads:"exempt" unset:"[]" type:"list of strings or lists"`
	counted     *statuses   // of Count; nil: all
	period      quota.Period
	zone        *time.Location
	allow, deny *ip.Set // nil: none
}

// second is how many events of r come in a second, at least 1.
func second(r config.Rate) int64 {
	return max(int64(float64(r.Count)*float64(time.Second)/float64(r.Per)), 1)
}

func readConfig(t *config.Table) *Config {
	c := &Config{}
	t.Decode(c)
	c.readKey(t)
	c.readExempt(t)
	c.check(t)
	if c.Burst == 0 && c.Rate.Count > 0 {
		c.Burst = second(c.Rate)
	}
	if most := c.most(); c.Algorithm != "concurrency" && most > 0 && c.Cost > most {
		t.Errorf("cost", "no request would ever pass: it costs %d, and a key has %d at most, %s", c.Cost, most,
			c.mostOf())
	}
	if c.Answer != nil {
		c.Answer.compile()
	}
	if c.FleetLease == 0 {
		c.FleetLease = max(c.most()/4, 1)
	}
	if c.CostHeader != "" {
		c.CostHeader = header.Canonical(c.CostHeader)
	}
	if len(c.Allow) > 0 {
		c.allow = ip.NewSet(c.Allow)
	}
	if len(c.Deny) > 0 {
		c.deny = ip.NewSet(c.Deny)
	}
	return c
}

// most is how many events of a key may come at once.
func (c *Config) most() int64 {
	switch c.Algorithm {
	case "sliding_window":
		return c.Rate.Count
	case "quota":
		return c.Quota
	}
	return c.Burst
}

// mostOf describes what most is.
func (c *Config) mostOf() string {
	switch {
	case c.Algorithm == "sliding_window":
		return "the rate"
	case c.Algorithm == "quota":
		return "the quota"
	case c.Table.Has("burst"):
		return "the burst"
	}
	return "the burst, which is what the rate has in a second where it is not given"
}

// tellTimeout bounds a batch sent to the server: it has many keys, and no request waits for it.
func (c *Config) tellTimeout() time.Duration { return 5 * c.FleetTimeout }

// check records combinations that mean nothing.
func (c *Config) check(t *config.Table) {
	concurrent, quotas := c.Algorithm == "concurrency", c.Algorithm == "quota"
	switch {
	case concurrent && !t.Has("max_in_flight"):
		t.Missing("max_in_flight", "the algorithm concurrency needs max_in_flight, such as 20")
	case quotas && !t.Has("quota"):
		t.Missing("quota", "the algorithm quota needs a number for each period, such as quota = 100000")
	case !concurrent && !quotas && !t.Has("rate"):
		t.Missing("rate", "a limit needs a rate, such as rate = \"100/s\"")
	}
	for key, wrong := range map[string]bool{
		"rate": concurrent || quotas, "max_in_flight": !concurrent, "burst": c.Algorithm != "gcra",
		"cost": concurrent, "cost_header": concurrent, "penalty": concurrent, "count": concurrent,
		"quota": !quotas, "period": !quotas, "zone": !quotas, "file": !quotas,
	} {
		if wrong && t.Has(key) {
			t.Errorf(key, "means nothing to the algorithm %q", c.Algorithm)
		}
	}
	c.checkValues(t)
	c.checkScope(t)
	c.checkQuota(t)
}

// checkValues checks the keys whose values may be wrong under any algorithm.
func (c *Config) checkValues(t *config.Table) {
	if c.Algorithm == "sliding_window" && c.Rate.Count > bucket.MostWindow {
		t.Errorf("rate", "a sliding window counts at most %d; gcra has no such bound", int64(bucket.MostWindow))
	}
	if c.CostHeader != "" && !header.IsToken(c.CostHeader) {
		t.Errorf("cost_header", "%q is not the name of a header field", c.CostHeader)
	}
	if c.Burst == 0 && t.Has("burst") {
		t.Errorf("burst", "a burst of 0 would let nobody pass: 1 lets no two requests pass at once; without "+
			"the key it is what the rate has in a second")
	}
	named := func(p part) bool { return p.kind >= byHeader }
	if t.Has("missing") && len(c.parts) > 0 && !slices.ContainsFunc(c.parts, named) {
		t.Errorf("missing", "means nothing to a key that every request has; it is for header:, cookie: and query:")
	}
	if c.Count != "" {
		var err error
		if c.counted, err = parseStatuses(c.Count); err != nil {
			t.Errorf("count", "%s", err)
		}
	}
}

// checkScope checks the keys for limits that gateways share.
func (c *Config) checkScope(t *config.Table) {
	fleet := c.Scope == "fleet"
	if fleet && c.Algorithm == "concurrency" {
		t.Errorf("scope", "requests under way are counted on one node: a gateway that dies "+
			"could not give them back")
	}
	for key, wrong := range map[string]bool{
		"fleet": !fleet, "on_failure": !fleet, "fleet_timeout": !fleet,
		"fleet_lease": !fleet || c.Fleet != "fast",
	} {
		switch {
		case !wrong || !t.Has(key):
		case !fleet:
			t.Errorf(key, "means nothing without scope = \"fleet\"")
		default:
			t.Errorf(key, "means nothing to fleet = %q", c.Fleet)
		}
	}
}

// checkQuota looks at the calendar and the file of a quota.
func (c *Config) checkQuota(t *config.Table) {
	if c.Algorithm != "quota" {
		return
	}
	switch {
	case c.Scope == "fleet" && c.File != "":
		t.Errorf("file", "a quota of the fleet is kept by the server of [redis]")
	case c.Scope == "node" && c.File == "":
		t.Missing("file", "a quota of one node needs a file to survive restarts, such as "+
			"\"/var/lib/penstock/plan.quota\"; or set scope = \"fleet\"")
	case c.File != "" && !filepath.IsAbs(c.File):
		t.Errorf("file", "must be an absolute path, is %q", c.File)
	}
	var err error
	if c.period, err = quota.ParsePeriod(c.Period); err != nil {
		t.Errorf("period", "%s", err)
	}
	if c.zone, err = time.LoadLocation(c.Zone); err != nil {
		t.Errorf("zone", "no time zone is called %q here: want a name such as \"Europe/Paris\", or \"UTC\"", c.Zone)
	}
}

// readKey reads `key`: a name or a list of names.
func (c *Config) readKey(t *config.Table) {
	v, ok := t.Value("key")
	if !ok {
		c.parts = []part{{kind: byIP}}
		return
	}
	names := []config.Value{v}
	if list := v.List(); list != nil {
		if names = list; len(list) == 0 {
			v.Errorf("an empty list names nothing; \"global\" is the key that all requests share")
		}
	}
	for _, n := range names {
		text, ok := n.String()
		if !ok {
			n.Errorf("must be a string such as \"ip\" or a list of them")
			continue
		}
		p, ok := parsePart(text)
		if !ok {
			n.Errorf("must be ip, route, host, method, path, global, header:NAME, cookie:NAME or query:NAME, "+
				"is %q", text)
			continue
		}
		c.parts = append(c.parts, p)
	}
}

func parsePart(text string) (part, bool) {
	kind, name, named := strings.Cut(text, ":")
	for k, n := range partNames {
		if n != kind {
			continue
		}
		p := part{kind: partKind(k)}
		if takesName := p.kind >= byHeader; takesName != named || named && name == "" {
			return part{}, false
		}
		if (p.kind == byHeader || p.kind == byCookie) && !header.IsToken(name) {
			return part{}, false
		}
		if p.kind == byHeader {
			name = header.Canonical(name)
		}
		p.name = []byte(name)
		if p.kind >= byHeader {
			p.fault = newKeyless(&p)
		}
		return p, true
	}
	return part{}, false
}
