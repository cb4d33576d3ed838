package hop

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/penstock-edge/penstock/edge/e2e"
)

// abortPiece is how much the target reads at once: a whole number of tokens, in bytes.
const abortPiece = 2200

// abortOrigin answers with the token of the client who asked, over and over: at once, while it still reads, slowly,
// or when it has read all. It counts what comes in a body and is of another client.
type abortOrigin struct {
	asked   atomic.Int64
	foreign *atomic.Int64
}

// tokens repeats what is of one client n times.
func tokens(token string, n int) string { return strings.Repeat("tok="+token+";", n) }

func (o *abortOrigin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.asked.Add(1)
	token := r.Header.Get("X-Api-Key")
	answer := tokens(token, 1+rand.IntN(1<<rand.IntN(13)))
	w.Header().Set("X-Token", "tok="+token+";")
	if rand.IntN(2) == 0 {
		w.Header().Set("Content-Length", strconv.Itoa(len(answer)))
	}
	both := http.NewResponseController(w)
	read := func(pause time.Duration) {
		buf := make([]byte, abortPiece)
		for {
			n, err := io.ReadFull(r.Body, buf)
			o.foreign.Add(int64(e2e.ForeignIn(buf[:n], token)))
			if err != nil {
				return
			}
			if pause > 0 {
				time.Sleep(pause) // the target is slow
			}
		}
	}
	switch r.URL.Path {
	case "/early": // the answer is complete before the request is
		_ = both.EnableFullDuplex()      // HTTP/1.1 can
		_, _ = io.WriteString(w, answer) // the gateway may have gone
		_ = both.Flush()                 // likewise
		read(100 * time.Microsecond)
		return
	case "/both": // both ways at a time
		_ = both.EnableFullDuplex() // as above
		_, _ = io.WriteString(w, answer[:len(answer)/2])
		_ = both.Flush()
		read(0)
		_, _ = io.WriteString(w, answer[len(answer)/2:])
		return
	case "/slow":
		time.Sleep(time.Duration(rand.IntN(20)) * time.Millisecond)
		read(50 * time.Microsecond)
	case "/unread": // the server closes, or reads a little of what is left
	default:
		read(0)
	}
	_, _ = io.WriteString(w, answer)
}

// abortClient is one client with a token of its own that seldom waits for the end.
type abortClient struct {
	token   string
	dial    func() (net.Conn, error)
	foreign *atomic.Int64
	answers *atomic.Int64 // that came whole
}

// request returns the head of a request, and its body as it is framed.
func (k *abortClient) request() (method, head, body string) {
	path := []string{"/early", "/both", "/slow", "/unread", "/whole"}[rand.IntN(5)]
	method = []string{"GET", "POST", "POST", "POST", "PUT"}[rand.IntN(5)]
	head = method + " " + path + " HTTP/1.1\r\nHost: example.com\r\nX-Api-Key: " + k.token + "\r\n"
	data := tokens(k.token, 1+rand.IntN(1<<rand.IntN(14)))
	switch {
	case method == "GET":
		return method, head + "\r\n", ""
	case rand.IntN(3) == 0:
		return method, head + fmt.Sprintf("Content-Length: %d\r\n\r\n", len(data)), data
	}
	var b strings.Builder
	for len(data) > 0 {
		n := min(1+rand.IntN(1<<rand.IntN(14)), len(data))
		fmt.Fprintf(&b, "%x\r\n%s\r\n", n, data[:n])
		data = data[n:]
	}
	return method, head + "Transfer-Encoding: chunked\r\n\r\n", b.String() + "0\r\n\r\n"
}

// abort makes one request, or two, on a connection of its own, and leaves in the midst of the last one. It reports
// whether it has: an answer may have come whole before.
func (k *abortClient) abort() (bool, error) {
	c, err := k.dial()
	if errors.Is(err, io.EOF) {
		return false, nil // a handshake that took a slow machine too long
	}
	if err != nil {
		return false, err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(3 * e2e.Patience)) // fails only on a closed connection
	br := bufio.NewReader(c)
	if rand.IntN(4) == 0 && !k.exchange(c, br, 1, 1) {
		return false, nil
	}
	sends, reads := rand.Float64(), 0.0
	if rand.IntN(2) == 0 {
		sends, reads = 1, rand.Float64()
	} else if rand.IntN(2) == 0 {
		reads = 1
	}
	return !k.exchange(c, br, sends, reads), nil
}

