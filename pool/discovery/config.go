package discovery

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/penstock-edge/penstock/edge/config"
)

// Config is `discover` of a [pool.NAME]. Exactly one of DNS, File, Consul, Kubernetes and Etcd is given.
type Config struct {
	DNS string `toml:"dns"` // srv:NAME, a:NAME:PORT or aaaa:NAME:PORT
	// DNS servers, IP or IP:port.
	Servers []string `toml:"servers" unset:"those of /etc/resolv.conf"`
	// An answer of DNS is held at least so long.
	MinTTL time.Duration `toml:"min_ttl" default:"5s" min:"100ms" max:"24h"`
	// An answer of DNS is held at most so long.
	MaxTTL time.Duration `toml:"max_ttl" default:"5m" min:"100ms" max:"24h"`

	// Absolute path of a file with targets = [...]; watched.
	File string `toml:"file"`

	Consul     *Consul     `toml:"consul"`     // a service of Consul
	Kubernetes *Kubernetes `toml:"kubernetes"` // a service of Kubernetes
	Etcd       *Etcd       `toml:"etcd"`       // keys of etcd
}

// Consul is the key consul of discover.
type Consul struct {
	Address    string        `toml:"address" default:"127.0.0.1:8500"` // of an agent
	Service    string        `toml:"service" required:"true"`          // name of the service
	Datacenter string        `toml:"datacenter" unset:"the agent's"`   // of the service
	Tag        string        `toml:"tag" unset:"any"`                  // that instances must have
	Token      config.Secret `toml:"token" unset:"none"`               // ACL token
	// false: those with failing checks too.
	PassingOnly bool   `toml:"passing_only" default:"true"`
	Near        string `toml:"near"` // a node, or _agent: the nearest come first
	// How long the agent may hold an answer back.
	Wait   time.Duration `toml:"wait" default:"5m" min:"1s" max:"10m"`
	Scheme string        `toml:"scheme" default:"http" enum:"http|https"` // or https
	CA     string        `toml:"ca" unset:"the system's"`                 // authorities in PEM
}

// Kubernetes is the key kubernetes of discover.
type Kubernetes struct {
	Namespace string `toml:"namespace" default:"default"` // of the service
	Service   string `toml:"service" required:"true"`     // name of the service
	Port      string `toml:"port" unset:"the only one"`   // name or number of a port of the pods
	// URL of the API server.
	API string `toml:"api" unset:"that of the cluster around the process"`
	// Read anew for each request.
	TokenFile string `toml:"token_file" default:"/var/run/secrets/kubernetes.io/serviceaccount/token"`
	// Authorities in PEM.
	CAFile string `toml:"ca_file" default:"/var/run/secrets/kubernetes.io/serviceaccount/ca.crt"`
	Zone   string `toml:"zone"` // of endpoints that have none
}

// Etcd is the key etcd of discover.
type Etcd struct {
	Endpoints []string      `toml:"endpoints" default:"http://127.0.0.1:2379"` // URLs
	Prefix    string        `toml:"prefix" required:"true"`                    // of the keys, one a target
	Username  string        `toml:"username" unset:"none"`                     // of an etcd user, with password
	Password  config.Secret `toml:"password" unset:"none"`                     // of the etcd user
	CA        string        `toml:"ca" unset:"the system's"`                   // authorities in PEM
	Cert      string        `toml:"cert" unset:"none"`                         // shown to the servers, with key
	Key       string        `toml:"key" unset:"none"`                          // of cert
}

// Source returns the source that c, decoded from t, asks for. Mistakes are recorded on t; it is nil then.
func (c *Config) Source(t *config.Table) Source {
	if !c.isOne(t) {
		return nil
	}
	switch {
	case c.Consul != nil:
		return c.Consul.source(t.Child("consul"))
	case c.Kubernetes != nil:
		return c.Kubernetes.source(t.Child("kubernetes"))
	case c.Etcd != nil:
		return c.Etcd.source(t.Child("etcd"))
	case t.Has("file"):
		return c.fileSource(t)
	}
	return c.dnsSource(t)
}

// isOne reports what is not exactly one kind, and keys of DNS beside another kind.
func (c *Config) isOne(t *config.Table) bool {
	var kinds []string
	for _, kind := range []string{"dns", "file", "consul", "kubernetes", "etcd"} {
		if t.Has(kind) {
			kinds = append(kinds, kind)
		}
	}
	switch len(kinds) {
	case 0:
		t.Errorf("", "names no source: one of dns, file, consul, kubernetes and etcd is needed")
		return false
	case 1:
	default:
		t.Errorf(kinds[1], "a pool is discovered in one place: there is %s already", kinds[0])
		return false
	}
	good := true
	for _, key := range []string{"servers", "min_ttl", "max_ttl"} {
		if kinds[0] != "dns" && t.Has(key) {
			t.Errorf(key, "goes with dns, not with %s", kinds[0])
			good = false
		}
	}
	// A value of a wrong type is reported by Decode already.
	return good && (kinds[0] == "dns" || kinds[0] == "file" || t.Child(kinds[0]) != nil)
}

const dnsForms = `must be "srv:NAME", "a:NAME:PORT" or "aaaa:NAME:PORT", is %s`

