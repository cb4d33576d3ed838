package config

import (
	"net/netip"
	"time"
)

// Config is a file with its core sections decoded. All others, and the keys that features add to listeners
// and routes, are decoded by their owners from the tables; File.Finish then says whether the file is good.
type Config struct {
	File      *File // never nil
	Server    Server
	Admin     Admin
	Log       Log
	Listeners []Listener // in the order of the file
	Routes    []Route    // in the order of the file
}

// Server is [server].
type Server struct {
	// DrainDelay is how long listeners go on accepting after the process was told to end, while /readyz
	// says 503.
	DrainDelay time.Duration `toml:"drain_delay" default:"0s" max:"1h"`
	// How long requests may go on after the process was told to end.
	DrainTimeout time.Duration `toml:"drain_timeout" default:"30s" max:"24h"`
	// Whose X-Forwarded-* fields and PROXY header are believed.
	TrustedProxies []netip.Prefix `toml:"trusted_proxies"`
	// ReadyAfter is how long the process waits at most, from its start, for what it should have before it is
	// ready.
	ReadyAfter time.Duration `toml:"ready_after" default:"10s" max:"1h"`
	// MergeSlashes makes each run of slashes in the path of a request one.
	MergeSlashes bool `toml:"merge_slashes" default:"false"`
	// StateDir is where the last good targets and the like are kept over restarts; "": nowhere.
	StateDir string `toml:"state_dir"`

	Table *Table `toml:"-"` // for the owners of further keys; never nil
}

// Admin is [admin].
type Admin struct {
	Address string `toml:"address" default:"127.0.0.1:9901"` // host:port, :port or unix:/path

	Table *Table `toml:"-"` // never nil
}

// Log is [log]. The table [log.access] is decoded by the access log.
type Log struct {
	Level string `toml:"level" default:"info" enum:"debug|info|warn|error"`

	Table *Table `toml:"-"` // never nil
}

// Certificate is a [[listener.certificate]]: a pair of PEM files. Whether they load is for the listener to
// find out, and to report with Table.Errorf.
type Certificate struct {
	Cert string `toml:"cert" required:"true"` // path of the chain, leaf first
	Key  string `toml:"key" required:"true"`  // path of the private key

	Table *Table `toml:"-"`
}

// Listener is a [[listener]].
type Listener struct {
	Name          string `toml:"name"`                    // its address when the file gives none
	Address       string `toml:"address" required:"true"` // host:port, :port or unix:/path
	ReusePort     bool   `toml:"reuse_port"`              // SO_REUSEPORT
	ProxyProtocol bool   `toml:"proxy_protocol"`          // expect a PROXY header from trusted proxies

	HeaderTimeout time.Duration `toml:"header_timeout" default:"10s" min:"10ms" max:"1h"` // for a whole head
	IdleTimeout   time.Duration `toml:"idle_timeout" default:"75s" min:"10ms" max:"24h"`  // between requests

	// Below these rates, averaged after a grace, a connection is cut; 0: never.
	MinReceiveRate ByteRate `toml:"min_receive_rate" default:"240B/s"`
	MinSendRate    ByteRate `toml:"min_send_rate" default:"240B/s"`

	// UnderscoreFields is what becomes of fields with "_" in their names, which targets may take for "-".
	UnderscoreFields string `toml:"underscore_fields" default:"drop" enum:"drop|pass|refuse"`

	MaxHeaderBytes      Size `toml:"max_header_bytes" default:"16KiB" min:"1KiB" max:"1MiB"`
	MaxBodyBytes        Size `toml:"max_body_bytes" default:"64MiB"` // a route may lower or raise it
	MaxConnections      int  `toml:"max_connections" default:"100000" min:"1" max:"10000000"`
	MaxConnectionsPerIP int  `toml:"max_connections_per_ip" default:"0" min:"0" max:"10000000"` // 0: no cap
	// MaxConnectionRatePerIP bounds how often an address that is not trusted may connect; none: no bound.
	MaxConnectionRatePerIP Rate `toml:"max_connection_rate_per_ip"`

	Certificates  []Certificate `toml:"certificate"` // none: plain HTTP; several: picked by SNI
	TLSMinVersion string        `toml:"tls_min_version" default:"1.2" enum:"1.2|1.3"`

	Table *Table `toml:"-"`
}

// Route is a [[route]]. What it does with a request, be it a pool, a redirect or an answer, is among the keys
// of features and decoded by them from Table.
type Route struct {
	Name    string   `toml:"name"`    // route-N, the Nth in the file, when the file gives none
	Hosts   []string `toml:"hosts"`   // with a port or without; none: any host
	Methods []string `toml:"methods"` // none: any method
	// Listeners and Schemes are how requests come in; none: any way.
	Listeners []string          `toml:"listeners"`
	Schemes   []string          `toml:"schemes" enum:"http|https"`
	Path      string            `toml:"path"` // a pattern; exactly one of Path and Prefix is set
	Prefix    string            `toml:"prefix"`
	Headers   map[string]string `toml:"headers"` // by the name as written; all must match
	Query     map[string]string `toml:"query"`   // all must match
	Priority  int               `toml:"priority"`
	Pool      string            `toml:"pool"`                           // "": another feature answers
	Timeout   time.Duration     `toml:"timeout" default:"0s" max:"24h"` // retries included; 0: none

	Table *Table `toml:"-"`
}
