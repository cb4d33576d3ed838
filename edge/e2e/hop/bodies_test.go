package hop

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/penstock-edge/penstock/edge/e2e"
)

// bodySizes are around the sizes of buffers, and one that is spliced.
var bodySizes = []int{0, 1, 4095, 4096, 4097, 16383, 16385, 32768, 65535, 65536, 65537, 200_000, 5 << 20}

// TestBodySizes sends bodies of many sizes both ways in all framings and compares them.
func TestBodySizes(t *testing.T) {
	t.Parallel()
	target := e2e.HTTPOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "POST" {
			h := sha256.New()
			n, err := io.Copy(h, r.Body)
			fmt.Fprintf(w, "%d %x %v", n, h.Sum(nil), err)
			return
		}
		n, _ := strconv.Atoi(r.URL.Query().Get("n")) // 0 for none
		switch r.URL.Path {
		case "/length":
			w.Header().Set("Content-Length", strconv.Itoa(n))
		case "/chunked":
			w.(http.Flusher).Flush()
		case "/close":
			c, bw, _ := w.(http.Hijacker).Hijack() // a server of ours can always be hijacked
			bw.WriteString("HTTP/1.0 200 OK\r\nContent-Type: a/b\r\n\r\n")
			bw.Write(e2e.Sample(n))
			bw.Flush()
			c.Close()
			return
		}
		w.Write(e2e.Sample(n))
	})
	g := e2e.Start(t, e2e.Simple(target))
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	f := func(kind string, size int) {
		t.Helper()
		resp, err := client.Get(fmt.Sprintf("http://%s/%s?n=%d", g.Addr, kind, size))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		got, err := io.ReadAll(resp.Body)
		if err != nil || !bytes.Equal(got, e2e.Sample(size)) {
			t.Errorf("%s, %d bytes: got %d, %v", kind, size, len(got), err)
		}
	}
	up := func(size int, chunked bool) {
		t.Helper()
		var body io.Reader = bytes.NewReader(e2e.Sample(size))
		if chunked {
			body = io.MultiReader(body) // hides the length
		}
		resp, err := client.Post("http://"+g.Addr+"/up", "a/b", body)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		got, _ := io.ReadAll(resp.Body) // shows in the comparison
		if want := fmt.Sprintf("%d %x <nil>", size, sha256.Sum256(e2e.Sample(size))); string(got) != want {
			t.Errorf("up %d bytes, chunked %v: got %q, want %q", size, chunked, got, want)
		}
	}
	for _, size := range bodySizes {
		f("length", size)
		f("chunked", size)
		f("close", size)
		up(size, false)
		up(size, true)
	}
}

// TestTrickleDown: every piece of an answer leaves as it arrives; the target sends the next one only after the
// client has the one before.
func TestTrickleDown(t *testing.T) {
	t.Parallel()
	next := make(chan string)
	s := newScript(t)
	g := e2e.Start(t, e2e.Simple(s.addr))
	f := func(stands, head string, pieces ...string) {
		t.Helper()
		s.does(func(c net.Conn, _ string) bool {
			for {
				select {
				case <-t.Context().Done():
					return false
				case piece := <-next:
					if _, err := io.WriteString(c, piece); err != nil || piece == "" {
						return err == nil
					}
				}
			}
		})
		c := e2e.DialRaw(t, g.Addr)
		defer c.C.Close()
		c.Send(e2e.Lines("GET /x HTTP/1.1"))
		next <- head
		resp, err := http.ReadResponse(c.R, nil)
		if err != nil {
			t.Fatalf("%s: the head did not come before the body: %v", stands, err)
		}
		if _, glued, _ := strings.Cut(head, "\r\n\r\n"); glued != "" {
			got := make([]byte, len(glued))
			if _, err := io.ReadFull(resp.Body, got); err != nil || string(got) != glued {
				t.Fatalf("%s: got %q, %v", stands, got, err)
			}
		}
		for _, piece := range pieces {
			next <- piece
			data := piece
			if len(resp.TransferEncoding) > 0 {
				_, data, _ = strings.Cut(strings.TrimSuffix(piece, "\r\n"), "\r\n")
			}
			got := make([]byte, len(data))
			if n, err := io.ReadFull(resp.Body, got); err != nil || string(got) != data {
				t.Fatalf("%s: got %d of %d bytes, %v", stands, n, len(data), err)
			}
		}
		next <- ""
	}
	big := string(e2e.Sample(100_000))
	chunk := func(s string) string { return fmt.Sprintf("%x\r\n%s\r\n", len(s), s) }
	f("server-sent events", head("HTTP/1.1 200 OK", "Content-Type: text/event-stream", "Transfer-Encoding: chunked"),
		chunk("data: 1\n\n"), chunk("data: 2\n\n"), chunk(big), chunk("data: 3\n\n"))
	f("known length", head("HTTP/1.1 200 OK", "Content-Length: 6"), "a", "bc", "def")
	f("known length, spliced", head("HTTP/1.1 200 OK", "Content-Length: 300002"), "a", big, "b", big, big)
	f("known length, head with a piece", head("HTTP/1.1 200 OK", "Content-Length: 100003")+"a", "ab", "c", big[1:])
}

