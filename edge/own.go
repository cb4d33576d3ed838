package edge

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"github.com/penstock-edge/penstock/edge/lib/clock"
	"github.com/penstock-edge/penstock/edge/lib/wire"
	"github.com/penstock-edge/penstock/edge/route"
)

// Own makes x, which has been Reset, a request of the gateway itself: method and URL as a client would send
// them, fields as "Name: value". It is checked like one from a client; refusal is why it would be refused
// unread, and err why it cannot be a request. With merge, runs of slashes in its path become one. The caller
// sets Peer, Client and Conn.
func (x *Exchange) Own(method, url string, fields []string, merge bool) (refusal string, err error) {
	head, scheme, err := ownHead(method, url, fields)
	if err != nil {
		return "", err
	}
	var m wire.Request
	clean, v := wire.ScanRequest(nil, head, &m)
	if v != nil {
		return fmt.Sprintf("%d %s: %s", v.Status, v.Code, v.Detail), nil //nolint:nilerr // it is what is returned
	}
	if m.Form == wire.AsteriskForm {
		return "", fmt.Errorf("OPTIONS * is about the gateway itself, which answers it; no route takes it")
	}
	if merge {
		m.Path = route.MergeSlashes(m.Path)
	}
	var bad *route.PathError
	if x.Path, bad = route.Canonical(nil, m.Path); bad != nil {
		return "400 bad_request: " + bad.Reason, nil //nolint:nilerr // as above
	}
	x.TakeRequest(&m, clean)
	x.Scheme, x.OutPath = scheme, x.Path
	x.Host = route.NormalHost(nil, m.Host)
	x.Times.Start = clock.Now()
	x.Times.Head = x.Times.Start
	return "", nil
}

// ownHead writes the request as a client would that does not tidy its URL first.
func ownHead(method, url string, fields []string) (head []byte, scheme string, err error) {
	target, host, scheme := url, "localhost", "http"
	if before, rest, ok := strings.Cut(url, "://"); ok {
		scheme = strings.ToLower(before)
		i := strings.IndexAny(rest, "/?#")
		if i < 0 {
			i, rest = len(rest), rest+"/"
		}
		target, host = rest[i:], rest[:i]
		if target[0] != '/' {
			target = "/" + target
		}
	}
	if scheme != "http" && scheme != "https" {
		return nil, "", fmt.Errorf("the scheme of a URL must be http or https, it is %q", scheme)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\n", method, target)
	if !hasHost(fields) {
		fmt.Fprintf(&b, "Host: %s\r\n", host)
	}
	for _, field := range fields {
		fmt.Fprintf(&b, "%s\r\n", field)
	}
	b.WriteString("\r\n")
	return b.Bytes(), scheme, nil
}

func hasHost(fields []string) bool {
	for _, field := range fields {
		name, _, _ := strings.Cut(field, ":")
		if strings.EqualFold(name, "host") {
			return true
		}
	}
	return false
}

// Discard is the client of a request of the gateway itself: it waits, and reads the answer to its end.
type Discard struct{}

// Gone implements ClientConn.
func (Discard) Gone() bool { return false }

// Abort implements ClientConn.
func (Discard) Abort() {}

// Send implements Sender.
func (Discard) Send(x *Exchange, wait bool) (Outcome, *Fault) {
	switch {
	case x.Out == nil:
		return Ended, nil
	case !wait:
		return Blocked, nil
	}
	if _, err := io.Copy(io.Discard, x.Out); err != nil {
		x.Cause = err
		return Ended, UpstreamTruncated
	}
	return Ended, nil
}
