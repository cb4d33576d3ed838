package clienttls

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/penstock-edge/penstock/edge/config"
)

// writePEM makes a self-signed pair and returns its two files.
func writePEM(t *testing.T, dir, name string) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "x.crt"), filepath.Join(dir, "x.key")
	put := func(file, kind string, der []byte) {
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put(cert, "CERTIFICATE", der)
	put(key, "PRIVATE KEY", keyDER)
	return cert, key
}

// TestRenew: a change is taken in whole or not at all, an error is told once a change, and what is the same is no
// change.
func TestRenew(t *testing.T) {
	cert, key := writePEM(t, t.TempDir(), "one")
	file := config.Parse("t.toml", []byte("enabled = true\nca = \""+cert+"\"\ncert = \""+cert+"\"\nkey = \""+key+"\"\n"), config.Options{})
	s := &Settings{}
	file.Root.Decode(s)
	s.Load(file.Root, "http/1.1")
	if errs := file.Finish(); errs != nil {
		t.Fatal(errs)
	}
	renew := func(what string, changed bool, want string) {
		t.Helper()
		got, err := s.Renew()
		if got != changed || (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, %v; want %v, %q", what, got, err, changed, want)
		}
		if got, err := s.Renew(); got || err != nil {
			t.Errorf("%s, looked at again: %v, %v", what, got, err)
		}
	}
	shows := func() string {
		c := s.For("127.0.0.1:1").Certificates[0]
		leaf, err := x509.ParseCertificate(c.Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		return leaf.Subject.CommonName
	}
	renew("nothing", false, "")
	before := s.Sum()
	same, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ text, want string }{{"broken", "cannot load certificate"}, {"", "cannot load certificate"}} {
		if err := os.WriteFile(key, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		renew("a broken key", false, c.want)
	}
	if err := os.WriteFile(key, same, 0o600); err != nil {
		t.Fatal(err)
	}
	renew("the same key again", false, "")
	writePEM(t, filepath.Dir(cert), "two")
	if shows() != "one" || s.Sum() != before {
		t.Error("files count before they are read")
	}
	renew("another pair", true, "")
	if shows() != "two" || s.Sum() == before {
		t.Error("what was read is not in use")
	}
	if err := os.Remove(cert); err != nil {
		t.Fatal(err)
	}
	renew("a missing file", false, "no such file")
	if shows() != "two" {
		t.Error("a missing file has changed something")
	}
}

// TestAuthorities: a file of which a part is missing is not read in part.
func TestAuthorities(t *testing.T) {
	const one = "-----BEGIN CERTIFICATE-----\n" +
		"MIIBIDCBxwIBATAKBggqhkjOPQQDAjAAMAAwADAAMAA=\n-----END CERTIFICATE-----\n"
	f := func(text, want string) {
		t.Helper()
		if _, err := config.Authorities("ca.pem", []byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
	f("", "holds no certificate")
	f("garbage", "holds no certificate")
	f(one+one[:40], "cut short")
	f(one[:40], "holds no certificate")
	f(one+"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n", "cut short")
}
