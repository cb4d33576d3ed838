package main

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
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/penstock-edge/penstock/edge/live"
)

const root = "../.."

// check builds text as a configuration, with its logs in a folder that is there.
func check(t *testing.T, name, text string) {
	t.Helper()
	text = strings.ReplaceAll(text, "/var/log/penstock", t.TempDir())
	b, err := live.Check(name, []byte(text), dryFeatures())
	if err != nil {
		t.Errorf("%s", err)
		return
	}
	b.Close()
}

// Each configuration that is shipped is good as it stands.
func TestConfigsAreGood(t *testing.T) {
	files, err := filepath.Glob(root + "/configs/*.toml")
	if err != nil || len(files) < 2 {
		t.Fatalf("%d configurations: %v", len(files), err)
	}
	dir := pki(t)
	for _, file := range append(files, root+"/configs/systemd/penstock.toml") {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		check(t, file, strings.ReplaceAll(string(text), "/etc/penstock/tls", dir))
	}
}

// So is each block of TOML in a Markdown file that is a whole configuration.
func TestReadmeExamplesAreGood(t *testing.T) {
	dir := pki(t)
	t.Setenv("CREDENTIALS_DIRECTORY", dir)
	blocks := regexp.MustCompile("(?ms)^```toml\n(.*?)^```")
	found := 0
	eachFile(t, ".md", func(file string, text []byte) {
		for i, m := range blocks.FindAllSubmatch(text, -1) {
			if block := string(m[1]); whole(block) {
				found++
				check(t, file+" block "+strconv.Itoa(i+1), strings.ReplaceAll(block, "/etc/penstock/tls", dir))
			}
		}
	})
	if found == 0 {
		t.Error("no example found")
	}
}

// whole reports whether a block is a configuration and not a part of one.
func whole(block string) bool {
	return strings.Contains(block, "[[listener]]") && strings.Contains(block, "[[route]]") &&
		(strings.Contains(block, "[pool.") || !strings.Contains(block, "pool = "))
}

// pki makes a directory with the files that examples name.
func pki(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "example.com"},
		DNSNames: []string{"example.com"}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	issuer, err := x509.ParseCertificate(cert)
	if err != nil {
		t.Fatal(err)
	}
	list, err := x509.CreateRevocationList(rand.Reader,
		&x509.RevocationList{Number: big.NewInt(1), NextUpdate: time.Now().Add(time.Hour)}, issuer, key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, block := range map[string]*pem.Block{
		"example.crt": {Type: "CERTIFICATE", Bytes: cert}, "site.crt": {Type: "CERTIFICATE", Bytes: cert},
		"ca.pem": {Type: "CERTIFICATE", Bytes: cert}, "clients.pem": {Type: "CERTIFICATE", Bytes: cert},
		"clients.crl": {Type: "X509 CRL", Bytes: list},
		"example.key": {Type: "PRIVATE KEY", Bytes: private}, "site.key": {Type: "PRIVATE KEY", Bytes: private},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// fullText returns configs/full.toml with the keys in use that its first lines speak of.
func fullText(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(root + "/configs/full.toml")
	if err != nil {
		t.Fatal(err)
	}
	return regexp.MustCompile(`(?m)^#(\S)`).ReplaceAllString(string(text), "$1")
}

func TestFullConfigWithAllKeysInUse(t *testing.T) {
	t.Setenv("PENSTOCK_HASH_SEED", "secret")
	text := strings.ReplaceAll(fullText(t), "/etc/penstock/tls", pki(t))
	check(t, "full.toml", text)
	check(t, "full.toml", strings.ReplaceAll(text, "enabled = false", "enabled = true"))
}
