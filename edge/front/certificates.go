package front

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/penstock-edge/penstock/edge/config"
	"github.com/penstock-edge/penstock/edge/front/clientauth"
	"github.com/penstock-edge/penstock/edge/lib/caught"
	"github.com/penstock-edge/penstock/edge/lib/descriptors"
	"github.com/penstock-edge/penstock/edge/lib/filewatch"
	"github.com/penstock-edge/penstock/edge/lib/lanes"
)

// certificates are the key pairs of one listener. Files are looked at once a second, and those of a pair are
// read again when one has changed in size, time or identity; that sees symlinks swapped above them too. A
// pair that cannot be read any more stays as it was; the others change without it.
type certificates struct {
	listener string
	pairs    []*certPair
	table    atomic.Pointer[certTable]
	clients  *clientauth.Policy // renewed with them; nil: none

	renewed, refused *lanes.Counter // nil: not counted
}

// certPair is one pair. The watching goroutine's.
type certPair struct {
	config.Certificate
	watched *filewatch.Files
	pair    *tls.Certificate // as it was read last; nil: never
	again   bool             // to be read whether it has changed or not
}

// certTable finds a certificate by server name.
type certTable struct {
	all    []*tls.Certificate
	byName map[string][]*tls.Certificate // lower-case; wildcards as "*.example.com"
}

// checkEvery is how often certificate files are looked at.
const checkEvery = time.Second

func loadCertificates(conf *config.Listener) *certificates {
	c := &certificates{listener: conf.Name}
	for _, f := range conf.Certificates {
		p := &certPair{Certificate: f, watched: filewatch.New(f.Cert, f.Key)}
		if err := p.read(); err != nil {
			f.Table.Errorf("cert", "%s", err)
		}
		c.pairs = append(c.pairs, p)
	}
	c.arrange()
	return c
}

// arrange makes the table of all pairs there are.
func (c *certificates) arrange() {
	t := &certTable{byName: make(map[string][]*tls.Certificate)}
	for _, p := range c.pairs {
		if p.pair != nil {
			t.add(p.pair)
		}
	}
	c.table.Store(t)
}

// read reads the pair anew; the error names the file and what is wrong with it, and the pair stays.
func (p *certPair) read() error {
	pair, _, err := config.ReadPair(p.Cert, p.Key)
	if err == nil && pair.Leaf == nil {
		pair.Leaf, err = x509.ParseCertificate(pair.Certificate[0])
	}
	if err != nil {
		return certError(p.Certificate, err)
	}
	p.pair = &pair
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
	t.all = append(t.all, pair)
	names := slices.Clone(pair.Leaf.DNSNames)
	for _, ip := range pair.Leaf.IPAddresses {
		names = append(names, ip.String())
	}
	for _, n := range names {
		n = strings.ToLower(n)
		t.byName[n] = append(t.byName[n], pair)
	}
}

// pick is tls.Config.GetCertificate: the first pair that the client can use, of those with the exact name,
// then of those with the wildcard above it, then of all. A client that can use none gets what its name has.
func (c *certificates) pick(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	t := c.table.Load()
	if len(t.all) == 0 {
		return nil, errors.New("no certificate is loaded")
	}
	name := strings.TrimSuffix(strings.ToLower(hello.ServerName), ".")
	_, above, _ := strings.Cut(name, ".")
	lists := [...][]*tls.Certificate{t.byName[name], t.byName["*."+above], t.all}
	nameless := *hello
	nameless.ServerName = "" // the table has seen to names
	for _, list := range lists {
		for _, pair := range list {
			if nameless.SupportsCertificate(pair) == nil {
				return pair, nil
			}
		}
	}
	for _, list := range lists {
		if len(list) > 0 {
			return list[0], nil // the handshake says what is missing
		}
	}
	panic("BUG: a table has pairs and none to show")
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
			c.checkClients()
		}
	}
}

// check reads the pairs again whose files have changed.
func (c *certificates) check() {
	changed := 0
	for _, p := range c.pairs {
		if changed := p.watched.Changed(); !changed && !p.again {
			continue
		}
		err := caught.Try(p.read)
		if p.again = descriptors.Short(err); p.again {
			continue // that is no fault of the file
		}
		if err != nil {
			// It may be half written: the next change is seen, and said again if it is no better.
			count(c.refused)
			slog.Error("certificate not replaced; the one before stays in use", "listener", c.listener,
				"cert", p.Cert, "error", err)
			continue
		}
		changed++
		count(c.renewed)
		slog.Info("certificate replaced", "listener", c.listener, "cert", p.Cert,
			"expires", p.pair.Leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	if changed > 0 {
		c.arrange()
	}
}

// checkClients renews what clients are judged by.
func (c *certificates) checkClients() {
	if c.clients == nil {
		return
	}
	var changed bool
	err := caught.Try(func() (err error) {
		changed, err = c.clients.Renew()
		return err
	})
	switch {
	case err != nil:
		count(c.refused)
		slog.Error("authorities of clients not replaced; those before stay in use", "listener", c.listener,
			"error", err)
	case changed:
		count(c.renewed)
		slog.Info("authorities of clients replaced", "listener", c.listener)
	}
	for _, why := range c.clients.Warnings() {
		slog.Warn("revocation lists of clients", "listener", c.listener, "why", why)
	}
}

func count(n *lanes.Counter) {
	if n != nil {
		n.Inc(0)
	}
}
