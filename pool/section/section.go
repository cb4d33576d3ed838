// Package section reads [pool.NAME]: what a pool is to be, checked.
package section

import (
	"slices"
	"strings"
	"time"

	"github.com/penstock-edge/penstock/edge/config"
	"github.com/penstock-edge/penstock/edge/config/clienttls"
	"github.com/penstock-edge/penstock/edge/lib/header"
	"github.com/penstock-edge/penstock/edge/lib/proxyproto"
	"github.com/penstock-edge/penstock/pool/balance"
	"github.com/penstock-edge/penstock/pool/breaker"
	"github.com/penstock-edge/penstock/pool/discovery"
	"github.com/penstock-edge/penstock/pool/health"
	"github.com/penstock-edge/penstock/pool/limit"
	"github.com/penstock-edge/penstock/pool/outlier"
	"github.com/penstock-edge/penstock/pool/transport"
)

// Config is [pool.NAME].
type Config struct {
	// least_connections, ewma, consistent_hash or random (the better of two).
	Balance string `toml:"balance" default:"round_robin"`
	// ip, path, uri, header:NAME, cookie:NAME or query:NAME, for consistent_hash.
	HashKey string `toml:"hash_key" default:"ip"`
	// A secret that keeps outsiders from aiming at one target; or "file:/path".
	HashSeed config.Secret `toml:"hash_seed" unset:"the pool's name"`

	// TLS handshake included.
	ConnectTimeout time.Duration `toml:"connect_timeout" default:"1s" min:"1ms" max:"5m"`
	// Until the head of the answer.
	ResponseTimeout time.Duration `toml:"response_timeout" default:"15s" min:"1ms" max:"24h"`
	// Then an unused connection to a target is closed.
	IdleTimeout time.Duration `toml:"idle_timeout" default:"60s" min:"10ms" max:"24h"`
	// How long a body, a stream or a tunnel may be silent.
	StreamIdleTimeout time.Duration `toml:"stream_idle_timeout" default:"5m" min:"10ms" max:"24h"`
	// Between two look-ups of a target's name.
	ResolveInterval time.Duration `toml:"resolve_interval" default:"30s" min:"100ms" max:"24h"`

	// To each target; a request that finds none free anywhere waits.
	MaxConnections int `toml:"max_connections" default:"512" min:"1" max:"65535"`
	// Requests that wait for the pool; more get 503 at once.
	MaxWaiting int `toml:"max_waiting" default:"1024" min:"0" max:"1000000"`
	// How long a request waits for whichever is free first; then 503.
	WaitTimeout time.Duration `toml:"wait_timeout" default:"1s" min:"1ms" max:"5m"`

	// v1 or v2: connections to targets begin with a PROXY header that names the client.
	ProxyProtocol string `toml:"proxy_protocol"`

	// Of an answer's head; 1KiB to 1MiB.
	MaxResponseHeaderBytes config.Size `toml:"max_response_header_bytes" default:"64KiB" min:"1KiB" max:"1MiB"`
	// Lines of an answer's head; 1 to 10000.
	MaxResponseFields int `toml:"max_response_fields" default:"128" min:"1" max:"10000"`

	// Until a target that joins or recovers has its full share; 0s: at once.
	SlowStart time.Duration `toml:"slow_start" default:"10s" max:"1h"`
	// How long a target without new clients serves those of a sticky cookie.
	DrainTimeout time.Duration `toml:"drain_timeout" default:"30s" max:"24h"`
	// With less of all targets usable, all are tried; 0: never.
	PanicPercent int `toml:"panic_percent" default:"0" min:"0" max:"100"`
	// With less of the own zone usable, others share its requests.
	ZoneMinPercent int `toml:"zone_min_percent" default:"50" min:"1" max:"100"`

	// TLS to the targets; the files are read again when they change.
	TLS clienttls.Settings `toml:"tls"`
	// Checks that the gateway makes by itself.
	Health *health.Config `toml:"health" unset:"off"`
	// Targets that live traffic shows to be worse are taken out for a while.
	Outlier *outlier.Config `toml:"outlier" unset:"off"`
	// While it is open, requests end with 503 at once, or with the fallback.
	Breaker *breaker.Config `toml:"breaker" unset:"off"`
	// Other attempts, when one has failed.
	Retry *Retry `toml:"retry" unset:"off"`
	// A second attempt at the side of a slow one; the first good answer counts.
	Hedge *Hedge `toml:"hedge" unset:"off"`
	// How many requests the pool works on at once.
	Concurrency *limit.Config `toml:"concurrency" unset:"off"`
	// Some requests end here when the targets refuse much, so that they recover.
	Admission *limit.AdmissionConfig `toml:"admission" unset:"off"`
	// Clients stay with the target that answered them first, by a signed cookie.
	Sticky *Sticky `toml:"sticky" unset:"off"`
	// Who answers while the breaker is open or no target can be asked.
	Fallback *Fallback `toml:"fallback" unset:"off"`
	// Targets that are found rather than listed; what is listed too stays beside them.
	Discover *discovery.Config `toml:"discover" unset:"off"`

	// What follows is made of the keys.

	// "host:port", "unix:/path" or a table; names are resolved again.
	Members []Target `toml:"-" reads:"targets" unset:"required, or discover" type:"list of strings and tables"`

	Refusals  health.Statuses    `toml:"-"` // of Admission; 503 without one
	Proxy     proxyproto.Version `toml:"-"`
	Own       *config.Own        `toml:"-"` // the gateway's addresses, which are no targets
	Source    discovery.Source   `toml:"-"` // nil: none
	Transport transport.Settings `toml:"-"` // what transports go by
}

