// Package clienttls is the sub-table of sections that connect to other servers over TLS.
package clienttls

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"net"
	"sync/atomic"

	"github.com/penstock-edge/penstock/edge/config"
	"github.com/penstock-edge/penstock/edge/lib/filewatch"
	"github.com/penstock-edge/penstock/edge/lib/smallfile"
)

// Settings is a sub-table with the settings for connecting to another server over TLS.
type Settings struct {
	Enabled bool `toml:"enabled" default:"false"` // TLS instead of plain text
	// Verified, and sent as SNI; to targets also as Host.
	ServerName string `toml:"server_name" unset:"the host of the address"`
	CA         string `toml:"ca" unset:"the system's"`                  // authorities in PEM
	Cert       string `toml:"cert" unset:"none"`                        // shown to the other side, with key
	Key        string `toml:"key" unset:"none"`                         // of cert
	MinVersion string `toml:"min_version" default:"1.2" enum:"1.2|1.3"` // or 1.3
	// true: any certificate will do.
	InsecureSkipVerify bool `toml:"insecure_skip_verify" default:"false"`

	protocols []string
	files     *filewatch.Files
	current   atomic.Pointer[contents] // nil before Load
}

// contents is what the files of the settings hold at one time.
type contents struct {
	conf *tls.Config
	sum  [sha256.Size]byte // of the files
}

// Load reads the files that the sub-table names; sub is where mistakes are recorded. It does nothing when TLS
// is not enabled.
func (s *Settings) Load(sub *config.Table, protocols ...string) {
	if !s.Enabled {
		return
	}
	if (s.Cert == "") != (s.Key == "") {
		sub.Errorf("cert", "cert and key go together")
		return
	}
	s.protocols = protocols
	s.files = filewatch.New(s.names()...)
	now, key, err := s.read()
	if err != nil {
		sub.Errorf(key, "%s", err)
		return
	}
	s.current.Store(now)
}

// names returns the files, in an order that does not change.
func (s *Settings) names() (names []string) {
	for _, name := range []string{s.CA, s.Cert, s.Key} {
		if name != "" {
			names = append(names, name)
		}
	}
	return names
}

// read takes in all files, or none: the error is that of the file named by key.
func (s *Settings) read() (now *contents, key string, err error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: s.protocols,
		InsecureSkipVerify: s.InsecureSkipVerify, ClientSessionCache: tls.NewLRUClientSessionCache(0)}
	if s.MinVersion == "1.3" {
		c.MinVersion = tls.VersionTLS13
	}
	var all []byte
	if s.CA != "" {
		text, err := smallfile.Read(s.CA, smallfile.MostPEM)
		if err != nil {
			return nil, "ca", fmt.Errorf("cannot read the certificates of the authorities: %w", err)
		}
		if c.RootCAs, err = config.Authorities(s.CA, text); err != nil {
			return nil, "ca", err
		}
		all = append(all, text...)
	}
	if s.Cert != "" {
		pair, text, err := config.ReadPair(s.Cert, s.Key)
		if err != nil {
			return nil, "cert", fmt.Errorf("cannot load certificate %q with key %q: %w", s.Cert, s.Key, err)
		}
		c.Certificates = []tls.Certificate{pair}
		all = append(append(all, 0), text...)
	}
	return &contents{c, sha256.Sum256(all)}, "", nil
}

// Renew reads the files again when one of them has changed; it reports whether other content is in use from
// now on. On an error what was read before stays, and the same files are not read again. One goroutine at a
// time may call it.
func (s *Settings) Renew() (changed bool, err error) {
	before := s.current.Load()
	if before == nil || !s.files.Changed() {
		return false, nil
	}
	now, _, err := s.read()
	if err != nil || now.sum == before.sum {
		return false, err
	}
	s.current.Store(now)
	return true, nil
}

// Renewable reports whether there are files that may change.
func (s *Settings) Renewable() bool { return s.Enabled && len(s.names()) > 0 }

// Sum is a checksum over the contents of the files in use; the zero value: TLS is not enabled.
func (s *Settings) Sum() [sha256.Size]byte {
	if now := s.current.Load(); now != nil {
		return now.sum
	}
	return [sha256.Size]byte{}
}

// For returns the configuration for one server, whose name is that of its address where none is set, as the
// files are now. It must be enabled and loaded without a mistake.
func (s *Settings) For(address string) *tls.Config {
	c := s.current.Load().conf.Clone()
	c.ServerName = s.ServerName
	if c.ServerName == "" {
		c.ServerName, _, _ = net.SplitHostPort(address) // checked at load; a unix socket has no host
	}
	return c
}

// Identity differs for different settings; files count by name.
func (s *Settings) Identity() string {
	if !s.Enabled {
		return "plain"
	}
	return fmt.Sprintf("%q %q %v %q", s.ServerName, s.MinVersion, s.InsecureSkipVerify,
		[]string{s.CA, s.Cert, s.Key})
}

// Fingerprint differs for different settings; files count by content.
func (s *Settings) Fingerprint() string {
	if !s.Enabled {
		return "plain"
	}
	h := sha256.New()
	fmt.Fprintf(h, "%q %q %v", s.ServerName, s.MinVersion, s.InsecureSkipVerify)
	for _, f := range []string{s.CA, s.Cert, s.Key} {
		b, _ := smallfile.Read(f, smallfile.MostPEM) // a missing file has been reported by Load
		fmt.Fprintf(h, " %x", sha256.Sum256(b))
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}
