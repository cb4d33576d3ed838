package h1

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/config"
	"github.com/penstock-edge/penstock/edge/config/clienttls"
	"github.com/penstock-edge/penstock/edge/lib/clock"
	"github.com/penstock-edge/penstock/edge/lib/proxyproto"
	"github.com/penstock-edge/penstock/edge/lib/splice"
	"github.com/penstock-edge/penstock/pool/resolve"
	"github.com/penstock-edge/penstock/pool/transport"
)

// framings are good answers, one of each way in which a body is framed.
var framings = []struct {
	answer, method, body string
	ends                 bool // the target closes behind it
}{
	{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "GET", "hello", false},
	{"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "GET", "ok", false},
	{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nhel\r\n2\r\nlo\r\n0\r\nSum: 5\r\n\r\n", "GET", "hello", false},
	{"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", "GET", "", false},
	{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "HEAD", "", false},
	{"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello", "GET", "hello", true},
	{"HTTP/1.1 200 OK\r\n\r\nhello", "GET", "hello", true},
}

// hearAll is do for a client in a loop; the connection has been opened before.
func hearAll(t *testing.T, tg *Target, s *transport.Settings, c *resumed, method string) (d done, x *edge.Exchange) {
	t.Helper()
	x = loopRequest(c)
	x.Method, x.OutLen = []byte(method), -1
	a := tg.Claim(x, s)
	a.X, a.Host = x, "app.internal"
	if !a.Starter.Start(x) {
		t.Fatal("the request was not sent")
	}
	_, d.f = c.receive(a)
	if d.f == nil && x.Out != nil {
		b, err := io.ReadAll(x.Out)
		d.body = string(b)
		if err != nil && !errors.As(err, &d.f) {
			t.Errorf("the body fails with %v", err)
		}
		x.Out.Close()
	}
	open := tg.Open()
	a.Stream.Release(d.f)
	d.kept = tg.Open() == open
	return d, x
}

// TestInPieces: however an answer is cut on its way, it is the same one.
func TestInPieces(t *testing.T) {
	for _, f := range framings {
		for _, size := range []int{1, 2, 3, 7, 20} {
			tg, s := script(t, func(c net.Conn, r *bufio.Reader) {
				for readHead(r) != "" {
					for rest := f.answer; rest != ""; {
						n := min(size, len(rest))
						_, _ = io.WriteString(c, rest[:n])
						rest = rest[n:]
					}
					if f.ends {
						return
					}
				}
			}), settings(1)
			for range 3 { // on one connection, if it can be kept
				d := do(t, tg, s, request(f.method))
				if d.f != nil || d.body != f.body || d.kept == f.ends {
					t.Fatalf("%q by %d: %v, %q, kept %v", f.answer, size, d.f, d.body, d.kept)
				}
			}
			tg.Retire(clock.Now())
		}
	}
}

// TestBrokenAtEveryByte: a target that dies within its answer has given none, or one that is cut: never a whole one, and
// never one that is another's. Its connection is not used again.
func TestBrokenAtEveryByte(t *testing.T) {
	loop := looped(t)
	for _, f := range framings {
		for cut := range len(f.answer) {
			serve := func(warm bool) *Target {
				return script(t, func(c net.Conn, r *bufio.Reader) {
					if warm {
						readHead(r)
						_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
					}
					readHead(r)
					_, _ = io.WriteString(c, f.answer[:cut])
				})
			}
			check := func(how string, d done) {
				t.Helper()
				whole := f.ends && !strings.Contains(f.answer, "Length") && strings.Contains(f.answer[:cut], "\r\n\r\n")
				switch {
				case d.kept:
					t.Errorf("%q, %s: the connection is kept", f.answer[:cut], how)
				case whole: // where only the end of the connection ends the body, nobody can know
					if d.f != nil || !strings.HasSuffix(f.answer[:cut], d.body) {
						t.Errorf("%q, %s: %v, %q", f.answer[:cut], how, d.f, d.body)
					}
				case d.f == nil:
					t.Errorf("%q, %s: taken for whole, with the body %q", f.answer[:cut], how, d.body)
				case d.f.Code != "upstream_reset" && d.f.Code != "upstream_truncated" && d.f.Code != "upstream_protocol":
					t.Errorf("%q, %s: %v", f.answer[:cut], how, d.f)
				case !strings.HasPrefix(f.body, d.body):
					t.Errorf("%q, %s: the body %q", f.answer[:cut], how, d.body)
				case cut == 0 && d.f == edge.UpstreamTruncated, cut > 0 && d.f == edge.UpstreamStale:
					t.Errorf("%q, %s: %v says that it may be repeated, or not", f.answer[:cut], how, d.f)
				}
			}
			check("in a goroutine", do(t, serve(false), settings(1), request(f.method)))
			if cut%3 == 0 {
				tg, s := serve(true), settings(1)
				warm(t, tg, s, loop)
				d, _ := hearAll(t, tg, s, loop, f.method)
				check("in a loop", d)
			}
		}
	}
}

// hints is a client that takes interim answers.
type hints struct {
	stillThere
	heads []string
}

func (h *hints) Interim(head []byte) { h.heads = append(h.heads, string(head)) }

// TestInterims: which interim answers reach a client, and how many there may be.
func TestInterims(t *testing.T) {
	const hint, end = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nConnection: x\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
	f := func(name, answer string, want int, fault *edge.Fault, change func(x *edge.Exchange, a *transport.Attempt)) {
		t.Helper()
		tg, s, x, client := script(t, saying(answer, false)), settings(1), request("GET"), &hints{}
		x.Conn, x.Minor = client, 1
		a := tg.Claim(x, s)
		a.X = x
		change(x, a)
		f := a.Stream.RoundTrip(x)
		a.Stream.Release(f)
		if f != fault || len(client.heads) != want {
			t.Errorf("%s: %v, and the client got %q", name, f, client.heads)
		}
		for _, h := range client.heads {
			if strings.Contains(h, "Connection") {
				t.Errorf("%s: %q has what is this hop's", name, h)
			}
		}
		tg.Retire(clock.Now())
	}
	nothing := func(*edge.Exchange, *transport.Attempt) {}
	f("hints", hint+hint+end, 2, nil, nothing)
	f("the most", strings.Repeat(hint, maxInterim)+end, maxInterim, nil, nothing)
	f("one more", strings.Repeat(hint, maxInterim+1)+end, maxInterim, edge.UpstreamProtocol, nothing)
	f("signs of work at once", strings.Repeat("HTTP/1.1 102 Processing\r\n\r\n", maxInterim+2)+end, maxInterim+1, edge.UpstreamProtocol, nothing)
	f("a 100 that nobody waits for", "HTTP/1.1 100 Continue\r\n\r\n"+end, 0, nil, nothing)
	f("HTTP/1.0", hint+end, 0, nil, func(x *edge.Exchange, _ *transport.Attempt) { x.Minor = 0 })
	f("of a race", hint+end, 0, nil, func(_ *edge.Exchange, a *transport.Attempt) { a.Raced = true })
}

// TestUploadBreaks: why the body of a request could not be sent is what the client is told, and never that of the
// target.
func TestUploadBreaks(t *testing.T) {
	f := func(name string, in edge.Body, length int64, want *edge.Fault) {
		t.Helper()
		tg := script(t, func(_ net.Conn, r *bufio.Reader) { _, _ = io.Copy(io.Discard, r) })
		x := request("POST")
		x.In, x.InLen = in, length
		d := do(t, tg, settings(1), x)
		if d.f != want || d.kept || tg.Open() != 0 {
			t.Errorf("%s: %v, kept %v", name, d.f, d.kept)
		}
	}
	for _, length := range []int64{100, -1} {
		f("too large", edge.ReaderBody{R: io.MultiReader(strings.NewReader("some"), failing{edge.BodyTooLarge})}, length, edge.BodyTooLarge)
		f("a client that leaves", edge.ReaderBody{R: failing{edge.ClientGone}}, length, edge.ClientGone)
		f("a panic", edge.ReaderBody{R: failing{nil}}, length, edge.Internal)
	}
}

// failing fails when it is read; without an error it panics.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) {
	if f.err == nil {
		panic("a filter around the body")
	}
	return 0, f.err
}

// TestBothWays: a target may answer while it still reads, and both bodies arrive whole; the connection is kept only then.
func TestBothWays(t *testing.T) {
	tg := script(t, func(c net.Conn, r *bufio.Reader) {
		for readHead(r) != "" {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
			for {
				size, err := r.ReadString('\n')
				if err != nil {
					return
				}
				data, _ := r.ReadString('\n')
				if size == "0\r\n" {
					break
				}
				_, _ = io.WriteString(c, size+data)
			}
			_, _ = io.WriteString(c, "0\r\n\r\n")
		}
	})
	s := settings(1)
	for range 5 {
		in, feed := io.Pipe()
		x := request("POST")
		x.In, x.InLen = edge.ReaderBody{R: in}, -1
		a := tg.Claim(x, s)
		a.X = x
		if f := a.Stream.RoundTrip(x); f != nil {
			t.Fatal(f, x.Cause)
		}
		b := make([]byte, 100)
		for i := range 20 {
			line := fmt.Sprint("line ", i)
			_, _ = io.WriteString(feed, line)
			if n, err := io.ReadFull(x.Out, b[:len(line)]); err != nil || string(b[:n]) != line {
				t.Fatalf("%q of %q came back: %v", b[:n], line, err)
			}
		}
		feed.Close()
		if rest, err := io.ReadAll(x.Out); err != nil || len(rest) > 0 {
			t.Errorf("%q behind the last line: %v", rest, err)
		}
		x.Out.Close()
		a.Stream.Release(nil)
		if n := tg.Open(); n != 1 {
			t.Fatalf("%d connections", n)
		}
	}
}

// TestProxyHeaderOnce: the PROXY header stands before the first request of a connection, and before no other one.
func TestProxyHeaderOnce(t *testing.T) {
	for _, v := range []proxyproto.Version{proxyproto.V1, proxyproto.V2} {
		x := from("192.0.2.1:1000", "")
		src, dst := x.ClientEnds()
		header := string(v.Append(nil, src, dst))
		got := make(chan string, 4)
		plain := script(t, func(c net.Conn, r *bufio.Reader) {
			begin := make([]byte, len(header))
			_, _ = io.ReadFull(r, begin)
			got <- string(begin)
			for head := readHead(r); head != ""; head = readHead(r) {
				got <- head[:4]
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
			}
		})
		tg := New(common(), plain.address, resolve.New(plain.address, nil), v, 4)
		for range 2 {
			x = from("192.0.2.1:1000", "")
			x.Plan, x.Method, x.OutPath = &edge.Plan{}, []byte("GET"), []byte("/")
			if d := do(t, tg, settings(1), x); d.f != nil || !d.kept {
				t.Fatalf("%v, kept %v", d.f, d.kept)
			}
		}
		if a, b, c := <-got, <-got, <-got; a != header || b != "GET " || c != "GET " {
			t.Errorf("the target got %q, %q and %q", a, b, c)
		}
		tg.Retire(clock.Now())
	}
}

// certificate makes a certificate for a name, and writes it to a file.
func certificate(t *testing.T, name string) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	like := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{name}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, like, like, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), name+".pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, file
}

