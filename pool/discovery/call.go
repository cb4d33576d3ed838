package discovery

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/penstock-edge/penstock/edge/config"
	"github.com/penstock-edge/penstock/edge/lib/smallfile"
	"github.com/penstock-edge/penstock/edge/lib/sockets"
)

const (
	callTimeout = 15 * time.Second // of a request that is answered at once, with its body
	maxAnswer   = 64 << 20         // bytes of one such answer
	maxEvent    = 16 << 20         // bytes of one event of a stream
	maxPEM      = 4 << 20
)

var errTooLong = errors.New("the answer is longer than is read")

// tlsFiles are PEM files; "" stands for the system's roots, and no certificate of one's own.
type tlsFiles struct{ ca, cert, key string }

// check reports the files that cannot be used, and returns true if there are none.
func (f tlsFiles) check(t *config.Table) bool {
	if (f.cert == "") != (f.key == "") {
		t.Errorf("cert", "cert and key go together")
		return false
	}
	if f.ca != "" {
		pem, err := smallfile.Read(f.ca, maxPEM)
		if err == nil {
			_, err = config.Authorities(f.ca, pem)
		}
		if err != nil {
			t.Errorf("ca", "%s", err)
			return false
		}
	}
	if f.cert != "" {
		if _, _, err := config.ReadPair(f.cert, f.key); err != nil {
			t.Errorf("cert", "cannot load certificate %q with key %q: %s", f.cert, f.key, err)
			return false
		}
	}
	return true
}

// caller sends the requests of one Run. Certificates are read again when their files change.
type caller struct {
	tlsFiles
	secrets []string // never shown, whoever sends them back

	pem    []byte       // content of ca when client was made
	client *http.Client // nil before the first request
}

func (c *caller) close() {
	if c.client != nil {
		c.client.CloseIdleConnections()
	}
}

// current returns a client that trusts what the CA file holds now.
func (c *caller) current() (*http.Client, error) {
	var pem []byte
	if c.ca != "" {
		var err error
		if pem, err = smallfile.Read(c.ca, maxPEM); err != nil {
			return nil, err
		}
	}
	if c.client != nil && bytes.Equal(pem, c.pem) {
		return c.client, nil
	}
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.ca != "" {
		roots, err := config.Authorities(c.ca, pem)
		if err != nil {
			return nil, err
		}
		conf.RootCAs = roots
	}
	if c.cert != "" {
		conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			pair, _, err := config.ReadPair(c.cert, c.key)
			return &pair, err
		}
	}
	c.close()
	c.pem, c.client = pem, newClient(conf)
	return c.client, nil
}

// newClient returns a client that takes no proxy from the environment and follows no redirect: its requests
// carry tokens. A peer that is gone without a word is found out by the probes of TCP within a minute.
func newClient(conf *tls.Config) *http.Client {
	dialer := net.Dialer{Timeout: 5 * time.Second, KeepAliveConfig: net.KeepAliveConfig{
		Enable: true, Idle: 15 * time.Second, Interval: 10 * time.Second, Count: 3}}
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, kind, address string) (net.Conn, error) {
				return sockets.Dial(ctx, &dialer, kind, address)
			},
			TLSClientConfig: conf, TLSHandshakeTimeout: 5 * time.Second,
			MaxIdleConns: 2, IdleConnTimeout: 90 * time.Second, MaxResponseHeaderBytes: 64 << 10,
			DisableCompression: true,
		},
	}
}

// statusError is an answer other than 200.
type statusError struct {
	code int
	text string // what its body begins with
}

func (e *statusError) Error() string {
	text := fmt.Sprintf("status %d %s", e.code, http.StatusText(e.code))
	if e.text != "" {
		text += ": " + e.text
	}
	return text
}

func isStatus(err error, code int) bool {
	var status *statusError
	return errors.As(err, &status) && status.code == code
}

// do sends a request and returns the answer if its status is 200. Its body is then to be closed.
func (c *caller) do(req *http.Request) (*http.Response, error) {
	client, err := c.current()
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "penstock-discovery")
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		begin, _ := io.ReadAll(io.LimitReader(resp.Body, 4096)) // what there is of it is shown
		resp.Body.Close()
		return nil, &statusError{resp.StatusCode, c.short(string(begin))}
	}
	return resp, nil
}

// call sends a request and decodes the body of its answer, whose head is returned.
func (c *caller) call(ctx context.Context, timeout time.Duration, req *http.Request, into any) (
	http.Header, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	resp, err := c.do(req.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(&bounded{r: resp.Body, left: maxAnswer}).Decode(into); err != nil {
		return nil, fmt.Errorf("cannot read the answer: %w", err)
	}
	_, _ = io.CopyN(io.Discard, resp.Body, 4096) // the rest of its last chunk, so that the connection is kept
	return resp.Header, nil
}

// short returns text from outside for a message: one short line without secrets.
func (c *caller) short(text string) string {
	for _, secret := range c.secrets {
		if secret != "" {
			text = strings.ReplaceAll(text, secret, "[secret]")
		}
	}
	text = strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r <= ' ' || r == 0x7f }), " ")
	const most = 200
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}
