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

// authority issues certificates for tests.
type authority struct {
	t    testing.TB
	cert *x509.Certificate
	key  crypto.Signer
	pool *x509.CertPool // trusts this authority alone
	file string         // its certificate as PEM
}

func newAuthority(t testing.TB, name string) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{t: t, key: key}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(90 * 24 * time.Hour),
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.pool = x509.NewCertPool()
	a.pool.AddCert(a.cert)
	a.file = filepath.Join(t.TempDir(), "ca.pem")
	a.save(a.file, "CERTIFICATE", der)
	return a
}

// pair is a certificate with its key.
type pair struct {
	chain [][]byte // DER, leaf first
	key   crypto.Signer
}

// issue makes a certificate for names and addresses, with an RSA key or an ECDSA one.
func (a *authority) issue(useRSA bool, names ...string) *pair {
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
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return &pair{chain: [][]byte{der, a.cert.Raw}, key: key}
}

// tls returns the pair for a server or client of the test's own.
func (p *pair) tls() tls.Certificate { return tls.Certificate{Certificate: p.chain, PrivateKey: p.key} }

// write puts the pair into dir as NAME.crt and NAME.key.
func (a *authority) write(dir, name string, p *pair) (cert, key string) {
	a.t.Helper()
	cert, key = filepath.Join(dir, name+".crt"), filepath.Join(dir, name+".key")
	der, err := x509.MarshalPKCS8PrivateKey(p.key)
	if err != nil {
		a.t.Fatal(err)
	}
	a.save(cert, "CERTIFICATE", p.chain...)
	a.save(key, "PRIVATE KEY", der)
	return cert, key
}

// save replaces file at once: a reader sees the old content or the new one.
func (a *authority) save(file, kind string, ders ...[]byte) {
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

// quietLog is for servers whose complaints are part of the test.
func quietLog() *log.Logger { return log.New(io.Discard, "", 0) }

// tlsTrust is a client's configuration that trusts a alone.
func tlsTrust(a *authority) *tls.Config { return &tls.Config{RootCAs: a.pool} }