// TestHeadBeforeChunk: a chunk's size alone does not hold the head back.
func TestHeadBeforeChunk(t *testing.T) {
	t.Parallel()
	s := newScript(t)
	g := e2e.Start(t, e2e.Simple(s.addr))
	seen := make(chan bool)
	s.does(func(c net.Conn, _ string) bool {
		_, _ = io.WriteString(c, head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked")+"5\r\n") // an error shows below
		select {
		case <-seen:
		case <-t.Context().Done():
		}
		_, err := io.WriteString(c, "first\r\n0\r\n\r\n")
		return err == nil
	})
	c := e2e.DialRaw(t, g.Addr)
	c.Send(e2e.Lines("GET /x HTTP/1.1"))
	resp, err := http.ReadResponse(c.R, nil)
	if err != nil {
		t.Fatal(err)
	}
	close(seen)
	if b, err := io.ReadAll(resp.Body); string(b) != "first" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
}

// gathered is how much of a body of known length the gateway may wait for before it asks a target.
const gathered = 16 << 10

// TestTrickleUp: every piece of an upload reaches the target as it arrives, once it is known to be a long one.
func TestTrickleUp(t *testing.T) {
	t.Parallel()
	got := make(chan int, 1000)
	target := e2e.HTTPOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		b := make([]byte, 32<<10)
		for {
			n, err := r.Body.Read(b)
			got <- n
			if err != nil {
				fmt.Fprint(w, err)
				return
			}
		}
	})
	g := e2e.Start(t, e2e.Simple(target))
	f := func(stands string, framing string, pieces ...string) {
		t.Helper()
		c := e2e.DialRaw(t, g.Addr)
		defer c.C.Close()
		c.Send(e2e.Lines("POST /x HTTP/1.1", framing))
		for _, piece := range pieces {
			c.Send(piece)
			data := piece
			if strings.HasPrefix(framing, "Transfer") {
				_, data, _ = strings.Cut(strings.TrimSuffix(piece, "\r\n"), "\r\n")
			}
			for left := len(data); left > 0; {
				select {
				case n := <-got:
					left -= n
				case <-time.After(e2e.Patience):
					t.Fatalf("%s: %d bytes of a piece did not come", stands, left)
				}
			}
		}
		if strings.HasPrefix(framing, "Transfer") {
			c.Send("0\r\n\r\n")
		}
		if a := c.Answer("POST"); a.Body != "EOF" {
			t.Errorf("%s: %q", stands, a.Body)
		}
		for len(got) > 0 {
			<-got
		}
	}
	big := string(e2e.Sample(100_000))
	chunk := func(s string) string { return fmt.Sprintf("%x\r\n%s\r\n", len(s), s) }
	f("known length", "Content-Length: 100006", big, "a", "bc", "def")
	f("known length, spliced", "Content-Length: 300002", big, "a", big, "b", big)
	f("chunked", "Transfer-Encoding: chunked", chunk("a"), chunk(big), chunk("b"))
}

