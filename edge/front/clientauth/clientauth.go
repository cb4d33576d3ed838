// Package clientauth asks the clients of a listener for certificates: which names it asks for, which
// authorities it trusts, and whose certificates have been revoked.
package clientauth

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/penstock-edge/penstock/edge/config"
	"github.com/penstock-edge/penstock/edge/lib/descriptors"
	"github.com/penstock-edge/penstock/edge/lib/filewatch"
	"github.com/penstock-edge/penstock/edge/lib/smallfile"
	"github.com/penstock-edge/penstock/edge/route"
)

// keys are those of a [[listener]].
type keys struct {
	ClientAuth section `toml:"client_auth" unset:"none"` // clients show a certificate
}

// section is [listener.client_auth].
type section struct {
	CA string `toml:"ca" unset:"required"` // authorities of the clients, in PEM
	// require: no connection without a good one; request: those who show one show a good one.
	Mode string `toml:"mode" default:"require" enum:"require|request"`
	// Revocation lists of the authorities, in PEM or DER; a client whose authority has none is refused.
	CRL string `toml:"crl" unset:"none"`
	// Names that a certificate is asked for, by SNI and Host, "*.example.com" too; []: all.
	Hosts []string `toml:"hosts"`
}

// Policy is what one listener asks of its clients. Its files may be renewed while it is in use.
type Policy struct {
	section
	hosts   route.Hosts // of all names when empty
	base    *tls.Config // of the listener, for names that no certificate is asked for
	watched *filewatch.Files
	again   bool                  // the files are to be read whether they have changed or not
	trust   atomic.Pointer[trust] // never nil
	told    *trust                // what Warnings has looked at
	over    bool                  // and has said that a list of it has ended
}

// trust is what the files hold at one time.
type trust struct {
	roots   *x509.CertPool
	revoked *revocations // nil: nothing is revoked
	left    []string     // why lists were left out
	conf    *tls.Config  // asks for a certificate
}

// New returns the policy of a listener, or nil when it asks for no certificates. Mistakes are recorded in the
// listener's table: a listener whose authorities cannot be read never opens.
func New(conf *config.Listener, base *tls.Config) *Policy {
	var k keys
	conf.Table.Decode(&k)
	t := conf.Table.Child("client_auth")
	switch {
	case t == nil:
		return nil
	case base == nil:
		conf.Table.Errorf("client_auth", "this listener speaks plain HTTP: only TLS asks for certificates")
		return nil
	case k.ClientAuth.CA == "":
		t.Missing("ca", `ca = "/etc/penstock/tls/clients.pem" names the authorities of the clients`)
		return nil
	case k.ClientAuth.CRL == "" && t.Has("crl"): // a variable that is empty must not switch revocation off
		t.Errorf("crl", "must name a file, or not be there")
		return nil
	}
	p := &Policy{section: k.ClientAuth, base: base}
	var message string
	if p.hosts, message = route.ParseHosts(p.Hosts); message != "" {
		t.Errorf("hosts", "%s", message)
	}
	p.watched = filewatch.New(p.files()...)
	now, key, err := p.read()
	if err == nil && len(now.left) > 0 {
		key, err = "crl", fmt.Errorf("%q: %s", p.CRL, now.left[0])
	}
	if err != nil {
		t.Errorf(key, "%s", err)
		return nil
	}
	if ended := now.ended(); ended != "" {
		t.Warnf("crl", "%s", ended)
	}
	p.trust.Store(now)
	return p
}

func (p *Policy) files() []string {
	if p.CRL == "" {
		return []string{p.CA}
	}
	return []string{p.CA, p.CRL}
}

// read reads the files; the error is that of the file named by key.
func (p *Policy) read() (now *trust, key string, err error) {
	text, err := smallfile.Read(p.CA, smallfile.MostPEM)
	if err != nil {
		return nil, "ca", fmt.Errorf("cannot read the certificates of the authorities: %w", err)
	}
	now = &trust{}
	if now.roots, err = config.Authorities(p.CA, text); err != nil {
		return nil, "ca", err
	}
	if p.CRL != "" {
		if now.revoked, now.left, err = readRevocations(p.CRL, text); err != nil {
			return nil, "crl", err
		}
	}
	now.conf = p.base.Clone()
	now.conf.ClientCAs = now.roots              // the client is told
	now.conf.ClientAuth = tls.RequestClientCert // and judged here, as it is when the files have changed
	now.conf.VerifyConnection = func(s tls.ConnectionState) error { return now.judge(p, s.PeerCertificates) }
	return now, "", nil
}

