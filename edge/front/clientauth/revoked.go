package clientauth

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"github.com/penstock-edge/penstock/edge/config"
	"github.com/penstock-edge/penstock/edge/lib/smallfile"
)

// revocations are the revocation lists of some authorities (RFC 5280 section 5).
type revocations struct {
	lists []list
	until time.Time // when the first of them ends; zero: none does
}

// list is that of one authority.
type list struct {
	issuer  []byte // its subject, DER
	key     []byte // its subject's key, DER
	until   time.Time
	serials map[string]struct{} // big endian
}

// readRevocations reads the lists in file. Those that none of authorities, which is PEM, has signed are left
// out, with the reason: clients whose authority has no list are refused.
func readRevocations(file string, authorities []byte) (r *revocations, left []string, err error) {
	text, err := smallfile.Read(file, smallfile.MostList)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot read the revocation lists: %w", err)
	}
	if err := config.Uncut(file, text); err != nil {
		return nil, nil, err
	}
	ders := blocks(text, "X509 CRL")
	if len(ders) == 0 {
		ders = [][]byte{text}
	}
	var issuers []*x509.Certificate
	for _, der := range blocks(authorities, "CERTIFICATE") {
		if c, err := x509.ParseCertificate(der); err == nil {
			issuers = append(issuers, c)
		}
	}
	r = &revocations{}
	for _, der := range ders {
		crl, err := x509.ParseRevocationList(der)
		if err != nil {
			return nil, nil, fmt.Errorf("%q holds no revocation list in PEM or DER form: %w", file, err)
		}
		switch err := r.add(crl, issuers); {
		case errors.Is(err, errForeign):
			left = append(left, err.Error())
		case err != nil:
			return nil, nil, fmt.Errorf("%q: %w", file, err)
		}
	}
	return r, left, nil
}

// blocks returns the contents of the PEM blocks of a kind.
func blocks(text []byte, kind string) (all [][]byte) {
	for {
		block, rest := pem.Decode(text)
		if block == nil {
			return all
		}
		if block.Type == kind {
			all = append(all, block.Bytes)
		}
		text = rest
	}
}

var errForeign = errors.New("is not signed by an authority of ca")

// add takes in a list if it is whole: one that lists changes only, or a part of the certificates, says so in
// a critical extension.
func (r *revocations) add(crl *x509.RevocationList, issuers []*x509.Certificate) error {
	var issuer *x509.Certificate
	for _, c := range issuers {
		if bytes.Equal(c.RawSubject, crl.RawIssuer) && crl.CheckSignatureFrom(c) == nil {
			issuer = c
			break
		}
	}
	if issuer == nil {
		return fmt.Errorf("the list of %s %w", crl.Issuer, errForeign)
	}
	for _, e := range crl.Extensions {
		if e.Critical {
			return fmt.Errorf("the list of %s has the critical extension %s, which is not known", crl.Issuer, e.Id)
		}
	}
	l := list{issuer: issuer.RawSubject, key: issuer.RawSubjectPublicKeyInfo, until: crl.NextUpdate,
		serials: make(map[string]struct{}, len(crl.RevokedCertificateEntries))}
	for i := range crl.RevokedCertificateEntries {
		entry := &crl.RevokedCertificateEntries[i]
		for _, e := range entry.Extensions {
			if e.Critical {
				return fmt.Errorf("the list of %s has an entry with the critical extension %s, which is not known",
					crl.Issuer, e.Id)
			}
		}
		l.serials[string(entry.SerialNumber.Bytes())] = struct{}{}
	}
	r.lists = append(r.lists, l)
	if !l.until.IsZero() && (r.until.IsZero() || l.until.Before(r.until)) {
		r.until = l.until
	}
	return nil
}

// check returns an error unless a chain has no certificate that is revoked, and no list that has ended, and
// there is a list for the client's own.
func (r *revocations) check(chains [][]*x509.Certificate) (err error) {
	if r == nil {
		return nil
	}
	for _, chain := range chains {
		if err = r.checkChain(chain); err == nil {
			return nil
		}
	}
	return err
}

func (r *revocations) checkChain(chain []*x509.Certificate) error {
	for i, c := range chain {
		if i == len(chain)-1 && i > 0 {
			return nil // the authority itself
		}
		issuer := chain[min(i+1, len(chain)-1)]
		known := false
		for j := range r.lists {
			l := &r.lists[j]
			if !bytes.Equal(l.issuer, issuer.RawSubject) || !bytes.Equal(l.key, issuer.RawSubjectPublicKeyInfo) {
				continue
			}
			known = true
			switch _, revoked := l.serials[string(c.SerialNumber.Bytes())]; {
			case revoked:
				return fmt.Errorf("%w: number %x of %s is revoked", ErrRefused, c.SerialNumber, c.Issuer)
			case !l.until.IsZero() && time.Now().After(l.until):
				return fmt.Errorf("%w: the revocation list of %s has ended", ErrRefused, c.Issuer)
			}
		}
		if !known && i == 0 {
			return fmt.Errorf("%w: there is no revocation list of %s", ErrRefused, c.Issuer)
		}
	}
	return nil
}
