package config

import (
	"net/netip"
	"time"
)

// Config is a file with its core sections decoded. All others, and the keys that features add to listeners
// and routes, are decoded by their owners from the tables; File.Finish then reports whether the file is good.
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
	// After SIGTERM /readyz says 503 and listeners accept for so long; at most 1h.
	DrainDelay time.Duration `toml:"drain_delay" default:"0s" max:"1h"`
	// How long requests may go on after SIGTERM; at most 24h.
	DrainTimeout time.Duration `toml:"drain_timeout" default:"30s" max:"24h"`
	// Networks whose X-Forwarded-*, X-Request-Id and PROXY header are believed.
	TrustedProxies []netip.Prefix `toml:"trusted_proxies"`
	// /readyz waits so long at most for the first targets of each discovery; at most 1h.
	ReadyAfter time.Duration `toml:"ready_after" default:"10s" max:"1h"`
	// true: // inside a path is /, before it is matched and forwarded.
	MergeSlashes bool `toml:"merge_slashes" default:"false"`
	// Where the targets found last are kept over restarts; "": nowhere.
	StateDir string `toml:"state_dir"`

	Table *Table `toml:"-"` // for the owners of further keys; never nil
}

// Admin is [admin].
type Admin struct {
	// host:port, ":9901" or "unix:/run/penstock/admin.sock" (mode 0660).
	Address string `toml:"address" default:"127.0.0.1:9901"`

	Table *Table `toml:"-"` // never nil
}

// Log is [log]. The table [log.access] is decoded by the access log.
type Log struct {
	// debug, info, warn or error.
	Level string `toml:"level" default:"info" enum:"debug|info|warn|error"`

	Table *Table `toml:"-"` // never nil
}

// Certificate is a [[listener.certificate]]: a pair of PEM files. Whether they load is for the listener to
// find out, and to report with Table.Errorf.
type Certificate struct {
	Cert string `toml:"cert" required:"true"` // PEM, the leaf first
	Key  string `toml:"key" required:"true"`  // PEM

	Table *Table `toml:"-"`
}

// Listener is a [[listener]].
type Listener struct {
	// In logs, metrics, and as FileDescriptorName= of a socket unit.
	Name    string `toml:"name" unset:"its address"`
	Address string `toml:"address" required:"true"` // "host:port", ":port" or "unix:/path"
	// true: SO_REUSEPORT, so that another process may listen beside this one.
	ReusePort bool `toml:"reuse_port"`
	// true: trusted_proxies begin with a PROXY header, version 1 or 2.
	ProxyProtocol bool `toml:"proxy_protocol"`

	// For a whole request head, for the PROXY header and for the TLS handshake.
	HeaderTimeout time.Duration `toml:"header_timeout" default:"10s" min:"10ms" max:"1h"`
	// Between two requests of a connection.
	IdleTimeout time.Duration `toml:"idle_timeout" default:"75s" min:"10ms" max:"24h"`

	// A client that sends its body slower, averaged after a grace, is cut; 0: never.
	MinReceiveRate ByteRate `toml:"min_receive_rate" default:"240B/s"`
	// The same for a client that takes its answer.
	MinSendRate ByteRate `toml:"min_send_rate" default:"240B/s"`

	// What becomes of fields with "_" in their names: drop, pass or refuse (400).
	UnderscoreFields string `toml:"underscore_fields" default:"drop" enum:"drop|pass|refuse"`

	// Of a request head; 1KiB to 1MiB.
	MaxHeaderBytes Size `toml:"max_header_bytes" default:"16KiB" min:"1KiB" max:"1MiB"`
	// Of a request body; a route may lower or raise it.
	MaxBodyBytes Size `toml:"max_body_bytes" default:"64MiB"`
	// At once; each needs two files, see LimitNOFILE= in the unit.
	MaxConnections int `toml:"max_connections" default:"100000" min:"1" max:"10000000"`
	// At once from one address that is not trusted; 0: no cap.
	MaxConnectionsPerIP int `toml:"max_connections_per_ip" default:"0" min:"0" max:"10000000"`
	// How often an address that is not trusted may connect.
	MaxConnectionRatePerIP Rate `toml:"max_connection_rate_per_ip" unset:"none"`

	// Without one a listener speaks plain HTTP; of several, SNI picks.
	Certificates  []Certificate `toml:"certificate"`
	TLSMinVersion string        `toml:"tls_min_version" default:"1.2" enum:"1.2|1.3"` // or 1.3

	Table *Table `toml:"-"`
}

// Route is a [[route]]. What it does with a request, be it a pool, a redirect or an answer, is among the keys
// of features and decoded by them from Table.
type Route struct {
	Name string `toml:"name" unset:"route-N, the Nth of the file"` // in logs and metrics
	// "api.example.com:8443": on this port only; []: any host.
	Hosts   []string `toml:"hosts"`
	Methods []string `toml:"methods"` // GET takes HEAD too; []: any method
	// Names of listeners that requests come in by; []: any.
	Listeners []string `toml:"listeners"`
	// The client's, as trusted_proxies say it; []: any.
	Schemes []string `toml:"schemes" enum:"http|https"`
	// A path, or a pattern: {name}, {name?}, {name:regexp}, {name:*} for the rest.
	Path string `toml:"path" unset:"this or prefix"`
	// Everything below; "/checkout" takes /checkout and /checkout/…, not /checkouts.
	Prefix string `toml:"prefix" unset:"this or path"`
	// All must match; "*": present, "!": absent, "~re": the whole value matches.
	Headers  map[string]string `toml:"headers" unset:"{}"`
	Query    map[string]string `toml:"query" unset:"{}"`  // all must match; as headers
	Priority int               `toml:"priority"`          // overrules the natural order, higher first
	Pool     string            `toml:"pool" unset:"none"` // the pool that answers
	// For the whole request, retries included; 0s: none.
	Timeout time.Duration `toml:"timeout" default:"0s" max:"24h"`

	Table *Table `toml:"-"`
}