// TestPauses: a sender may pause for longer than the other side's timeouts without a byte being lost.
func TestPauses(t *testing.T) {
	t.Parallel()
	whole := e2e.Sample(400_000)
	s := newScript(t)
	rec := e2e.Record(t, nil)
	const pause = 8 * time.Second // longer than the grace that a client has to take its answer
	s.does(func(c net.Conn, _ string) bool {
		_, _ = io.WriteString(c, head("HTTP/1.1 200 OK", fmt.Sprint("Content-Length: ", len(whole)))) // errors show at the client
		_, _ = c.Write(whole[:100])
		<-time.After(pause)
		_, err := c.Write(whole[100:])
		return err == nil
	})
	down := e2e.Start(t, e2e.Simple(s.addr))
	up := e2e.Start(t, strings.Replace(e2e.Simple(rec.Addr), "targets", "response_timeout = \"500ms\"\ntargets", 1))
	t.Run("down", func(t *testing.T) {
		t.Parallel()
		a := e2e.DialRaw(t, down.Addr).Get("/x")
		if a.Err != nil || a.Body != string(whole) {
			t.Errorf("got %d bytes of %d, %v", len(a.Body), len(whole), a.Err)
		}
	})
	t.Run("up", func(t *testing.T) {
		t.Parallel()
		c := e2e.DialRaw(t, up.Addr)
		c.Send(e2e.Lines("POST /x HTTP/1.1", fmt.Sprint("Content-Length: ", len(whole))) + string(whole[:150_000]))
		<-time.After(900 * time.Millisecond) // longer than response_timeout
		c.Send(string(whole[150_000:]) + smuggled)
		if a := c.Answer("POST"); a.StatusCode != 200 {
			t.Errorf("%d %q", a.StatusCode, a.Body)
		}
		if r := rec.Of("/x"); len(r) != 1 || r[0].Body != string(whole) || !r[0].Whole {
			t.Errorf("the origin got something else")
		}
	})
}

// TestPace: a slow sender lives as long as it keeps the minimum rate, and is told off when it does not.
func TestPace(t *testing.T) {
	t.Parallel()
	g := e2e.Start(t, strings.Replace(e2e.Simple(e2e.Record(t, nil).Addr), `name = "main"`, "name = \"main\"\nmin_receive_rate = \"500B/s\"", 1))
	t.Run("above", func(t *testing.T) {
		t.Parallel()
		c := e2e.DialRaw(t, g.Addr)
		c.Send(e2e.Lines("POST /x HTTP/1.1", "Content-Length: 7000"))
		for range 28 { // 7 s at 1000 B/s: more than the grace
			<-time.After(250 * time.Millisecond)
			c.Send(strings.Repeat("x", 250))
		}
		if a := c.Answer("POST"); a.StatusCode != 200 {
			t.Errorf("%d %q", a.StatusCode, a.Body)
		}
	})
	t.Run("below", func(t *testing.T) {
		t.Parallel()
		c := e2e.DialRaw(t, g.Addr)
		c.Send(e2e.Lines("POST /x HTTP/1.1", "Content-Length: 7000") + "x")
		if a := c.Answer("POST"); a.StatusCode != 408 || a.Code() != "body_too_slow" {
			t.Errorf("%d %q", a.StatusCode, a.Body)
		}
		c.Closed("body_too_slow")
	})
}

