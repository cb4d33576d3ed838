package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httputil"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Patience bounds every wait for a byte; no test reaches it unless something hangs.
const Patience = 30 * time.Second

// RawClient speaks HTTP by hand on one connection and keeps what it was sent, byte by byte.
type RawClient struct {
	t   testing.TB
	C   net.Conn
	R   *bufio.Reader
	Got bytes.Buffer // all that was read from the connection since the last take
}

// DialRaw connects to addr.
func DialRaw(t testing.TB, addr string) *RawClient {
	t.Helper()
	c, err := net.DialTimeout("tcp", addr, Patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return NewRawClient(t, c)
}

// NewRawClient is a client on a connection.
func NewRawClient(t testing.TB, c net.Conn) *RawClient {
	k := &RawClient{t: t, C: c}
	_ = c.SetDeadline(time.Now().Add(2 * Patience)) // fails only on a closed connection
	k.R = bufio.NewReader(io.TeeReader(c, &k.Got))
	return k
}

// Send writes s; a gateway that has refused already may have closed, which the answer will tell.
func (k *RawClient) Send(s string) {
	_, _ = io.WriteString(k.C, s)
}

// Reply is one answer as a client understands it.
type Reply struct {
	*http.Response
	Body string
	Err  error // of the body: why it is not whole
}

// Code returns the stable code of an answer that the gateway made itself.
func (a *Reply) Code() string {
	var p struct {
		Code string `json:"code"`
	}
	_ = json.Unmarshal([]byte(a.Body), &p) // another body has no code
	return p.Code
}

// Answer reads one answer to a request with the given method.
func (k *RawClient) Answer(method string) *Reply {
	k.t.Helper()
	resp, err := http.ReadResponse(k.R, &http.Request{Method: method})
	if err != nil {
		k.t.Fatalf("no answer: %v; the last bytes were %q", err, k.tail())
	}
	b, err := io.ReadAll(resp.Body)
	return &Reply{resp, string(b), err}
}

// Final is answer behind interim answers.
func (k *RawClient) Final(method string) *Reply {
	k.t.Helper()
	for {
		if a := k.Answer(method); a.StatusCode >= 200 || a.StatusCode == 101 {
			return a
		}
	}
}

// tail returns the last bytes that were read.
func (k *RawClient) tail() string {
	b := k.Got.Bytes()
	return string(b[max(0, len(b)-500):])
}

// Get sends a GET for path and reads its answer.
func (k *RawClient) Get(path string) *Reply {
	k.t.Helper()
	k.Send("GET " + path + " HTTP/1.1\r\nHost: example.com\r\n\r\n")
	return k.Answer("GET")
}

// End reads until the connection ends and returns what came before that. err is nil after a FIN.
func (k *RawClient) End() (string, error) {
	k.t.Helper()
	b, err := io.ReadAll(k.R)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		k.t.Fatalf("the connection was not closed; the last bytes were %q", k.tail())
	}
	return string(b), err
}

// Closed fails the test unless the connection ends without another byte.
func (k *RawClient) Closed(what string) {
	k.t.Helper()
	if rest, err := k.End(); rest != "" || err != nil {
		k.t.Errorf("%s: before the end of the connection: %q, %v", what, rest, err)
	}
}

// Open fails the test unless the connection serves another request.
func (k *RawClient) Open(what, path string) {
	k.t.Helper()
	k.Send("GET " + path + " HTTP/1.1\r\nHost: example.com\r\n\r\n")
	resp, err := http.ReadResponse(k.R, &http.Request{Method: "GET"})
	if err != nil {
		k.t.Errorf("%s: the connection serves no second request: %v", what, err)
		return
	}
	if b, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != 200 {
		k.t.Errorf("%s: second request: %d %q, %v", what, resp.StatusCode, b, err)
	}
}

// volatile are the values that differ from run to run.
var volatile = regexp.MustCompile(`(?m)^(Date|X-Request-Id): .*\r$`)

// Masked replaces them.
func Masked(head string) string { return volatile.ReplaceAllString(head, "$1: *\r") }

// Recorded is one request as the origin got it.
type Recorded struct {
	conn    int    // which connection, from 1
	Head    string // raw, with its empty line
	Body    string
	Trailer string // raw lines
	Whole   bool   // the body's framing was seen to end
}

// Path returns the target of the request.
func (r *Recorded) Path() string { return strings.Fields(r.Head)[1] }

// Recorder is an origin that keeps all it gets.
type Recorder struct {
	Addr string

	Mu    sync.Mutex
	conns int
	List  []*Recorded
	live  int // connections open
}