func (c *Config) dnsSource(t *config.Table) Source {
	s := &dnsSource{form: c.DNS, minTTL: c.MinTTL, maxTTL: c.MaxTTL, resolvConf: resolvConf}
	kind, name, _ := strings.Cut(c.DNS, ":")
	switch kind {
	case "srv":
		s.srv, s.types = true, bothTypes
	case "a":
		s.types = bothTypes
	case "aaaa":
		s.types = bothTypes[1:]
	default:
		t.Errorf("dns", dnsForms, quote(c.DNS))
		return nil
	}
	if !s.srv {
		host, digits, err := net.SplitHostPort(name)
		port, err2 := strconv.ParseUint(digits, 10, 16)
		if err != nil || err2 != nil || port == 0 {
			t.Errorf("dns", dnsForms, quote(c.DNS))
			return nil
		}
		name, s.port = host, uint16(port)
	}
	s.name = strings.ToLower(name)
	if !config.IsHostName(strings.TrimSuffix(s.name, ".")) {
		t.Errorf("dns", "%s is no name that DNS could know", quote(name))
		return nil
	}
	if c.MinTTL > c.MaxTTL {
		t.Errorf("min_ttl", "must not be above max_ttl, which is %s", c.MaxTTL)
		return nil
	}
	return c.withServers(t, s)
}

func (c *Config) withServers(t *config.Table, s *dnsSource) Source {
	for _, server := range c.Servers {
		address, ok := serverAddress(server)
		if !ok {
			t.Mistake("servers", server, "", "must be IP or IP:port, is "+quote(server))
			return nil
		}
		s.servers = append(s.servers, address)
	}
	return s
}

// serverAddress returns IP:port of a name server given as IP or IP:port.
func serverAddress(s string) (string, bool) {
	if ip, err := netip.ParseAddr(s); err == nil {
		return netip.AddrPortFrom(ip, 53).String(), true
	}
	ap, err := netip.ParseAddrPort(s)
	return s, err == nil && ap.Port() != 0
}

func (c *Config) fileSource(t *config.Table) Source {
	if !filepath.IsAbs(c.File) {
		t.Errorf("file", "must be a path that begins with /, is %s", quote(c.File))
		return nil
	}
	return &fileSource{path: filepath.Clean(c.File)}
}

func (c *Consul) source(t *config.Table) Source {
	if _, err := cleanAddress(c.Address); err != nil {
		t.Errorf("address", "%s", err)
		return nil
	}
	if c.Scheme == "http" && c.CA != "" {
		t.Errorf("ca", `goes with scheme = "https"`)
		return nil
	}
	if c.Service == "" || !(tlsFiles{ca: c.CA}).check(t) {
		return nil
	}
	return &consulSource{Consul: *c, base: c.Scheme + "://" + c.Address}
}

func (c *Kubernetes) source(t *config.Table) Source {
	for _, part := range []struct{ key, value string }{{"namespace", c.Namespace}, {"service", c.Service}} {
		if !config.IsHostName("a" + part.value) { // a label may be all digits
			t.Errorf(part.key, "is no name of Kubernetes: %s", quote(part.value))
			return nil
		}
	}
	if n, err := strconv.Atoi(c.Port); err == nil && (n < 1 || n > 65535) {
		t.Errorf("port", "must be a name or a number from 1 to 65535")
		return nil
	}
	if !isZone(c.Zone) {
		t.Errorf("zone", "must be letters, digits and signs of ASCII without a space")
		return nil
	}
	base := c.API
	if base == "" {
		host, port := os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT")
		if host == "" || port == "" {
			t.Errorf("api", "is needed outside a cluster: KUBERNETES_SERVICE_HOST and _PORT are not set")
			return nil
		}
		base = "https://" + net.JoinHostPort(host, port)
	}
	base, err := baseURL(base)
	if err != nil {
		t.Errorf("api", "%s", err)
		return nil
	}
	return &kubeSource{Kubernetes: *c, base: base}
}

func (c *Etcd) source(t *config.Table) Source {
	s := &etcdSource{Etcd: *c}
	s.Endpoints = slices.Clone(c.Endpoints)
	if len(s.Endpoints) == 0 {
		t.Errorf("endpoints", "there must be one at least")
		return nil
	}
	secure := false
	for i, endpoint := range s.Endpoints {
		base, err := baseURL(endpoint)
		if err != nil {
			t.Errorf("endpoints", "%s", err)
			return nil
		}
		s.Endpoints[i] = base
		secure = secure || strings.HasPrefix(base, "https:")
	}
	files := tlsFiles{c.CA, c.Cert, c.Key}
	if !secure && files != (tlsFiles{}) {
		t.Errorf("", "ca, cert and key go with an https endpoint")
		return nil
	}
	if (c.Username == "") != (c.Password == config.Secret{}) {
		t.Errorf("username", "username and password go together")
		return nil
	}
	if c.Prefix == "" || !files.check(t) {
		return nil
	}
	return s
}

// baseURL returns a URL of scheme and authority alone. What is in front of an @ may be a password: such a URL
// is not shown.
func baseURL(s string) (string, error) {
	u, err := url.Parse(s)
	if err != nil || u.User != nil || strings.Contains(s, "@") {
		return "", fmt.Errorf("must be a URL such as https://host:port, without a user")
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || strings.Trim(u.Path, "/") != "" ||
		u.RawQuery != "" || u.Fragment != "" {
		return "", fmt.Errorf("must be a URL such as https://host:port, is %s", quote(s))
	}
	return u.Scheme + "://" + u.Host, nil
}
