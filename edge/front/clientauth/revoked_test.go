package clientauth

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// issuer is an authority of a test, or a client.
type issuer struct {
	*x509.Certificate
	key *ecdsa.PrivateKey
}

var serial int64

// issue makes a certificate that by has signed; nil: itself.
func issue(t *testing.T, by *issuer, name string, authority bool) *issuer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial++
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	if authority {
		template.IsCA, template.BasicConstraintsValid = true, true
		template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	}
	if by == nil {
		by = &issuer{template, key}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, by.Certificate, key.Public(), by.key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &issuer{c, key}
}

// revoke makes a list by change, which may be nil.
func (i *issuer) revoke(t *testing.T, change func(*x509.RevocationList), revoked ...*issuer) []byte {
	t.Helper()
	template := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: time.Now().Add(-time.Hour),
		NextUpdate: time.Now().Add(time.Hour)}
	for _, r := range revoked {
		template.RevokedCertificateEntries = append(template.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: r.SerialNumber, RevocationTime: time.Now()})
	}
	if change != nil {
		change(template)
	}
	der, err := x509.CreateRevocationList(rand.Reader, template, i.Certificate, i.key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func certificatePEM(all ...*issuer) (text []byte) {
	for _, i := range all {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.Raw})...)
	}
	return text
}

func listPEM(ders ...[]byte) (text []byte) {
	for _, der := range ders {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})...)
	}
	return text
}

// trusting returns the trust in authorities with a file of lists.
func trusting(t *testing.T, lists []byte, authorities ...*issuer) (*trust, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "crl")
	if err := os.WriteFile(file, lists, 0o600); err != nil {
		t.Fatal(err)
	}
	r, left, err := readRevocations(file, certificatePEM(authorities...))
	now := &trust{roots: x509.NewCertPool(), revoked: r, left: left}
	for _, a := range authorities {
		now.roots.AddCert(a.Certificate)
	}
	return now, err
}

// TestJudge: who is good, by chains, authorities and lists.
func TestJudge(t *testing.T) {
	root := issue(t, nil, "root", true)
	middle := issue(t, root, "middle", true)
	same := issue(t, nil, "root", true) // of the same name, with another key
	a, b, below, alike := issue(t, root, "a", false), issue(t, root, "b", false), issue(t, middle, "below", false),
		issue(t, same, "alike", false)
	f := func(lists []byte, chain []*issuer, want string, authorities ...*issuer) {
		t.Helper()
		now, err := trusting(t, lists, authorities...)
		if err != nil {
			t.Fatal(err)
		}
		var shown []*x509.Certificate
		for _, c := range chain {
			shown = append(shown, c.Certificate)
		}
		err = now.judge(&Policy{section: section{Mode: "require"}}, shown)
		if want == "" && err != nil || want != "" && (!errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), want)) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	chain := func(all ...*issuer) []*issuer { return all }
	none := listPEM(root.revoke(t, nil))
	f(none, chain(a), "", root)
	f(root.revoke(t, nil), chain(a), "", root) // DER
	f(listPEM(root.revoke(t, nil, a)), chain(a), "is revoked", root)
	f(listPEM(root.revoke(t, nil, b)), chain(a), "", root)
	f(none, nil, "none was shown", root)
	f(none, chain(issue(t, nil, "alone", false)), "unknown authority", root)
	f(none, chain(issue(t, root, "server", true)), "", root) // an authority may be a client too
	// Two lists of one authority: either may speak against a client.
	f(listPEM(root.revoke(t, nil), root.revoke(t, nil, a)), chain(a), "is revoked", root)
	// A list that has ended speaks for nobody.
	ended := func(l *x509.RevocationList) { l.NextUpdate = time.Now().Add(-time.Minute) }
	f(listPEM(root.revoke(t, ended)), chain(a), "has ended", root)
	// The client's own issuer must have a list; of those above it what there is counts.
	f(none, chain(below, middle), "no revocation list", root)
	f(listPEM(middle.revoke(t, nil)), chain(below, middle), "", root, middle)
	f(listPEM(middle.revoke(t, nil, below)), chain(below), "is revoked", root, middle)
	// Two authorities of one name: the key tells whose list it is.
	f(none, chain(alike), "no revocation list", root, same)
	f(listPEM(root.revoke(t, nil), same.revoke(t, nil, alike)), chain(alike), "is revoked", root, same)
}