// Record starts an origin that answers each whole request with what answer returns; "" closes the connection.
// answer nil: 200 with the body "ok".
func Record(t testing.TB, answer func(r *Recorded, c net.Conn) string) *Recorder {
	t.Helper()
	rec := &Recorder{}
	if answer == nil {
		answer = func(*Recorded, net.Conn) string { return string(OK("ok")) }
	}
	rec.Addr = Origin(t, func(c net.Conn) {
		rec.Mu.Lock()
		rec.conns++
		rec.live++
		id := rec.conns
		rec.Mu.Unlock()
		defer func() {
			rec.Mu.Lock()
			rec.live--
			rec.Mu.Unlock()
		}()
		br := bufio.NewReader(c)
		for {
			r := rec.read(br, id)
			if r == nil || !r.Whole {
				return
			}
			a := answer(r, c)
			if a == "" {
				return
			}
			if _, err := io.WriteString(c, a); err != nil {
				return
			}
		}
	})
	return rec
}

// read takes one request off br; nil when none comes.
func (rec *Recorder) read(br *bufio.Reader, id int) *Recorded {
	r := &Recorded{conn: id}
	for !strings.HasSuffix(r.Head, "\r\n\r\n") {
		line, err := br.ReadString('\n')
		r.Head += line
		if err != nil && r.Head == "" {
			return nil
		}
		if err != nil {
			break
		}
	}
	rec.Mu.Lock()
	rec.List = append(rec.List, r)
	rec.Mu.Unlock()
	body, trailer, err := ReadBody(br, r.Head)
	rec.Mu.Lock()
	defer rec.Mu.Unlock()
	r.Body, r.Trailer, r.Whole = string(body), trailer, err == nil
	return r
}

// ReadBody reads the body that head announces, and its trailer lines.
func ReadBody(br *bufio.Reader, head string) (body []byte, trailer string, err error) {
	low := strings.ToLower(head)
	if strings.Contains(low, "\r\ntransfer-encoding: chunked\r\n") {
		if body, err = io.ReadAll(httputil.NewChunkedReader(br)); err != nil {
			return body, "", err
		}
		for {
			line, err := br.ReadString('\n')
			if err != nil {
				return body, trailer, io.ErrUnexpectedEOF
			}
			if line == "\r\n" {
				return body, trailer, nil
			}
			trailer += line
		}
	}
	if _, after, found := strings.Cut(low, "\r\ncontent-length: "); found {
		digits, _, _ := strings.Cut(after, "\r")
		n, err := strconv.Atoi(digits)
		if err != nil {
			return nil, "", err
		}
		body = make([]byte, n)
		n, err = io.ReadFull(br, body)
		return body[:n], "", err
	}
	return nil, "", nil
}

// Requests returns a copy of what has come so far.
func (rec *Recorder) Requests() []Recorded {
	rec.Mu.Lock()
	defer rec.Mu.Unlock()
	list := make([]Recorded, len(rec.List))
	for i, r := range rec.List {
		list[i] = *r
	}
	return list
}

// Of returns the requests for path.
func (rec *Recorder) Of(path string) (list []Recorded) {
	for _, r := range rec.Requests() {
		if r.Path() == path {
			list = append(list, r)
		}
	}
	return list
}

// Connections returns how many were opened and how many of them still are.
func (rec *Recorder) Connections() (opened, live int) {
	rec.Mu.Lock()
	defer rec.Mu.Unlock()
	return rec.conns, rec.live
}

// AddedFields are the lines that the gateway adds to every request, for a client on the loopback interface.
func AddedFields(host string) []string {
	return []string{"X-Forwarded-For: 127.0.0.1", "X-Forwarded-Proto: http", "X-Forwarded-Host: " + host,
		"Via: 1.1 penstock", "X-Request-Id: *"}
}

// OK is an answer with a body of known length.
func OK(body string) []byte {
	return []byte("HTTP/1.1 200 OK\r\nDate: Mon, 23 Nov 2026 10:00:00 GMT\r\nContent-Type: text/plain\r\n" +
		"Content-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body)
}

// ChunkedAnswer frames body in pieces.
func ChunkedAnswer(body string, piece int) []byte {
	var b bytes.Buffer
	b.WriteString("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
	for len(body) > 0 {
		n := min(piece, len(body))
		fmt.Fprintf(&b, "%x\r\n%s\r\n", n, body[:n])
		body = body[n:]
	}
	b.WriteString("0\r\n\r\n")
	return b.Bytes()
}

// Sample returns n bytes that repeat nowhere, the same for the same n.
func Sample(n int) []byte {
	b := make([]byte, n)
	var seed [32]byte
	seed[0], seed[1], seed[2] = byte(n), byte(n>>8), byte(n>>16)
	_, _ = rand.NewChaCha8(seed).Read(b) // never fails
	return b
}

// GetPath returns the head of a GET.
func GetPath(path string) string { return Lines("GET " + path + " HTTP/1.1") }

// HostLine is the field that Lines begins with.
const HostLine = "Host: example.com\r\n"

// Lines returns a head with the given request line and fields behind Host.
func Lines(first string, fields ...string) string {
	return first + "\r\n" + HostLine + strings.Join(append(fields, "", ""), "\r\n")
}

// PostWith returns a POST whose body of 3 bytes is framed by fields.
func PostWith(fields ...string) string { return Lines("POST /x HTTP/1.1", fields...) + "abc" }
