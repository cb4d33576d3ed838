package front

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/penstock-edge/penstock/edge/config"
	"github.com/penstock-edge/penstock/edge/lib/caught"
	"github.com/penstock-edge/penstock/edge/lib/filewatch"
)

var bg = context.Background()

// certificates are the key pairs of one listener. Files are looked at once a second, and read again when one
// has changed in size, time or identity; that sees symlinks swapped above them too. A pair that cannot be
// read any more leaves the one before in use.
type certificates struct {
	files   []config.Certificate
	watched *filewatch.Files
	table   atomic.Pointer[certTable]
}

// certTable finds a certificate by server name.
type certTable struct {
	first  *tls.Certificate
	byName map[string][]*tls.Certificate // lower-case; wildcards as "*.example.com"
}

// checkEvery is how often certificate files are looked at.
const checkEvery = time.Second

func loadCertificates(conf *config.Listener) *certificates {
	c := &certificates{files: conf.Certificates}
	c.watched = c.look()
	t := &certTable{byName: make(map[string][]*tls.Certificate)}
	for _, f := range c.files {
		if err := t.read(f); err != nil {
			f.Table.Errorf("cert", "%s", err)
		}
	}
	c.table.Store(t)
	return c
}

// readTable reads all pairs again; one that is bad makes all of them bad.
func readTable(files []config.Certificate) (*certTable, error) {
	t := &certTable{byName: make(map[string][]*tls.Certificate)}
	for _, f := range files {
		if err := t.read(f); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// read adds one pair; the error names the file and what is wrong with it.
func (t *certTable) read(f config.Certificate) error {
	pair, err := tls.LoadX509KeyPair(f.Cert, f.Key)
	if err == nil && pair.Leaf == nil {
		pair.Leaf, err = x509.ParseCertificate(pair.Certificate[0])
	}
	if err != nil {
		return certError(f, err)
	}
	t.add(&pair)
	return nil
}

func certError(f config.Certificate, err error) error {
	switch {
	case errors.Is(err, os.ErrNotExist), errors.Is(err, os.ErrPermission):
		return err // names the file
	case strings.Contains(err.Error(), "private key does not match"):
		return fmt.Errorf("key %q does not belong to certificate %q", f.Key, f.Cert)
	}
	return fmt.Errorf("cannot load certificate %q with key %q: %w", f.Cert, f.Key, err)
}

func (t *certTable) add(pair *tls.Certificate) {
	if t.first == nil {
		t.first = pair
	}
	names := pair.Leaf.DNSNames
	for _, ip := range pair.Leaf.IPAddresses {
		names = append(names, ip.String())
	}
	for _, n := range names {
		n = strings.ToLower(n)
		t.byName[n] = append(t.byName[n], pair)
	}
}

// pick is tls.Config.GetCertificate: the exact name, then the wildcard above it, then the first pair.
func (c *certificates) pick(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	t := c.table.Load()
	name := strings.TrimSuffix(strings.ToLower(hello.ServerName), ".")
	found := t.byName[name]
	if len(found) == 0 {
		if _, rest, ok := strings.Cut(name, "."); ok {
			found = t.byName["*."+rest]
		}
	}
	for _, pair := range found {
		if hello.SupportsCertificate(pair) == nil {
			return pair, nil
		}
	}
	if len(found) > 0 {
		return found[0], nil
	}
	if t.first == nil {
		return nil, errors.New("no certificate is loaded")
	}
	return t.first, nil
}

// watch re-reads the files when they change, until stop is closed.
func (c *certificates) watch(stop <-chan struct{}) {
	tick := time.NewTicker(checkEvery)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
			c.check()
		}
	}
}

// check reads the files again if one has changed.
func (c *certificates) check() {
	if !c.watched.Changed() {
		return
	}
	var t *certTable
	err := caught.Try(func() (err error) {
		t, err = readTable(c.files)
		return err
	})
	if err != nil {
		// The pair may be half written: the next tick looks again, and says so once a change.
		slog.Error("certificate not replaced; the one before stays in use", "error", err)
		return
	}
	c.table.Store(t)
	slog.Info("certificates replaced", "pairs", len(c.files), "first", c.files[0].Cert)
}

// look returns the files as they are now, two a pair.
func (c *certificates) look() *filewatch.Files {
	var names []string
	for _, f := range c.files {
		names = append(names, f.Cert, f.Key)
	}
	return filewatch.New(names...)
}