// TestRevokedMiddle: an intermediate that its root has revoked takes those below it along, when it is not trusted by
// itself.
func TestRevokedMiddle(t *testing.T) {
	root := issue(t, nil, "root", true)
	middle := issue(t, root, "middle", true)
	below := issue(t, middle, "below", false)
	now, err := trusting(t, listPEM(root.revoke(t, nil, middle), middle.revoke(t, nil)), root, middle)
	if err != nil {
		t.Fatal(err)
	}
	now.roots = x509.NewCertPool()
	now.roots.AddCert(root.Certificate)
	if err := now.verify([]*x509.Certificate{below.Certificate, middle.Certificate}); !errors.Is(err, ErrRefused) {
		t.Errorf("%v, want a refusal", err)
	}
}

// TestListsNotKnown: a list that cannot be taken by its word is an error, with the reason.
func TestListsNotKnown(t *testing.T) {
	root, other := issue(t, nil, "root", true), issue(t, nil, "other", true)
	critical := pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 28}, Critical: true, Value: []byte{0x30, 0}}
	f := func(lists []byte, want string) {
		t.Helper()
		if _, err := trusting(t, lists, root); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	f(listPEM(root.revoke(t, func(l *x509.RevocationList) {
		l.ExtraExtensions = append(l.ExtraExtensions, critical)
	})), "critical extension 2.5.29.28")
	f(listPEM(root.revoke(t, func(l *x509.RevocationList) {
		l.RevokedCertificateEntries[0].ExtraExtensions = []pkix.Extension{critical}
	}, other)), "critical extension 2.5.29.28")
	f(nil, "no revocation list")
	f([]byte("garbage"), "no revocation list")
	f(listPEM([]byte("garbage")), "no revocation list")
	two := listPEM(root.revoke(t, nil), root.revoke(t, nil))
	f(two[:len(two)-20], "cut short")
}

// TestListsOfOthers: a list that no authority has signed speaks for nobody: the clients of an authority without a list
// are refused.
func TestListsOfOthers(t *testing.T) {
	root, other := issue(t, nil, "root", true), issue(t, nil, "other", true)
	a := issue(t, root, "a", false)
	forged := root.revoke(t, nil)
	forged[len(forged)-1] ^= 1
	f := func(lists []byte, left int, want string) {
		t.Helper()
		now, err := trusting(t, lists, root)
		if err != nil {
			t.Fatal(err)
		}
		err = now.verify([]*x509.Certificate{a.Certificate})
		if len(now.left) != left || want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q are left out; %v, want %q", now.left, err, want)
		}
	}
	f(listPEM(other.revoke(t, nil)), 1, "there is no revocation list")
	f(listPEM(forged), 1, "there is no revocation list")
	f(listPEM(root.revoke(t, nil), other.revoke(t, nil)), 1, "")
	f(listPEM(root.revoke(t, nil, a), other.revoke(t, nil)), 1, "is revoked")
}

// TestWarnings: what is to be said of the lists in use is said once.
func TestWarnings(t *testing.T) {
	root, other := issue(t, nil, "root", true), issue(t, nil, "other", true)
	ended := func(l *x509.RevocationList) { l.NextUpdate = time.Now().Add(-time.Minute) }
	now, err := trusting(t, listPEM(root.revoke(t, ended), other.revoke(t, nil)), root)
	if err != nil {
		t.Fatal(err)
	}
	p := &Policy{}
	p.trust.Store(now)
	if all := p.Warnings(); len(all) != 2 || !strings.Contains(all[0], "not signed") || !strings.Contains(all[1], "ended on") {
		t.Errorf("%q", all)
	}
	if all := p.Warnings(); len(all) > 0 {
		t.Errorf("again: %q", all)
	}
	if now, err = trusting(t, listPEM(root.revoke(t, nil)), root); err != nil {
		t.Fatal(err)
	}
	p.trust.Store(now)
	if all := p.Warnings(); len(all) > 0 {
		t.Errorf("of a good list: %q", all)
	}
	now.revoked.until = time.Now().Add(-time.Second) // it ends while it is in use
	if all := p.Warnings(); len(all) != 1 {
		t.Errorf("when it has ended: %q", all)
	}
}
