// Package conform holds what the RFCs ask of a shared cache against a running proxy: a table whose rows are
// requirements, each with requests to the proxy and answers of an origin behind it.
package conform

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
)

// Answer is what the origin says to a request, byte for byte.
type Answer struct {
	Status int      // 0: 200
	Fields []string // "Name: value"
	Body   string
	// Cut ends the connection in the middle of the body.
	Cut bool
	// Drop ends the connection without an answer.
	Drop bool
	// Chunked sends the body in chunks instead of with its length.
	Chunked bool
	// Trailers come behind a body in chunks, and Early are the fields of a 103 before the answer.
	Trailers, Early []string
	// Hold is called before the answer is sent; nil: it is sent at once.
	Hold func()
}

// Origin is the server behind the proxy. Each path has a script of its own.
type Origin struct {
	l  net.Listener
	wg sync.WaitGroup

	mu      sync.Mutex
	scripts map[string]*script
	conns   map[net.Conn]struct{}
}

// script is what one path answers, and what it was asked.
type script struct {
	answer func(*http.Request) Answer
	asked  []*http.Request
}

// NewOrigin listens on a loopback address.
func NewOrigin() (*Origin, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	o := &Origin{l: l, scripts: map[string]*script{}, conns: map[net.Conn]struct{}{}}
	o.wg.Go(o.accept)
	return o, nil
}

// Addr returns host and port.
func (o *Origin) Addr() string { return o.l.Addr().String() }

// Close ends all connections.
func (o *Origin) Close() {
	_ = o.l.Close() // it is not used any more
	o.mu.Lock()
	for c := range o.conns {
		_ = c.Close() // as above
	}
	o.mu.Unlock()
	o.wg.Wait()
}

func (o *Origin) accept() {
	for {
		c, err := o.l.Accept()
		if err != nil {
			return
		}
		o.mu.Lock()
		o.conns[c] = struct{}{}
		o.mu.Unlock()
		o.wg.Go(func() {
			o.serve(c)
			_ = c.Close() // what could not be sent is the proxy's to complain about
			o.mu.Lock()
			delete(o.conns, c)
			o.mu.Unlock()
		})
	}
}

// serve answers the requests of one connection.
func (o *Origin) serve(c net.Conn) {
	r := bufio.NewReader(c)
	for {
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return
		}
		req.Body = io.NopCloser(bytes.NewReader(body)) // for the handler
		a := Answer{Status: 404}
		o.mu.Lock()
		if s := o.scripts[req.URL.Path]; s != nil {
			s.asked = append(s.asked, req)
			a = s.answer(req)
		}
		o.mu.Unlock()
		if a.Hold != nil {
			a.Hold()
		}
		if a.Drop {
			return
		}
		if _, err := io.WriteString(c, a.text(req.Method)); err != nil || a.Cut {
			return
		}
	}
}

// text returns the answer as it is sent.
func (a Answer) text(method string) string {
	var b strings.Builder
	status := a.Status
	if status == 0 {
		status = 200
	}
	if a.Early != nil {
		b.WriteString("HTTP/1.1 103 Early Hints\r\n" + strings.Join(a.Early, "\r\n") + "\r\n\r\n")
	}
	fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\n", status, http.StatusText(status))
	for _, f := range a.Fields {
		b.WriteString(f + "\r\n")
	}
	noBody := status == 304 || status == 204
	switch {
	case noBody:
	case a.Chunked:
		b.WriteString("Transfer-Encoding: chunked\r\n")
	default:
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(a.Body))
	}
	b.WriteString("\r\n")
	if noBody || method == "HEAD" {
		return b.String()
	}
	body := a.Body
	if a.Cut {
		body = body[:len(body)/2]
	}
	if a.Chunked && body != "" {
		fmt.Fprintf(&b, "%x\r\n%s\r\n", len(body), body)
	} else {
		b.WriteString(body)
	}
	if a.Chunked && !a.Cut {
		b.WriteString("0\r\n")
		for _, f := range a.Trailers {
			b.WriteString(f + "\r\n")
		}
		b.WriteString("\r\n")
	}
	return b.String()
}
