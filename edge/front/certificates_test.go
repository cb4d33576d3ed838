package front

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/penstock-edge/penstock/edge/config"
)

// writePair makes a self-signed pair for names in dir and returns its files.
func writePair(t *testing.T, dir, base string, names ...string) config.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: base},
		DNSNames: names, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	c := config.Certificate{Cert: filepath.Join(dir, base+".crt"), Key: filepath.Join(dir, base+".key")}
	write := func(name, kind string, der []byte) {
		if err := os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(c.Cert, "CERTIFICATE", der)
	write(c.Key, "PRIVATE KEY", keyDER)
	return c
}

func picked(t *testing.T, c *certificates, name string) string {
	t.Helper()
	pair, err := c.pick(&tls.ClientHelloInfo{ServerName: name,
		SupportedVersions: []uint16{tls.VersionTLS13}, SignatureSchemes: []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256},
		SupportedCurves: []tls.CurveID{tls.CurveP256}})
	if err != nil {
		t.Fatal(err)
	}
	return pair.Leaf.Subject.CommonName
}

func TestPickCertificate(t *testing.T) {
	dir := t.TempDir()
	c := load(t, writePair(t, dir, "first", "first.example"), writePair(t, dir, "exact", "api.example.com"),
		writePair(t, dir, "wild", "*.example.com"))
	f := func(name, want string) {
		t.Helper()
		if got := picked(t, c, name); got != want {
			t.Fatalf("%q gets %q, want %q", name, got, want)
		}
	}
	f("first.example", "first")
	f("API.Example.com", "exact")
	f("api.example.com.", "exact")
	f("www.example.com", "wild")
	f("a.b.example.com", "first") // a wildcard stands for one label
	f("example.com", "first")
	f("", "first")
	f("other.test", "first")
}

func load(t *testing.T, files ...config.Certificate) *certificates {
	t.Helper()
	return loadCertificates(&config.Listener{Certificates: files})
}

func TestCertificatesReplaced(t *testing.T) {
	dir := t.TempDir()
	pair := writePair(t, dir, "one", "one.example")
	c := load(t, pair)
	c.check()
	if got := picked(t, c, "one.example"); got != "one" {
		t.Fatalf("untouched files give %q", got)
	}
	replacement := writePair(t, t.TempDir(), "two", "one.example")
	rename(t, replacement.Cert, pair.Cert)
	c.check() // the key does not belong to it yet
	if got := picked(t, c, "one.example"); got != "one" {
		t.Fatalf("half a pair gives %q", got)
	}
	rename(t, replacement.Key, pair.Key)
	c.check()
	if got := picked(t, c, "one.example"); got != "two" {
		t.Fatalf("the new pair is not in use: %q", got)
	}
	if err := os.Remove(pair.Cert); err != nil {
		t.Fatal(err)
	}
	c.check()
	if got := picked(t, c, "one.example"); got != "two" {
		t.Fatalf("a missing file gives %q", got)
	}
}

// TestCertificatesBehindSymlink swaps a directory under the files, as secret volumes do.
func TestCertificatesBehindSymlink(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a", "b"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		pair := writePair(t, filepath.Join(dir, name), name, "x.example")
		rename(t, pair.Cert, filepath.Join(dir, name, "tls.crt"))
		rename(t, pair.Key, filepath.Join(dir, name, "tls.key"))
	}
	link := func(to string) {
		t.Helper()
		if err := os.Symlink(to, filepath.Join(dir, "new")); err != nil {
			t.Fatal(err)
		}
		rename(t, filepath.Join(dir, "new"), filepath.Join(dir, "current"))
	}
	link("a")
	c := load(t, config.Certificate{Cert: filepath.Join(dir, "current", "tls.crt"),
		Key: filepath.Join(dir, "current", "tls.key")})
	link("b")
	c.check()
	if got := picked(t, c, "x.example"); got != "b" {
		t.Fatalf("after the swap %q is in use", got)
	}
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}