// TestTLSNames: under which name a target is asked, and that one which is somebody else gets no request.
func TestTLSNames(t *testing.T) {
	cert, ca := certificate(t, "app.internal")
	asked := make(chan string, 1)
	server := &tls.Config{GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
		asked <- h.ServerName
		return &tls.Config{Certificates: []tls.Certificate{cert}}, nil
	}}
	f := func(keys, name string, want *edge.Fault) {
		t.Helper()
		tg := script(t, func(c net.Conn, _ *bufio.Reader) {
			client := tls.Server(c, server)
			r := bufio.NewReader(client)
			for readHead(r) != "" {
				if want != nil {
					t.Errorf("%s: a target that is not to be believed was asked", keys)
				}
				_, _ = io.WriteString(client, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
			}
		})
		file := config.Parse("t.toml", []byte("[tls]\nenabled = true\n"+keys), config.Options{})
		var conf struct {
			TLS clienttls.Settings `toml:"tls"`
		}
		file.Root.Decode(&conf)
		conf.TLS.Load(file.Root.Child("tls"), "http/1.1")
		s := settings(1)
		s.TLS = &conf.TLS
		for i := range 2 {
			x := request("GET")
			d := do(t, tg, s, x)
			if d.f != want || d.kept != (want == nil) || want == nil && d.body != "ok" {
				t.Errorf("%s: %v (%v), %q, kept %v", keys, d.f, x.Cause, d.body, d.kept)
			}
			if want == nil && i > 0 {
				break // on the same connection
			}
			if got := <-asked; got != name {
				t.Errorf("%s: asked for %q, want %q", keys, got, name)
			}
		}
		tg.Retire(clock.Now())
	}
	trust := fmt.Sprintf("ca = %q\n", ca)
	f(trust+"server_name = \"app.internal\"\n", "app.internal", nil)
	f(trust+"server_name = \"other.internal\"\n", "other.internal", edge.UpstreamTLS)
	f(trust, "", edge.UpstreamTLS) // its address is not in the certificate
	f("server_name = \"app.internal\"\n", "app.internal", edge.UpstreamTLS)
	f("server_name = \"app.internal\"\ninsecure_skip_verify = true\n", "app.internal", nil)
}

