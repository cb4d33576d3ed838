package e2e

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Authority issues certificates for tests.
type Authority struct {
	t    testing.TB
	Cert *x509.Certificate
	key  crypto.Signer
	Pool *x509.CertPool // trusts this authority alone
	File string         // its certificate as PEM
}

// NewAuthority returns an authority with a new key.
func NewAuthority(t testing.TB, name string) *Authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := &Authority{t: t, key: key}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(90 * 24 * time.Hour),
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	if a.Cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.Pool = x509.NewCertPool()
	a.Pool.AddCert(a.Cert)
	a.File = filepath.Join(t.TempDir(), "ca.pem")
	a.Save(a.File, "CERTIFICATE", der)
	return a
}

// Revoke writes the list of what a has revoked to file, at once; it ends at until.
func (a *Authority) Revoke(file string, until time.Time, pairs ...*Pair) {
	a.t.Helper()
	template := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: time.Now().Add(-time.Hour),
		NextUpdate: until}
	for _, p := range pairs {
		cert, err := x509.ParseCertificate(p.Chain[0])
		if err != nil {
			a.t.Fatal(err)
		}
		template.RevokedCertificateEntries = append(template.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: cert.SerialNumber, RevocationTime: time.Now()})
	}
	der, err := x509.CreateRevocationList(rand.Reader, template, a.Cert, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	a.Save(file, "X509 CRL", der)
}

// Pair is a certificate with its key.
type Pair struct {
	Chain [][]byte // DER, leaf first
	Key   crypto.Signer
}

// Issue makes a certificate for names and addresses, with an RSA key or an ECDSA one.
func (a *Authority) Issue(useRSA bool, names ...string) *Pair {
	a.t.Helper()
	var key crypto.Signer
	var err error
	if useRSA {
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	} else {
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	if err != nil {
		a.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes([]byte(rand.Text()[:16])), Subject: pkix.Name{CommonName: names[0]},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(89 * 24 * time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, n)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.Cert, key.Public(), a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return &Pair{Chain: [][]byte{der, a.Cert.Raw}, Key: key}
}

// Tls returns the pair for a server or client of the test's own.
func (p *Pair) Tls() tls.Certificate { return tls.Certificate{Certificate: p.Chain, PrivateKey: p.Key} }

// Write puts the pair into dir as NAME.crt and NAME.key.
func (a *Authority) Write(dir, name string, p *Pair) (cert, key string) {
	a.t.Helper()
	cert, key = filepath.Join(dir, name+".crt"), filepath.Join(dir, name+".key")
	der, err := x509.MarshalPKCS8PrivateKey(p.Key)
	if err != nil {
		a.t.Fatal(err)
	}
	a.Save(cert, "CERTIFICATE", p.Chain...)
	a.Save(key, "PRIVATE KEY", der)
	return cert, key
}

// Save replaces file at once: a reader sees the old content or the new one.
func (a *Authority) Save(file, kind string, ders ...[]byte) {
	a.t.Helper()
	var text []byte
	for _, der := range ders {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})...)
	}
	if err := os.WriteFile(file+".new", text, 0o600); err != nil {
		a.t.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		a.t.Fatal(err)
	}
}

// QuietLog is for servers whose complaints are part of the test.
func QuietLog() *log.Logger { return log.New(io.Discard, "", 0) }

// TlsTrust is a client's configuration that trusts a alone.
func TlsTrust(a *Authority) *tls.Config { return &tls.Config{RootCAs: a.Pool} }