// TestExpect: 100 is sent when the body is wanted, and only then (RFC 9110 10.1.1).
func TestExpect(t *testing.T) {
	t.Parallel()
	rec := e2e.Record(t, nil)
	g := e2e.Start(t, strings.Replace(e2e.Simple(rec.Addr), `prefix = "/"`, "prefix = \"/up\"\nmax_body_bytes = \"1KiB\"", 1))
	const goOn = "HTTP/1.1 100 Continue\r\n\r\n"
	f := func(stands, head, early, late string, status int, stays bool) {
		t.Helper()
		c := e2e.DialRaw(t, g.Addr)
		defer c.C.Close()
		c.Send(head + early)
		if late != "" {
			got := make([]byte, len(goOn))
			if _, err := io.ReadFull(c.R, got); err != nil || string(got) != goOn {
				t.Errorf("%s: no 100: %q, %v", stands, got, err)
				return
			}
			c.Send(late)
		}
		if a := c.Answer("POST"); a.StatusCode != status {
			t.Errorf("%s: %d %q", stands, a.StatusCode, a.Body)
		}
		if stays {
			c.Open(stands, "/up")
		} else {
			c.Closed(stands)
		}
	}
	expect := func(path, length string) string {
		return e2e.Lines("POST "+path+" HTTP/1.1", "Expect: 100-Continue", length)
	}
	f("wanted", expect("/up", "Content-Length: 3"), "", "abc", 200, true)
	f("wanted, chunked", expect("/up", "Transfer-Encoding: chunked"), "", "3\r\nabc\r\n0\r\n\r\n", 200, true)
	f("the body is there already", expect("/up", "Content-Length: 3"), "abc", "", 200, true)
	f("no such route", expect("/no", "Content-Length: 3"), "", "", 404, false)
	f("too large", expect("/up", "Content-Length: 3000"), "", "", 413, false)
	f("no body at all", expect("/up", "Content-Length: 0"), "", "", 200, true)
	f("HTTP/1.0 cannot wait", strings.Replace(expect("/up", "Content-Length: 3"), "1.1\r\n", "1.0\r\n", 1), "abc", "", 200, false)
	for _, r := range rec.Requests() {
		if strings.Contains(strings.ToLower(r.Head), "expect") {
			t.Errorf("Expect went on to the origin: %q", r.Head)
		}
	}
}

// TestCurlUpload: curl -T asks for 100 by itself.
func TestCurlUpload(t *testing.T) {
	t.Parallel()
	e2e.Needs(t, "curl")
	rec := e2e.Record(t, nil)
	g := e2e.Start(t, e2e.Simple(rec.Addr))
	cmd := exec.Command("curl", "-sS", "-v", "-H", "Expect: 100-continue", "--expect100-timeout", "20", "-T", "-",
		"-w", "%{http_code}", "http://"+g.Addr+"/x")
	cmd.Stdin = bytes.NewReader(e2e.Sample(300_000))
	out, err := cmd.CombinedOutput()
	if err != nil || !bytes.HasSuffix(out, []byte("ok200")) || !bytes.Contains(out, []byte("< HTTP/1.1 100 Continue")) {
		t.Errorf("%v\n%s", err, out)
	}
	if r := rec.Of("/x"); len(r) != 1 || r[0].Body != string(e2e.Sample(300_000)) {
		t.Error("the origin got something else")
	}
}

