// Package fleet shares limits between gateways through Redis or Valkey: exactly, by asking before a request
// is answered, or fast, by telling afterwards. README.md describes what each promises.
package fleet

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/penstock-edge/penstock/edge/config"
	"github.com/penstock-edge/penstock/edge/config/clienttls"
)

// Config is [redis].
type Config struct {
	// host:port or unix:/path; a list for the first nodes of a cluster, or for sentinels.
	Address []string `toml:"-" reads:"address" unset:"required" type:"string or list of strings"`
	// true: address names nodes of a cluster.
	Cluster  bool          `toml:"cluster" default:"false"`
	Username string        `toml:"username"` // of an ACL user; without it the default one
	Password config.Secret `toml:"password"` // "file:/path" for the content of a file
	// Number of the database; a cluster has 0 alone.
	Database int `toml:"database" default:"0" min:"0" max:"1000000"`
	// Of all keys, so that several fleets may share a server.
	Prefix string `toml:"prefix" default:"penstock:"`
	// TLS handshake included.
	ConnectTimeout time.Duration `toml:"connect_timeout" default:"1s" min:"10ms" max:"1m"`
	// Address names sentinels, which are asked who the master is.
	Sentinel *Sentinel          `toml:"sentinel"`
	TLS      clienttls.Settings `toml:"tls"` // TLS to the server
}

// Sentinel is [redis.sentinel]: the servers at Address are asked who the master is.
type Sentinel struct {
	// The name by which the sentinels know the master.
	Master   string `toml:"master" required:"true"`
	Username string `toml:"username"` // for the sentinels
	// For the sentinels; "file:/path" for the content of a file.
	Password config.Secret `toml:"password"`
}

// ReadConfig reads [redis]; mistakes are recorded on t.
func ReadConfig(t *config.Table) *Config {
	c := &Config{}
	t.Decode(c)
	c.readAddress(t)
	c.TLS.Load(t.Child("tls"))
	switch {
	case c.Cluster && c.Sentinel != nil:
		t.Errorf("cluster", "a cluster has no sentinels: use one of both")
	case c.Cluster && c.Database != 0:
		t.Errorf("database", "a cluster has database 0 alone")
	case !c.Cluster && c.Sentinel == nil && len(c.Address) > 1:
		t.Errorf("address", "several addresses are those of a cluster (cluster = true) or of sentinels "+
			"([redis.sentinel])")
	}
	if strings.ContainsAny(c.Prefix, "{}") {
		t.Errorf("prefix", "braces would put all keys on one node of a cluster")
	}
	return c
}

func (c *Config) readAddress(t *config.Table) {
	v, ok := t.Value("address")
	if !ok {
		t.Missing("address", "the server's host and port, such as \"127.0.0.1:6379\"")
		return
	}
	list := []config.Value{v}
	if l := v.List(); l != nil {
		list = l
	}
	for _, v := range list {
		text, ok := v.String()
		if !ok {
			v.Errorf("must be a host and a port, such as \"127.0.0.1:6379\", or a list of them")
			continue
		}
		if err := config.CheckServer("server", text); err != nil {
			v.Errorf("%s", err)
			continue
		}
		c.Address = append(c.Address, text)
	}
}

// Fingerprint differs for different settings; secrets and files count by content.
func (c *Config) Fingerprint() string {
	h := sha256.New()
	fmt.Fprintf(h, "%q %v %q %q %d %q %s %s", c.Address, c.Cluster, c.Username, c.Password.Reveal(), c.Database,
		c.Prefix, c.ConnectTimeout, c.TLS.Fingerprint())
	if s := c.Sentinel; s != nil {
		fmt.Fprintf(h, " %q %q %q", s.Master, s.Username, s.Password.Reveal())
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}
