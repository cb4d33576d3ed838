package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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

// patience bounds every wait for a byte; no test reaches it unless something hangs.
const patience = 10 * time.Second

// rawClient speaks HTTP by hand on one connection and keeps what it was sent, byte by byte.
type rawClient struct {
	t   testing.TB
	c   net.Conn
	r   *bufio.Reader
	got bytes.Buffer // all that was read from the connection since the last take
}

func dialRaw(t testing.TB, addr string) *rawClient {
	t.Helper()
	c, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return newRawClient(t, c)
}

func newRawClient(t testing.TB, c net.Conn) *rawClient {
	k := &rawClient{t: t, c: c}
	_ = c.SetDeadline(time.Now().Add(2 * patience)) // fails only on a closed connection
	k.r = bufio.NewReader(io.TeeReader(c, &k.got))
	return k
}

// send writes s; a gateway that has refused already may have closed, which the answer will tell.
func (k *rawClient) send(s string) {
	_, _ = io.WriteString(k.c, s)
}

// reply is one answer as a client understands it.
type reply struct {
	*http.Response
	body string
	err  error // of the body: why it is not whole
}

// code returns the stable code of an answer that the gateway made itself.
func (a *reply) code() string {
	var p struct {
		Code string `json:"code"`
	}
	_ = json.Unmarshal([]byte(a.body), &p) // another body has no code
	return p.Code
}

// answer reads one answer to a request with the given method.
func (k *rawClient) answer(method string) *reply {
	k.t.Helper()
	resp, err := http.ReadResponse(k.r, &http.Request{Method: method})
	if err != nil {
		k.t.Fatalf("no answer: %v; the last bytes were %q", err, k.tail())
	}
	b, err := io.ReadAll(resp.Body)
	return &reply{resp, string(b), err}
}

// final is answer behind interim answers.
func (k *rawClient) final(method string) *reply {
	k.t.Helper()
	for {
		if a := k.answer(method); a.StatusCode >= 200 || a.StatusCode == 101 {
			return a
		}
	}
}

// tail returns the last bytes that were read.
func (k *rawClient) tail() string {
	b := k.got.Bytes()
	return string(b[max(0, len(b)-500):])
}

// get sends a GET for path and reads its answer.
func (k *rawClient) get(path string) *reply {
	k.t.Helper()
	k.send("GET " + path + " HTTP/1.1\r\nHost: example.com\r\n\r\n")
	return k.answer("GET")
}

// end reads until the connection ends and returns what came before that. err is nil after a FIN.
func (k *rawClient) end() (string, error) {
	k.t.Helper()
	b, err := io.ReadAll(k.r)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		k.t.Fatalf("the connection was not closed; the last bytes were %q", k.tail())
	}
	return string(b), err
}

// closed fails the test unless the connection ends without another byte.
func (k *rawClient) closed(what string) {
	k.t.Helper()
	if rest, err := k.end(); rest != "" || err != nil {
		k.t.Errorf("%s: before the end of the connection: %q, %v", what, rest, err)
	}
}

// open fails the test unless the connection serves another request.
func (k *rawClient) open(what, path string) {
	k.t.Helper()
	k.send("GET " + path + " HTTP/1.1\r\nHost: example.com\r\n\r\n")
	resp, err := http.ReadResponse(k.r, &http.Request{Method: "GET"})
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

// masked replaces them.
func masked(head string) string { return volatile.ReplaceAllString(head, "$1: *\r") }

// recorded is one request as the origin got it.
type recorded struct {
	conn    int    // which connection, from 1
	head    string // raw, with its empty line
	body    string
	trailer string // raw lines
	whole   bool   // the body's framing was seen to end
}

func (r *recorded) path() string { return strings.Fields(r.head)[1] }

// recorder is an origin that keeps all it gets.
type recorder struct {
	addr string

	mu    sync.Mutex
	conns int
	list  []*recorded
	live  int // connections open
}

// record starts an origin that answers each whole request with what answer returns; "" closes the connection.
// answer nil: 200 with the body "ok".
func record(t testing.TB, answer func(r *recorded, c net.Conn) string) *recorder {
	t.Helper()
	rec := &recorder{}
	if answer == nil {
		answer = func(*recorded, net.Conn) string { return string(ok("ok")) }
	}
	rec.addr = origin(t, func(c net.Conn) {
		rec.mu.Lock()
		rec.conns++
		rec.live++
		id := rec.conns
		rec.mu.Unlock()
		defer func() {
			rec.mu.Lock()
			rec.live--
			rec.mu.Unlock()
		}()
		br := bufio.NewReader(c)
		for {
			r := rec.read(br, id)
			if r == nil || !r.whole {
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
func (rec *recorder) read(br *bufio.Reader, id int) *recorded {
	r := &recorded{conn: id}
	for !strings.HasSuffix(r.head, "\r\n\r\n") {
		line, err := br.ReadString('\n')
		r.head += line
		if err != nil && r.head == "" {
			return nil
		}
		if err != nil {
			break
		}
	}
	rec.mu.Lock()
	rec.list = append(rec.list, r)
	rec.mu.Unlock()
	body, trailer, err := readBody(br, r.head)
	rec.mu.Lock()
	defer rec.mu.Unlock()
	r.body, r.trailer, r.whole = string(body), trailer, err == nil
	return r
}

// readBody reads the body that head announces, and its trailer lines.
func readBody(br *bufio.Reader, head string) (body []byte, trailer string, err error) {
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

// requests returns a copy of what has come so far.
func (rec *recorder) requests() []recorded {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	list := make([]recorded, len(rec.list))
	for i, r := range rec.list {
		list[i] = *r
	}
	return list
}

// of returns the requests for path.
func (rec *recorder) of(path string) (list []recorded) {
	for _, r := range rec.requests() {
		if r.path() == path {
			list = append(list, r)
		}
	}
	return list
}

// connections returns how many were opened and how many of them still are.
func (rec *recorder) connections() (opened, live int) {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	return rec.conns, rec.live
}

// tells are the lines that the gateway adds to every request, for a client on the loopback interface.
func tells(host string) []string {
	return []string{"X-Forwarded-For: 127.0.0.1", "X-Forwarded-Proto: http", "X-Forwarded-Host: " + host,
		"Via: 1.1 penstock", "X-Request-Id: *"}
}

// ok is an answer with a body of known length.
func ok(body string) []byte {
	return []byte("HTTP/1.1 200 OK\r\nDate: Mon, 23 Nov 2026 10:00:00 GMT\r\nContent-Type: text/plain\r\n" +
		"Content-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body)
}

// chunkedAnswer frames body in pieces.
func chunkedAnswer(body string, piece int) []byte {
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