// TestPipeline: twenty mixed requests in one write are answered in order.
func TestPipeline(t *testing.T) {
	t.Parallel()
	rec := e2e.Record(t, func(r *e2e.Recorded, _ net.Conn) string {
		body := r.Path() + " " + r.Body
		switch {
		case strings.HasPrefix(r.Head, "HEAD "):
			return head("HTTP/1.1 200 OK", fmt.Sprint("Content-Length: ", len(body)))
		case strings.HasSuffix(r.Path(), "4"):
			return string(e2e.ChunkedAnswer(body, 3))
		case strings.HasSuffix(r.Path(), "5"):
			return head("HTTP/1.1 204 No Content")
		}
		return string(e2e.OK(body))
	})
	g := e2e.Start(t, strings.Replace(e2e.Simple(rec.Addr), `prefix = "/"`, `prefix = "/r/"`, 1))
	var send strings.Builder
	var want []string
	for i := range 20 {
		path := fmt.Sprintf("/r/%d", i)
		switch i % 5 {
		case 0:
			send.WriteString(e2e.Lines("GET " + path + " HTTP/1.1"))
			want = append(want, "GET 200 "+path+" ")
		case 1:
			send.WriteString(e2e.Lines("POST "+path+" HTTP/1.1", "Content-Length: 3") + "abc")
			want = append(want, "POST 200 "+path+" abc")
		case 2:
			send.WriteString(e2e.Lines("HEAD " + path + " HTTP/1.1"))
			want = append(want, "HEAD 200 ")
		case 3:
			send.WriteString(e2e.Lines("POST "+path+" HTTP/1.1", "Transfer-Encoding: chunked") + "2\r\nde\r\n1\r\nf\r\n0\r\n\r\n")
			want = append(want, "POST 200 "+path+" def")
		case 4:
			send.WriteString(e2e.Lines("PUT /nowhere HTTP/1.1", "Content-Length: 3") + "abc")
			want = append(want, "PUT 404 ")
		}
	}
	c := e2e.DialRaw(t, g.Addr)
	c.Send(send.String())
	for _, w := range want {
		method, rest, _ := strings.Cut(w, " ")
		a := c.Answer(method)
		got := fmt.Sprint(a.StatusCode, " ", a.Body)
		if a.StatusCode == 404 {
			got = "404 "
		}
		if a.StatusCode == 204 {
			got = "200 " + strings.Fields(rest)[1] + " "
		}
		if got != rest || a.Err != nil {
			t.Errorf("got %q, want %q, %v", got, rest, a.Err)
		}
	}
	c.Open("after the pipeline", "/r/1")
}

// TestEarlyAnswer: a final answer that comes while the client still sends reaches it at once and whole.
func TestEarlyAnswer(t *testing.T) {
	t.Parallel()
	s := newScript(t)
	g := e2e.Start(t, e2e.Simple(s.addr))
	f := func(stands, framing, first, more, answer string, linger bool) {
		t.Helper()
		s.does(func(c net.Conn, _ string) bool {
			_, _ = io.CopyN(io.Discard, c, 10) // the rest of the first piece may be in the reader already
			_, _ = io.WriteString(c, answer)   // an error shows at the client
			if linger {
				_, _ = io.Copy(io.Discard, c)
			}
			return false
		})
		c := e2e.DialRaw(t, g.Addr)
		defer c.C.Close()
		c.Send(e2e.Lines("POST /x HTTP/1.1", framing) + first)
		a := c.Answer("POST")
		if a.StatusCode != 413 || a.Body != "enough" || a.Err != nil || !a.Close {
			t.Errorf("%s: %d %q, %v, close %v", stands, a.StatusCode, a.Body, a.Err, a.Close)
		}
		c.Send(more) // may or may not be taken any more
		c.Closed(stands)
	}
	kib, mib := strings.Repeat("x", 24<<10), strings.Repeat("x", 1<<20)
	enough := head("HTTP/1.1 413 Content Too Large", "Content-Length: 6", "Connection: close") + "enough"
	f("known length", "Content-Length: 10000000", kib, mib, enough, true)
	f("known length, the target closes", "Content-Length: 10000000", kib, mib, enough, false)
	f("chunked", "Transfer-Encoding: chunked", "6000\r\n"+kib+"\r\n", "6000\r\n"+kib+"\r\n", enough, true)
	f("chunked answer", "Content-Length: 10000000", kib, mib,
		head("HTTP/1.1 413 Content Too Large", "Transfer-Encoding: chunked")+"6\r\nenough\r\n0\r\n\r\n", true)
}

