package config

import (
	"bytes"
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"

	"github.com/penstock-edge/penstock/edge/lib/smallfile"
)

// Authorities returns the certificates that text, the content of a file, has in PEM form; none may be cut
// short.
func Authorities(file string, text []byte) (*x509.CertPool, error) {
	if err := Uncut(file, text); err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%q holds no certificate in PEM form", file)
	}
	return roots, nil
}

// ReadPair returns the certificate of two files in PEM form, with all of its chain, and their content. A file
// that is still being written is an error.
func ReadPair(cert, key string) (pair tls.Certificate, text []byte, err error) {
	certs, err := smallfile.Read(cert, smallfile.MostPEM)
	keys, err2 := smallfile.Read(key, smallfile.MostPEM)
	if err = cmp.Or(err, err2); err == nil {
		err = Uncut(cert, certs)
	}
	if err == nil {
		pair, err = tls.X509KeyPair(certs, keys)
	}
	return pair, append(append(certs, 0), keys...), err
}

// Uncut returns an error when a block that begins in text does not end there. Without any block it is silent:
// whoever parses text reports what is missing.
func Uncut(file string, text []byte) error {
	whole, rest := 0, text
	for block := new(pem.Block); block != nil; {
		if block, rest = pem.Decode(rest); block != nil {
			whole++
		}
	}
	if whole > 0 && bytes.Count(text, []byte("-----BEGIN ")) != whole {
		return fmt.Errorf("%q is cut short, or a part of it is not in PEM form", file)
	}
	return nil
}
