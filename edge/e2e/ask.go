package e2e

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/coder/websocket"
)

// Got is an answer as a client sees it.
type Got struct {
	Status int
	Body   string
	http.Header
}

// Ask sends one request; fields are "Name: value".
func (g *Gateway) Ask(method, path string, fields ...string) Got {
	g.T.Helper()
	req, err := http.NewRequest(method, "http://"+g.Addr+path, nil)
	if err != nil {
		g.T.Fatal(err)
	}
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ": ")
		if name == "Host" {
			req.Host = value
			continue
		}
		req.Header.Add(name, value)
	}
	resp, err := PlainTransport.RoundTrip(req)
	if err != nil {
		g.T.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		g.T.Errorf("%s %s: the body ends with %v after %d bytes", method, path, err, len(b))
	}
	return Got{resp.StatusCode, string(b), resp.Header}
}

// PlainTransport sends what it is told, and asks for no encoding by itself.
var PlainTransport = &http.Transport{DisableCompression: true}

// Gated lets requests for a path through once n connections of clients are open at the gateway: all of them
// have asked by then, or are about to.
func (g *Gateway) Gated(gate chan struct{}, n float64) {
	g.T.Helper()
	Eventually(g.T, "all clients are there", func() bool {
		return g.Metric(`penstock_connections{listener="main"}`) >= n
	})
	close(gate)
}

// Slowly asks for a path and reads nothing of the answer.
func (g *Gateway) Slowly(path string) net.Conn {
	d := net.Dialer{}
	c, err := d.Dial("tcp", g.Addr)
	if err != nil {
		g.T.Error(err)
		return nil
	}
	g.T.Cleanup(func() { c.Close() })
	_, _ = io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: example.com\r\n\r\n")
	return c
}

// Says reports whether the gateway's member of Cache-Status has a parameter.
func (a Got) Says(parameter string) bool {
	for _, p := range strings.Split(a.Get("Cache-Status"), ";") {
		if strings.TrimSpace(p) == parameter {
			return true
		}
	}
	return false
}

// Hit reports whether an answer came from what is stored.
func (a Got) Hit() bool { return a.Says("hit") }

// Together sends the same request from several clients at once and returns what they get.
func (g *Gateway) Together(n int, method, path string, fields ...string) []Got {
	all := make([]Got, n)
	var wg sync.WaitGroup
	for i := range all {
		wg.Go(func() { all[i] = g.Ask(method, path, fields...) })
	}
	wg.Wait()
	return all
}

// TtlAbove reports whether an answer is fresh for more than so many seconds yet.
func (a Got) TtlAbove(seconds int) bool {
	var ttl int
	_, rest, _ := strings.Cut(a.Get("Cache-Status"), "ttl=")
	_, err := fmt.Sscan(strings.TrimSuffix(strings.Fields(rest + " ;")[0], ";"), &ttl)
	return err == nil && ttl > seconds
}

// Send sends a request with a body, whose length is not told beforehand when it is chunked.
func (g *Gateway) Send(method, path, body string, chunked bool, fields ...string) Got {
	var in io.Reader = strings.NewReader(body)
	if chunked {
		in = io.MultiReader(in)
	}
	req, err := http.NewRequest(method, "http://"+g.Addr+path, in)
	if err != nil {
		g.T.Error(err)
		return Got{}
	}
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ": ")
		req.Header.Add(name, value)
	}
	resp, err := PlainTransport.RoundTrip(req)
	if err != nil {
		g.T.Error(err)
		return Got{}
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		g.T.Error(err)
	}
	return Got{resp.StatusCode, string(b), resp.Header}
}

// Get asks once and returns the answer, its body read.
func (g *Gateway) Get(path string, fields ...string) *http.Response {
	g.T.Helper()
	req, err := http.NewRequest("GET", "http://"+g.Addr+path, nil)
	if err != nil {
		g.T.Fatal(err)
	}
	for i := 0; i < len(fields); i += 2 {
		req.Header.Set(fields[i], fields[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		g.T.Fatal(err)
	}
	resp.Body.Close()
	return resp
}

// Begin sends a request on a connection of its own.
func (g *Gateway) Begin(request string) *RawClient {
	g.T.Helper()
	c := DialRaw(g.T, g.Addr)
	c.Send(request)
	return c
}

// AskLines sends one GET whose fields go as they are, empty and repeated ones too.
func (g *Gateway) AskLines(path string, lines ...string) *Reply {
	g.T.Helper()
	k := DialRaw(g.T, g.Addr)
	k.Send("GET " + path + " HTTP/1.1\r\n" + HostLine + strings.Join(append(lines, ""), "\r\n") + "\r\n")
	return k.Answer("GET")
}

// Handshake connects to addr and returns the connection and the certificate shown.
func Handshake(addr string, conf *tls.Config) (*tls.Conn, *x509.Certificate, error) {
	c, err := tls.Dial("tcp", addr, conf)
	if err != nil {
		return nil, nil, err
	}
	return c, c.ConnectionState().PeerCertificates[0], nil
}

// Want asks for path and compares status and code.
func (g *Gateway) Want(stands, request string, status int, code string) {
	g.T.Helper()
	c := DialRaw(g.T, g.Addr)
	defer c.C.Close()
	go c.Send(request) // a large one may not be taken whole
	if a := c.Answer("GET"); a.StatusCode != status || a.Code() != code || a.Err != nil {
		g.T.Errorf("%s: %d %q %v, want %d %q", stands, a.StatusCode, a.Body, a.Err, status, code)
	}
}

// InOneGo sends n requests at once and returns how many had each status.
func (g *Gateway) InOneGo(n int, method string) map[int]int {
	g.T.Helper()
	var mu sync.Mutex
	statuses := map[int]int{}
	var clients sync.WaitGroup
	for range n {
		clients.Go(func() {
			req, err := http.NewRequest(method, "http://"+g.Addr+"/x", strings.NewReader("abc"))
			if err != nil {
				g.T.Error(err)
				return
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				g.T.Error(err)
				return
			}
			resp.Body.Close()
			mu.Lock()
			statuses[resp.StatusCode]++
			mu.Unlock()
		})
	}
	clients.Wait()
	return statuses
}

// DialWebSocket opens a WebSocket through the gateway.
func DialWebSocket(t testing.TB, addr string) (*websocket.Conn, context.Context) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*Patience)
	t.Cleanup(cancel)
	c, _, err := websocket.Dial(ctx, "ws://"+addr+"/ws", &websocket.DialOptions{Subprotocols: []string{"echo"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.CloseNow() })
	c.SetReadLimit(4 << 20)
	return c, ctx
}