// TestFullDuplex: a target that answers while it reads gets both directions at once, for as long as it takes.
func TestFullDuplex(t *testing.T) {
	t.Parallel()
	target := e2e.HTTPOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex() // always possible in HTTP/1.1
		w.(http.Flusher).Flush()
		b := make([]byte, 10_000)
		for {
			n, err := r.Body.Read(b)
			if _, werr := w.Write(b[:n]); err != nil || werr != nil {
				return
			}
		}
	})
	g := e2e.Start(t, e2e.Simple(target))
	f := func(framing string, write func(w *bufio.Writer, b []byte)) {
		t.Helper()
		want := e2e.Sample(8 << 20)
		c := e2e.DialRaw(t, g.Addr)
		defer c.C.Close()
		go func() {
			w := bufio.NewWriter(c.C)
			w.WriteString(e2e.Lines("POST /x HTTP/1.1", framing))
			write(w, want)
			w.Flush()
		}()
		a := c.Answer("POST")
		if a.Err != nil || a.Body != string(want) {
			t.Errorf("%s: %d bytes of %d came back, %v", framing, len(a.Body), len(want), a.Err)
		}
	}
	f("Content-Length: 8388608", func(w *bufio.Writer, b []byte) { w.Write(b) })
	f("Transfer-Encoding: chunked", func(w *bufio.Writer, b []byte) {
		for len(b) > 0 {
			n := min(len(b), 7777)
			fmt.Fprintf(w, "%x\r\n%s\r\n", n, b[:n])
			b = b[n:]
		}
		w.WriteString("0\r\n\r\n")
	})
}

// TestBodyLimit: what is announced or grows beyond the limit is refused, and never complete at the target.
func TestBodyLimit(t *testing.T) {
	t.Parallel()
	rec := e2e.Record(t, nil)
	g := e2e.Start(t, e2e.Simple(rec.Addr, `max_body_bytes = "4KiB"`))
	f := func(stands, send string, status int) {
		t.Helper()
		c := e2e.DialRaw(t, g.Addr)
		defer c.C.Close()
		c.Send(send + smuggled)
		a := c.Answer("POST")
		if a.StatusCode != status || a.Err != nil || status == 413 && a.Code() != "body_too_large" {
			t.Errorf("%s: %d %q, %v", stands, a.StatusCode, a.Body, a.Err)
		}
		if status == 413 {
			c.Closed(stands)
		}
	}
	body := strings.Repeat("x", 5000)
	f("length at the limit", e2e.Lines("POST /good HTTP/1.1", "Content-Length: 4096")+body[:4096], 200)
	f("length above", e2e.Lines("POST /bad HTTP/1.1", "Content-Length: 4097")+body[:4097], 413)
	f("chunks at the limit", e2e.Lines("POST /good HTTP/1.1", "Transfer-Encoding: chunked")+"1000\r\n"+body[:4096]+"\r\n0\r\n\r\n", 200)
	f("chunks above", e2e.Lines("POST /bad HTTP/1.1", "Transfer-Encoding: chunked")+"1000\r\n"+body[:4096]+"\r\n1\r\nx\r\n0\r\n\r\n", 413)
	f("one chunk above", e2e.Lines("POST /bad HTTP/1.1", "Transfer-Encoding: chunked")+"1388\r\n"+body+"\r\n0\r\n\r\n", 413)
	for _, r := range rec.Of("/bad") {
		if r.Whole {
			t.Errorf("a body beyond the limit was whole at the origin: %d bytes", len(r.Body))
		}
	}
	if n := len(rec.Of("/good")); n != 2 {
		t.Errorf("%d good requests", n)
	}
}

// TestGzipUntouched: the gateway neither unpacks nor asks for what the client did not.
func TestGzipUntouched(t *testing.T) {
	t.Parallel()
	var packed bytes.Buffer
	zw := gzip.NewWriter(&packed)
	zw.Write(e2e.Sample(50_000))
	zw.Close()
	rec := e2e.Record(t, func(r *e2e.Recorded, _ net.Conn) string {
		return head("HTTP/1.1 200 OK", "Content-Encoding: gzip", fmt.Sprint("Content-Length: ", packed.Len())) + packed.String()
	})
	g := e2e.Start(t, e2e.Simple(rec.Addr))
	c := e2e.DialRaw(t, g.Addr)
	a := c.Get("/x")
	if a.Header.Get("Content-Encoding") != "gzip" || a.Body != packed.String() {
		t.Errorf("%q, %d bytes", a.Header, len(a.Body))
	}
	if r := rec.Of("/x"); strings.Contains(r[0].Head, "Accept-Encoding") {
		t.Errorf("%q", r[0].Head)
	}
}