// exchange sends a part of a request while it reads a part of its answer. It reports whether both were whole: if not,
// it has left.
func (k *abortClient) exchange(c net.Conn, br *bufio.Reader, sends, reads float64) bool {
	method, head, body := k.request()
	all := head + body
	done := make(chan bool, 1)
	go func() {
		whole := reads > 0 && k.read(br, method, reads)
		if reads > 0 && !whole {
			leave(c)
		}
		done <- whole
	}()
	all = all[:int(float64(len(all))*sends)]
	piece := len(all)
	if rand.IntN(4) == 0 {
		piece = len(all)/30 + 1 // for longer than the gateway waits for an upload whose answer is complete
	}
	var err error
	for len(all) > 0 && err == nil {
		n := min(piece, len(all))
		_, err = io.WriteString(c, all[:n])
		if all = all[n:]; len(all) > 0 {
			time.Sleep(4 * time.Millisecond) // the client is slow
		}
	}
	if sends < 1 || reads == 0 {
		time.Sleep(time.Duration(rand.IntN(4)) * time.Millisecond) // the target has begun, or not
		leave(c)
	}
	return <-done && err == nil && sends == 1
}

// leave closes the socket of c with FIN or RST.
func leave(c net.Conn) {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	if t, ok := c.(*net.TCPConn); ok && rand.IntN(2) == 0 {
		_ = t.SetLinger(0) // FIN does as well
	}
	c.Close()
}

// read takes a part of an answer and looks at every byte of it. It reports whether it was whole.
func (k *abortClient) read(br *bufio.Reader, method string, part float64) bool {
	resp, err := http.ReadResponse(br, &http.Request{Method: method})
	if err != nil {
		return false // of what the client has broken off
	}
	var fields, text bytes.Buffer
	_ = resp.Header.Write(&fields) // a buffer takes all
	most := int64(1) << 62
	if part < 1 {
		most = int64(part * float64(int(1)<<rand.IntN(17)))
	}
	_, err = io.CopyN(&text, resp.Body, most)
	k.foreign.Add(int64(e2e.ForeignIn(text.Bytes(), k.token) + e2e.ForeignIn(fields.Bytes(), k.token)))
	if err != io.EOF { //nolint:errorlint // never wrapped
		return false
	}
	k.answers.Add(1)
	return !resp.Close
}

// TestAborted: clients with tokens of their own break off their requests, over plain connections and TLS, while
// targets answer early, slowly, or before they have read: no client and no target gets a byte of another client.
func TestAborted(t *testing.T) {
	t.Parallel()
	clients, requests := 32, 2_000
	if _, long := e2e.Soak(t, 0); long {
		clients, requests = 64, 600_000
	}
	var aborted, answers, foreign atomic.Int64
	o := &abortOrigin{foreign: &foreign}
	dir, ca := t.TempDir(), e2e.NewAuthority(t, "test authority")
	ca.Write(dir, "one", ca.Issue(false, "one.example"))
	second := e2e.FreeAddr(t)
	g := e2e.Start(t, e2e.Simple(e2e.HTTPOrigin(t, o.ServeHTTP), strings.ReplaceAll(e2e.SecureListener(dir, "one"),
		"main\"\naddress = \"{{addr}}", "tls\"\naddress = \""+second)))
	trust := &tls.Config{ServerName: "one.example", RootCAs: ca.Pool}
	dials := []func() (net.Conn, error){
		func() (net.Conn, error) { return net.Dial("tcp", g.Addr) },
		func() (net.Conn, error) { return tls.Dial("tcp", second, trust) },
	}
	var all sync.WaitGroup
	for i := range clients {
		all.Go(func() {
			k := &abortClient{token: fmt.Sprintf("%06d", i), dial: dials[i%2], foreign: &foreign, answers: &answers}
			for aborted.Load() < int64(requests) {
				broken, err := k.abort()
				if err != nil {
					t.Error(err)
					return
				}
				if broken {
					aborted.Add(1)
				}
			}
		})
	}
	all.Wait()
	t.Logf("%d requests broken off by %d clients, %d came to the target, %d answers came whole, %d bytes of others",
		aborted.Load(), clients, o.asked.Load(), answers.Load(), foreign.Load())
	if foreign.Load() > 0 || answers.Load() == 0 || o.asked.Load() == 0 {
		t.Errorf("%d bytes of another client, %d whole answers", foreign.Load(), answers.Load())
	}
	for _, listener := range []string{"main", "tls"} {
		g.Counted(`penstock_connections{listener="`+listener+`"}`, 0)
	}
}
