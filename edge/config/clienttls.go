package config

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"net"
	"os"
)

// ClientTLS is a sub-table that says how a server of somebody else is spoken to over TLS.
type ClientTLS struct {
	Enabled    bool   `toml:"enabled" default:"false"`
	ServerName string `toml:"server_name"` // default: the server's host
	CA         string `toml:"ca"`          // PEM file; default: the system's roots
	Cert       string `toml:"cert"`        // client certificate, with Key
	Key        string `toml:"key"`
	MinVersion string `toml:"min_version" default:"1.2" enum:"1.2|1.3"`
	// InsecureSkipVerify takes any certificate: only for servers that cannot be given a proper one.
	InsecureSkipVerify bool `toml:"insecure_skip_verify" default:"false"`

	base *tls.Config
}

// Load reads the files that the sub-table names; sub is where mistakes are recorded. It does nothing when TLS
// is not enabled.
func (s *ClientTLS) Load(sub *Table, protocols ...string) {
	if !s.Enabled {
		return
	}
	s.base = &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: protocols,
		InsecureSkipVerify: s.InsecureSkipVerify, ClientSessionCache: tls.NewLRUClientSessionCache(0)}
	if s.MinVersion == "1.3" {
		s.base.MinVersion = tls.VersionTLS13
	}
	if s.CA != "" {
		pem, err := os.ReadFile(s.CA)
		if err != nil {
			sub.Errorf("ca", "cannot read the certificates of the authorities: %s", err)
			return
		}
		s.base.RootCAs = x509.NewCertPool()
		if !s.base.RootCAs.AppendCertsFromPEM(pem) {
			sub.Errorf("ca", "%q holds no certificate in PEM form", s.CA)
		}
	}
	if (s.Cert == "") != (s.Key == "") {
		sub.Errorf("cert", "cert and key go together")
		return
	}
	if s.Cert != "" {
		pair, err := tls.LoadX509KeyPair(s.Cert, s.Key)
		if err != nil {
			sub.Errorf("cert", "cannot load certificate %q with key %q: %s", s.Cert, s.Key, err)
			return
		}
		s.base.Certificates = []tls.Certificate{pair}
	}
}

// For returns the configuration for one server, whose name is that of its address where none is set. It must
// be enabled and loaded without a mistake.
func (s *ClientTLS) For(address string) *tls.Config {
	c := s.base.Clone()
	c.ServerName = s.ServerName
	if c.ServerName == "" {
		c.ServerName, _, _ = net.SplitHostPort(address) // checked at load; a unix socket has no host
	}
	return c
}

// Fingerprint tells settings apart, files by content.
func (s *ClientTLS) Fingerprint() string {
	if !s.Enabled {
		return "plain"
	}
	h := sha256.New()
	fmt.Fprintf(h, "%q %q %v", s.ServerName, s.MinVersion, s.InsecureSkipVerify)
	for _, f := range []string{s.CA, s.Cert, s.Key} {
		b, _ := os.ReadFile(f) // a missing file has been reported by Load
		fmt.Fprintf(h, " %x", sha256.Sum256(b))
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}
