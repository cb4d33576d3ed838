package origin

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// client is a connection to an origin that runs until the test ends.
type client struct {
	net.Conn
	r *bufio.Reader
	t *testing.T
}

func start(t *testing.T) *client {
	t.Helper()
	s, err := Listen("127.0.0.1:0", false)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(s.Serve)
	t.Cleanup(func() { s.Close(); wg.Wait() })
	return dial(t, s.Addr())
}

func dial(t *testing.T, addr string) *client {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &client{c, bufio.NewReader(c), t}
}

func (c *client) send(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		c.t.Fatal(err)
	}
}

// want reads an answer with a body of size bytes.
func (c *client) want(size int) {
	c.t.Helper()
	r, err := http.ReadResponse(c.r, nil)
	if err != nil {
		c.t.Fatalf("no answer of %d bytes: %v", size, err)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != 200 || r.ContentLength != int64(size) || len(body) != size {
		c.t.Fatalf("want %d bytes: status %d, length %d, %d bytes, %v", size, r.StatusCode, r.ContentLength, len(body), err)
	}
	if pattern := bytes.Repeat([]byte("0123456789abcde\n"), size/16+1)[:size]; !bytes.Equal(body, pattern) {
		c.t.Errorf("the %d bytes are others", size)
	}
}

// closed wants nothing more to come.
func (c *client) closed() {
	c.t.Helper()
	if b, err := c.r.ReadByte(); err == nil {
		c.t.Errorf("want the connection closed, got %q", b)
	}
}

func get(path string) string { return "GET " + path + " HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\n" }

func TestSizes(t *testing.T) {
	c := start(t)
	f := func(path string, size int) {
		t.Helper()
		c.send(get(path))
		c.want(size)
	}
	f("/0", 0)
	f("/1", 1)
	f("/128", 128)
	f("/r/4711/10240", 10240)
	f("/10485760", 10<<20)
	f("/128", 128)
	f("/r/1/0", 0)
}

func TestPipelined(t *testing.T) {
	c := start(t)
	var all strings.Builder
	for i := range 200 {
		all.WriteString(get(fmt.Sprint("/", i)))
	}
	c.send(all.String())
	for i := range 200 {
		c.want(i)
	}
	for i, b := range get("/77") { // and one byte by byte
		c.send(string(b))
		if i == 10 {
			other := dial(t, c.RemoteAddr().String()) // which others need not wait for
			other.send(get("/3"))
			other.want(3)
		}
	}
	c.want(77)
}

func TestBodies(t *testing.T) {
	c := start(t)
	post := func(path string, n int) string {
		return fmt.Sprintf("POST %s HTTP/1.1\r\ncontent-length: %d\r\nHost: x\r\n\r\n", path, n)
	}
	body := func(n int) string { return strings.Repeat("GET /9 HTTP/1.1\r\n\r\n", n/19+1)[:n] } // to be skipped
	c.send(post("/5", 0))
	c.want(5)
	c.send(post("/5", 1000) + body(1000))
	c.want(5)
	c.send(post("/6", 3<<20) + body(3<<20) + get("/7"))
	c.want(6)
	c.want(7)
	c.send(post("/8", 100) + body(60))
	other := dial(t, c.RemoteAddr().String())
	other.send(get("/3"))
	other.want(3) // so the origin has had the time to read the half
	c.send(body(40) + post("/9", 10) + body(10))
	c.want(8)
	c.want(9)
}

func TestClose(t *testing.T) {
	c := start(t)
	c.send("GET /300 HTTP/1.1\r\nHost: x\r\nConnection: Close\r\n\r\n")
	c.want(300)
	c.closed()
	c = dial(t, c.RemoteAddr().String())
	c.send("GET /9000000 HTTP/1.1\r\nconnection: close\r\n\r\n")
	c.want(9000000)
	c.closed()
}

func TestMalformed(t *testing.T) {
	first := start(t)
	f := func(text string) {
		t.Helper()
		c := dial(t, first.RemoteAddr().String())
		io.WriteString(c, text) // the origin may close before all is sent
		c.closed()
	}
	f("\r\n\r\n")
	f("GET\r\n\r\n")
	f("GET /5\r\n\r\n")
	f(get("/"))
	f(get("/x"))
	f(get("/5x"))
	f(get("/5?a=b"))
	f(get("/-5"))
	f(get("/67108865")) // more than it gives
	f(get("/99999999999999999999"))
	f("POST /5 HTTP/1.1\r\nContent-Length: x\r\n\r\n")
	f("POST /5 HTTP/1.1\r\nContent-Length: -1\r\n\r\n")
	f("POST /5 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
	f("GET /5 HTTP/1.1\r\nX: " + strings.Repeat("x", maxHead) + strings.Repeat("y", 1000))
	first.send(get("/5")) // others notice nothing
	first.want(5)
}

// A client that does not read stops nobody else, and gets everything in the end, also the answers to what it has
// asked meanwhile.
func TestSlowReader(t *testing.T) {
	c := start(t)
	const size = 20 << 20 // more than the sockets' buffers hold
	c.send(get(fmt.Sprint("/", size)) + get("/11"))
	c.send(get("/12"))
	for range 3 {
		other := dial(t, c.RemoteAddr().String())
		other.send(get("/1000"))
		other.want(1000)
	}
	c.send(get(fmt.Sprint("/", size)) + get("/13"))
	for _, n := range []int{size, 11, 12, size, 13} {
		c.want(n)
	}
}

// A client that leaves in the middle of an answer leaves nothing behind.
func TestClientLeaves(t *testing.T) {
	c := start(t)
	for range 20 {
		other := dial(t, c.RemoteAddr().String())
		other.send(get("/20000000"))
		other.r.ReadByte()
		other.Close()
	}
	c.send(get("/5"))
	c.want(5)
}

func TestListenRefuses(t *testing.T) {
	c := start(t)
	f := func(addr string) {
		t.Helper()
		if s, err := Listen(addr, false); err == nil {
			t.Errorf("listens on %s", s.Addr())
		}
	}
	f("")
	f("localhost:80")
	f("[::1]:0")
	f("127.0.0.1:99999")
	f(c.RemoteAddr().String()) // in use
}