// TestSpliced: a body that is moved from socket to pipe is the same, and one that breaks off is not taken for whole.
func TestSpliced(t *testing.T) {
	long := strings.Repeat("0123456789abcdef", 16<<10)
	f := func(says, comes int, want *edge.Fault) {
		t.Helper()
		tg, s, x := script(t, func(c net.Conn, r *bufio.Reader) {
			readHead(r)
			_, _ = fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", says, long[:comes])
		}), settings(1), request("GET")
		a := tg.Claim(x, s)
		a.X = x
		if f := a.Stream.RoundTrip(x); f != nil {
			t.Fatal(f)
		}
		got, end := drain(t, x.Out)
		x.Out.Close()
		var fault *edge.Fault
		if errors.As(end, &fault); fault != want || got != long[:comes] || want == nil && !errors.Is(end, io.EOF) {
			t.Errorf("%d of %d bytes: %d have come, and then %v", comes, says, len(got), end)
		}
		a.Stream.Release(fault)
	}
	f(len(long), len(long), nil)
	f(len(long), 100_000, edge.UpstreamTruncated)
}

// drain takes a body by a pipe where it can, and reads the rest.
func drain(t *testing.T, out edge.Body) (got string, end error) {
	t.Helper()
	p, err := splice.Acquire()
	if err != nil {
		t.Fatal(err)
	}
	defer p.Release()
	addr, sink := sinkFor(t)
	to, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	raw, _ := to.(*net.TCPConn).SyscallConn()
	buf, spliced := make([]byte, 1000), 0
	for end == nil {
		var n int
		if n, end = out.Splice(p, 1<<20); errors.Is(end, edge.ErrNoSplice) {
			n, end = out.Read(buf)
			_, _ = to.Write(buf[:n])
			continue
		}
		for spliced += n; p.Len() > 0; {
			if _, err := p.Drain(raw); err != nil {
				t.Fatal(err)
			}
		}
	}
	to.Close()
	if spliced == 0 {
		t.Error("nothing went through the pipe")
	}
	return <-sink, end
}

// sinkFor accepts one connection and returns what comes on it.
func sinkFor(t *testing.T) (string, chan string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	all := make(chan string, 1)
	var wg sync.WaitGroup
	wg.Go(func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		b, _ := io.ReadAll(c)
		all <- string(b)
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return l.Addr().String(), all
}

// TestOffered: the protocol that a target chooses must be one that the client has named.
func TestOffered(t *testing.T) {
	f := func(list, chosen string, want bool) {
		t.Helper()
		if offered([]byte(list), []byte(chosen)) != want {
			t.Errorf("%q of %q: want %v", chosen, list, want)
		}
	}
	f("websocket", "websocket", true)
	f("websocket", "WebSocket", true)
	f("h2c , websocket", "websocket", true)
	f("websocket", "", false)
	f("", "", false)
	f("websocket,", "", false)
	f("websocket", "web", false)
	f("web, socket", "web, socket", false)
}
