//go:build !race

package hop

import (
	"bufio"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/penstock-edge/penstock/edge/e2e"
)

// TestExpectForwarded: with expect = "forward" the target decides whether the client sends its body, and until then
// nobody reads it.
func TestExpectForwarded(t *testing.T) {
	t.Parallel()
	type seen struct {
		head, body string
		conn       int
	}
	got := make(chan seen, 100)
	conns := make(chan int, 100)
	for i := range 100 {
		conns <- i
	}
	addr := e2e.Origin(t, func(c net.Conn) {
		br, id := bufio.NewReader(c), <-conns
		for {
			s := seen{conn: id}
			for !strings.HasSuffix(s.head, "\r\n\r\n") {
				line, err := br.ReadString('\n')
				if err != nil {
					return
				}
				s.head += line
			}
			switch path := strings.Fields(s.head)[1]; {
			case strings.HasPrefix(path, "/refuse"):
				_, _ = io.WriteString(c, head("HTTP/1.1 417 Expectation Failed", "Content-Length: 2")+"no")
			case strings.HasPrefix(path, "/deny"):
				_, _ = io.WriteString(c, head("HTTP/1.1 401 Unauthorized", "Content-Length: 2")+"no")
			default:
				if strings.Contains(s.head, "\r\nExpect: ") && path != "/mute" {
					_, _ = io.WriteString(c, head("HTTP/1.1 100 Continue"))
				}
				body, _, err := e2e.ReadBody(br, s.head)
				if err != nil {
					return
				}
				s.body = string(body)
				_, _ = c.Write(e2e.OK("ok"))
			}
			got <- s
		}
	})
	g := e2e.Start(t, strings.Replace(e2e.Simple(addr, "[[route]]\nprefix = \"/local/\"\npool = \"app\""),
		`name = "all"`, "name = \"all\"\nexpect = \"forward\"", 1))
	const continues = "HTTP/1.1 100 Continue\r\n\r\n"
	f := func(path, framing, body string, status int, asked, expects bool) {
		t.Helper()
		c := e2e.DialRaw(t, g.Addr)
		defer c.C.Close()
		c.Send(e2e.Lines("POST "+path+" HTTP/1.1", "Expect: 100-continue", framing))
		a := c.Answer("POST")
		if (a.StatusCode == 100) != asked {
			t.Errorf("%s: %d at first", path, a.StatusCode)
		}
		if a.StatusCode == 100 {
			c.Send(body)
			a = c.Answer("POST")
		}
		if a.StatusCode != status {
			t.Errorf("%s: %d, want %d", path, a.StatusCode, status)
		}
		if n := strings.Count(c.Got.String(), continues); asked && n != 1 {
			t.Errorf("%s: told to go on %d times", path, n)
		}
		s := <-got
		if strings.Contains(s.head, "\r\nExpect: 100-continue\r\n") != expects || asked && s.body != "0123456789" {
			t.Errorf("%s: the target got %q, %q", path, s.head, s.body)
		}
		if !asked { // what the client may still send is its body: nothing else can follow
			if c.Send(smuggled); !a.Close {
				t.Errorf("%s: the client's connection stays open", path)
			}
			c.Closed(path)
		} else {
			c.Open(path, "/fence")
			<-got
		}
		e2e.DialRaw(t, g.Addr).Get("/fence")
		if next := <-got; !strings.HasPrefix(next.head, "GET /fence ") || !asked && next.conn == s.conn {
			t.Errorf("%s: then came %q, on the same connection: %v", path, next.head, next.conn == s.conn)
		}
	}
	sized, coded := "Content-Length: 10", "Transfer-Encoding: chunked"
	chunks := "5\r\n01234\r\n5\r\n56789\r\n0\r\n\r\n"
	f("/take", sized, "0123456789", 200, true, true)
	f("/take", coded, chunks, 200, true, true)
	f("/mute", sized, "0123456789", 200, true, true) // it knows no 100
	f("/refuse", sized, "", 417, false, true)
	f("/refuse", coded, "", 417, false, true)
	f("/deny", sized, "", 401, false, true)
	f("/local/take", sized, "0123456789", 200, true, false)
	f("/local/take", coded, chunks, 200, true, false)
}