// Fallback is [pool.NAME.fallback]: what answers when the breaker is open or no target can be asked.
type Fallback struct {
	Pool   string `toml:"pool"`                         // the pool that answers; instead of status
	Status int    `toml:"status" default:"0" max:"599"` // 200 to 599
	Body   string `toml:"body"`                         // of the answer
	// Of the answer.
	ContentType string            `toml:"content_type" default:"text/plain; charset=utf-8"`
	Headers     map[string]string `toml:"headers" unset:"{}"` // fields of the answer

	Table *config.Table `toml:"-"`
}

// Target is one element of `targets`, or a target that was discovered.
type Target struct {
	Address string
	Weight  int32
	Backup  bool
	Zone    string
	Drain   bool // it takes no new clients, as with weight 0
}

type targetTable struct {
	Address string `toml:"address" required:"true"` // "host:port" or "unix:/path"
	// Share of the requests; 0: as drain.
	Weight int `toml:"weight" default:"1" min:"0" max:"65535"`
	// true: only when none of the others can be asked.
	Backup   bool   `toml:"backup" default:"false"`
	Zone     string `toml:"zone"`                     // see zone of [server]
	Drain    bool   `toml:"drain" default:"false"`    // true: known and checked, no new clients
	Disabled bool   `toml:"disabled" default:"false"` // true: as if it were not listed
}

// Read reads the section t of the file. own are the addresses of the gateway; mistakes are recorded in t.
func Read(t *config.Table, own *config.Own) *Config {
	c := &Config{Own: own}
	t.Decode(c)
	if !slices.Contains(balance.Kinds(), c.Balance) {
		t.Unknown("balance", "balance", c.Balance, balance.Kinds())
	}
	if c.Proxy = proxyproto.Parse(c.ProxyProtocol); c.ProxyProtocol != "" && c.Proxy == proxyproto.None {
		t.Unknown("proxy_protocol", "version of the PROXY protocol", c.ProxyProtocol, []string{"v1", "v2"})
	}
	c.checkHashKey(t)
	c.readDiscover(t)
	c.readTargets(t)
	c.TLS.Load(t.Child("tls"), "http/1.1")
	c.checkParts(t)
	c.Settle()
	return c
}

// Settle makes Transport of the keys. Read calls it.
func (c *Config) Settle() {
	c.Transport = transport.Settings{ConnectTimeout: c.ConnectTimeout, ResponseTimeout: c.ResponseTimeout,
		StreamIdleTimeout: c.StreamIdleTimeout, MaxPlaces: c.MaxConnections,
		MaxHeadBytes: int(c.MaxResponseHeaderBytes), MaxHeadFields: c.MaxResponseFields, TLS: &c.TLS}
}

// checkParts checks what the sub-tables say together.
func (c *Config) checkParts(t *config.Table) {
	percent := DefaultBudget
	if c.Retry != nil {
		c.Retry.compile()
		percent = c.Retry.BudgetPercent
	}
	if c.Hedge != nil {
		c.Hedge.compile(percent)
	}
	if c.Health != nil {
		c.Health.Validate(t.Child("health"))
		for _, spec := range c.Members {
			if err := c.Health.CheckTarget(spec.Address); err != nil {
				t.Child("health").Errorf("port", "%s", err)
			}
		}
	}
	if c.Outlier != nil {
		c.Outlier.Validate(t.Child("outlier"))
	}
	if c.Breaker != nil {
		c.Breaker.Validate(t.Child("breaker"))
	}
	if c.Concurrency != nil {
		c.Concurrency.Validate(t.Child("concurrency"))
	}
	c.readRefusals(t)
	if c.Sticky != nil {
		c.Sticky.check()
	}
	if c.Fallback != nil {
		c.Fallback.check()
	}
}

// DefaultBudget is the budget of hedges, in percent, where there are no retries.
const DefaultBudget = 20.0

// readRefusals reads which statuses are refusals. A pool without an admission of its own has the default: a
// reload may switch one on while its requests are under way.
func (c *Config) readRefusals(t *config.Table) {
	text := "503"
	if c.Admission != nil {
		text = c.Admission.Status
	}
	var err error
	if c.Refusals, err = health.ParseStatuses(text); err != nil {
		t.Child("admission").Errorf("status", "%s", err)
	}
}