// ended returns that a list has ended; "": none has.
func (t *trust) ended() string {
	if r := t.revoked; r == nil || r.until.IsZero() || time.Now().Before(r.until) {
		return ""
	}
	return fmt.Sprintf("a list ended on %s: until it is renewed, clients of its authority are refused",
		t.revoked.until.UTC().Format(time.DateOnly))
}

// Warnings returns what is to be said, once, of the files that are in use: lists that were left out, and that
// one has ended. It is for the goroutine that calls Renew.
func (p *Policy) Warnings() (all []string) {
	now := p.trust.Load()
	if now != p.told {
		all, p.told, p.over = append(all, now.left...), now, false
	}
	if ended := now.ended(); ended != "" && !p.over {
		all, p.over = append(all, ended), true
	}
	return all
}

// Renew reads the files again when one has changed, and reports whether other content is in use from now on.
// On an error what was read before stays, and the same files are not read again. A list that no authority of
// ca has signed is left out: an authority that is taken out of ca is trusted no longer, whether its list is
// still there or not. One goroutine at a time may call it.
func (p *Policy) Renew() (changed bool, err error) {
	if !p.watched.Changed() && !p.again {
		return false, nil
	}
	now, _, err := p.read()
	if p.again = descriptors.Short(err); p.again {
		return false, nil // that is no fault of the files
	}
	if err != nil {
		return false, err
	}
	p.trust.Store(now)
	return true, nil
}

// TLS returns the configuration of the listener: the base, which asks for a certificate where the name does.
func (p *Policy) TLS() *tls.Config {
	c := p.base.Clone()
	c.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if p.covers(route.NormalHost(nil, []byte(hello.ServerName))) {
			return p.trust.Load().conf, nil
		}
		return nil, nil //nolint:nilnil // crypto/tls takes the listener's own
	}
	return c
}

// covers reports whether a certificate is asked for where the request, or the hello, is for host, in its
// normal form.
func (p *Policy) covers(host []byte) bool { return len(p.hosts) == 0 || p.hosts.Has(host) }

// Asks returns how certificates are asked for: require or request; "" for nil.
func (p *Policy) Asks() string {
	if p == nil {
		return ""
	}
	return p.Mode
}

// Client is what is known of a connection's client. The zero value is one that was not asked: over plain
// HTTP, or by a listener that did not.
type Client struct {
	name  []byte // of the hello, in its normal form
	asked bool
	chain []*x509.Certificate // as it was shown; nil: none
	trust *trust              // that the chain was found good by
}

// Greeted returns the client of a connection whose handshake is over, under p and the trust of now or of
// shortly before.
func (p *Policy) Greeted(s *tls.ConnectionState) *Client {
	c := &Client{name: route.NormalHost(nil, []byte(s.ServerName)), chain: s.PeerCertificates}
	c.asked = p.covers(c.name)
	return c
}

// Allows reports whether a request for host, in its normal form, may come from c: its name asks for what the
// hello's did, and what the client has shown is still good. Files, or a whole policy, may have changed since
// the handshake. c may be nil, for one that was not asked. One goroutine at a time may call it for a
// connection.
func (p *Policy) Allows(c *Client, host []byte) bool {
	covered := p.covers(host)
	if c == nil {
		return !covered
	}
	if p.covers(c.name) != covered {
		return false
	}
	return !covered || c.asked && p.good(c)
}

// good reports whether what the client has shown is enough.
func (p *Policy) good(c *Client) bool {
	now := p.trust.Load()
	if c.trust != now && now.judge(p, c.chain) != nil {
		return false
	}
	c.trust = now
	return true
}

// ErrRefused is returned, wrapped, where a client has shown no certificate or one that is not good.
var ErrRefused = errors.New("client certificate refused")

// judge returns an error unless what a client has shown is enough for p.
func (t *trust) judge(p *Policy, chain []*x509.Certificate) error {
	switch {
	case len(chain) > 0:
		return t.verify(chain)
	case p.Mode == "request":
		return nil
	}
	return fmt.Errorf("%w: none was shown", ErrRefused)
}

// verify returns an error unless the chain, leaf first, leads to an authority and none of it is revoked.
func (t *trust) verify(chain []*x509.Certificate) error {
	o := x509.VerifyOptions{Roots: t.roots, Intermediates: x509.NewCertPool(),
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	for _, c := range chain[1:] {
		o.Intermediates.AddCert(c)
	}
	chains, err := chain[0].Verify(o)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return t.revoked.check(chains)
}