func (f *Fallback) check() {
	if (f.Pool == "") == (f.Status == 0) {
		f.Table.Errorf("", "needs a pool or a status, not both")
	}
	if f.Status != 0 && f.Status < 200 {
		f.Table.Errorf("status", "must be 200 to 599, is %d", f.Status)
	}
	if _, why := header.Given("Content-Type", f.ContentType); why != "" {
		f.Table.Errorf("content_type", "%s", why)
	}
	headers := f.Table.Child("headers")
	if headers == nil {
		return
	}
	seen := map[string]bool{}
	for _, name := range headers.Keys() { // in the order of the file
		key, why := header.Given(name, f.Headers[name])
		switch {
		case why != "":
			headers.Errorf(name, "%s", why)
		case seen[key]:
			headers.Errorf(name, "is given twice: case makes no difference in the name of a header")
		}
		seen[key] = true
	}
}

func (c *Config) readDiscover(t *config.Table) {
	if c.Discover != nil {
		c.Source = c.Discover.Source(t.Child("discover"))
	}
}

func (c *Config) checkHashKey(t *config.Table) {
	kind, name, named := strings.Cut(c.HashKey, ":")
	switch kind {
	case "ip", "path", "uri":
		if !named {
			return
		}
	case "header":
		if header.IsToken(name) {
			c.HashKey = "header:" + header.Canonical(name)
			return
		}
	case "cookie":
		if header.IsToken(name) {
			return
		}
	case "query":
		if name != "" {
			return
		}
	}
	t.Errorf("hash_key", "must be ip, path, uri, header:NAME, cookie:NAME or query:NAME, is %q", c.HashKey)
}

func (c *Config) readTargets(t *config.Table) {
	v, ok := t.Value("targets")
	if !ok && c.Discover != nil {
		return
	}
	if !ok {
		t.Missing("targets", "a pool needs at least one target, such as targets = [\"127.0.0.1:9000\"]")
		return
	}
	list := v.List()
	if text, isString := v.String(); isString {
		v.Errorf("must be a list: targets = [%q]", text)
		return
	}
	if len(list) == 0 {
		v.Errorf("a pool needs at least one target, such as targets = [\"127.0.0.1:9000\"]")
		return
	}
	seen := map[string]bool{}
	for _, e := range list {
		spec, disabled, ok := readTarget(e)
		if !ok {
			continue
		}
		if seen[spec.Address] {
			e.Errorf("target %q is in the pool already; give it a weight instead", spec.Address)
			continue
		}
		if what := c.Own.Find(spec.Address); what != "" {
			e.Errorf("%q is %s of this gateway: a gateway is no target of its own", spec.Address, what)
			continue
		}
		seen[spec.Address] = true
		if !disabled {
			c.Members = append(c.Members, spec)
		}
	}
	if len(seen) == len(list) && len(c.Members) == 0 && c.Discover == nil {
		v.Errorf("all targets are disabled, and a pool needs at least one; drain = true keeps one known without " +
			"clients")
	}
}

// readTarget reads an element of `targets`; not ok: it is wrong, and that has been recorded.
func readTarget(e config.Value) (spec Target, disabled, ok bool) {
	spec.Weight = 1
	if sub := e.Table(); sub != nil {
		var tt targetTable
		if sub.Decode(&tt); tt.Address == "" {
			return spec, false, false // recorded, as it is required
		}
		spec, disabled = Target{tt.Address, int32(tt.Weight), tt.Backup, tt.Zone, tt.Drain}, tt.Disabled
	} else if s, ok := e.String(); ok {
		spec.Address = s
	} else {
		e.Errorf("a target is \"host:port\" or { address = \"host:port\", weight = 2 }")
		return spec, false, false
	}
	if err := config.CheckServer("target", spec.Address); err != nil {
		e.Errorf("%s", err)
		return spec, false, false
	}
	return spec, disabled, true
}

// HostFor returns the Host toward a target for routes that do not keep the client's.
func (c *Config) HostFor(address string) string {
	if c.TLS.ServerName != "" {
		return c.TLS.ServerName
	}
	if strings.HasPrefix(address, "unix:") {
		return "localhost"
	}
	return address
}

// KeyOf returns what identifies a target. Connections made under other settings must not be reused: the
// settings are part of the key. What their files hold is not: transports compare it.
func (c *Config) KeyOf(address string) string {
	key := address + "/" + c.TLS.Identity()
	if c.Proxy != proxyproto.None {
		key += "/" + c.Proxy.String()
	}
	return key
}

// Changes reports whether targets may come and recover.
func (c *Config) Changes() bool { return c.Health != nil || c.Source != nil || len(c.Members) > 1 }
