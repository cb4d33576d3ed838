//go:build !race

package hop

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/penstock-edge/penstock/edge/e2e"
)

// TestMergeSlashes: slashes are merged before a route is looked for, where the file says so; nobody ever takes what
// two of them begin for another host.
func TestMergeSlashes(t *testing.T) {
	t.Parallel()
	rec := e2e.Record(t, nil)
	routes := "\n[[route]]\nname = \"moved\"\nprefix = \"/old/\"\nredirect = { to = \"/\", status = 308 }\n" +
		"\n[[route]]\nname = \"cut\"\nprefix = \"/cut\"\npool = \"app\"\nstrip_prefix = \"/cut\"\n" +
		"\n[[route]]\nname = \"secret\"\nprefix = \"/secret/\"\nrespond = { status = 403, body = \"no\\n\" }\n"
	off := e2e.Start(t, e2e.Simple(rec.Addr, routes))
	on := e2e.Start(t, "[server]\nmerge_slashes = true\n"+e2e.Simple(rec.Addr, routes))
	f := func(g *e2e.Gateway, target string, status int, forwarded, location string) {
		t.Helper()
		c := e2e.DialRaw(t, g.Addr)
		defer c.C.Close()
		before := len(rec.Requests())
		c.Send(e2e.Lines("GET " + target + " HTTP/1.1"))
		a := c.Answer("GET")
		if a.StatusCode != status || a.Header.Get("Location") != location {
			t.Errorf("%s: %d, Location %q; want %d, %q", target, a.StatusCode, a.Header.Get("Location"), status, location)
		}
		got := ""
		if all := rec.Requests(); len(all) > before {
			got = all[before].Path()
		}
		if got != forwarded {
			t.Errorf("%s: forwarded as %q, want %q", target, got, forwarded)
		}
	}
	f(on, "//evil.example/a", 200, "/evil.example/a", "")
	f(on, "///a//b///?c=//d", 200, "/a/b/?c=//d", "")
	f(on, "http://example.com//a", 200, "/a", "")
	f(on, "//secret//x", 403, "", "")
	f(on, "/a/..//secret//x", 403, "", "")
	f(on, "/a//../b", 200, "/b", "")
	f(on, "/a%2F%2Fb", 200, "/a%2F%2Fb", "")
	f(on, "/cut//evil.example", 200, "/evil.example", "")
	f(on, "/old//evil.example/x", 308, "", "/evil.example/x")
	f(on, "//old///evil.example", 308, "", "/evil.example")

	f(off, "//evil.example/a", 400, "", "")
	f(off, "http://example.com//a", 400, "", "")
	f(off, "http://example.com//a?b", 400, "", "")
	f(off, "/a/..//evil.example", 400, "", "")
	f(off, "/a//b", 200, "/a//b", "")
	f(off, "/cut//evil.example", 200, "/evil.example", "")
	f(off, "/old//evil.example/x", 308, "", "/evil.example/x")
	f(off, "/old/x/..///evil.example", 308, "", "/evil.example")
}

// TestEmptyLineAlone: an empty line behind a body begins no request, so no 408 ends it, which the client would take for
// the answer to its next one.
func TestEmptyLineAlone(t *testing.T) {
	t.Parallel()
	rec := e2e.Record(t, nil)
	g := e2e.Start(t, strings.Replace(e2e.Simple(rec.Addr), `name = "main"`, "name = \"main\"\nheader_timeout = \"100ms\"", 1))
	c := e2e.DialRaw(t, g.Addr)
	c.Send(e2e.PostWith("Content-Length: 3") + "\r\n")
	if a := c.Answer("POST"); a.StatusCode != 200 {
		t.Errorf("%d %q", a.StatusCode, a.Body)
	}
	c.Closed("an empty line behind a body")
	c = e2e.DialRaw(t, g.Addr)
	c.Send(e2e.PostWith("Content-Length: 3") + "\r\n" + e2e.Lines("GET /y HTTP/1.1"))
	for _, method := range []string{"POST", "GET"} {
		if a := c.Answer(method); a.StatusCode != 200 {
			t.Errorf("%s: %d %q", method, a.StatusCode, a.Body)
		}
	}
}

// TestAnswerLimits: how large the head of an answer may be is the pool's to say.
func TestAnswerLimits(t *testing.T) {
	t.Parallel()
	s := newScript(t)
	pool := func(name, keys string) string {
		return fmt.Sprintf("\n[pool.%s]\ntargets = [%q]\n%s\n[[route]]\nprefix = \"/%s/\"\npool = %q\n", name, s.addr, keys, name, name)
	}
	g := e2e.Start(t, "[[listener]]\naddress = \"{{addr}}\"\n"+pool("plain", "")+
		pool("wide", "max_response_header_bytes = \"256KiB\"\nmax_response_fields = 1000")+
		pool("narrow", "max_response_header_bytes = \"1KiB\"\nmax_response_fields = 3"))
	fields := func(n int) string { return "HTTP/1.1 200 OK\r\n" + strings.Repeat("A: b\r\n", n-1) }
	long := func(n int) string { return "HTTP/1.1 200 OK\r\nA: " + strings.Repeat("x", n) + "\r\n" }
	body := strings.Repeat("0123456789", 10<<10)
	f := func(pool, head string, status int) {
		t.Helper()
		s.answers(head + fmt.Sprintf("Content-Length: %d\r\n\r\n", len(body)) + body)
		c := e2e.DialRaw(t, g.Addr)
		defer c.C.Close()
		a := c.Get("/" + pool + "/x")
		if a.StatusCode != status || a.Err != nil || status == 200 && a.Body != body {
			t.Errorf("%s: %d, %d bytes, %v; want %d", pool, a.StatusCode, len(a.Body), a.Err, status)
		}
	}
	f("plain", fields(128), 200)
	f("plain", fields(129), 502)
	f("plain", long(60<<10), 200)
	f("plain", long(64<<10), 502)
	f("wide", fields(1000), 200)
	f("wide", fields(1001), 502)
	f("wide", long(250<<10), 200)
	f("wide", fields(128), 200)
	f("wide", long(256<<10), 502)
	f("narrow", fields(3), 200)
	f("narrow", fields(4), 502)
	f("narrow", long(900), 200)
	f("narrow", long(1000), 502)
}

// TestRefusedAnswerIsTold: the log says which rule an answer broke, and how it began.
func TestRefusedAnswerIsTold(t *testing.T) {
	t.Parallel()
	a := newAnswers(t)
	f := func(answer, rule, begins string) {
		t.Helper()
		a.s.answers(answer)
		c := e2e.DialRaw(t, a.g.Addr)
		defer c.C.Close()
		c.Send(e2e.Lines("GET /x HTTP/1.1"))
		_, _ = io.ReadAll(io.LimitReader(c.R, 12)) // an answer, or the end of one
		e2e.Eventually(t, "the log tells of "+rule, func() bool { return told(a.g, a.s.addr, rule, begins) })
	}
	f(head("HTTP/1.1 2OO OK", "A: \x1b[31m"), "malformed status code", `"HTTP/1.1 2OO OK\r\nA: \x1b[31m\r\n\r\n"`)
	f("220 mail.example ESMTP\r\n", "malformed first line", `"220 mail.example ESMTP\r\n"`)
	f(head("HTTP/1.1 200 OK", "A : "+strings.Repeat("b", 100)), "malformed field name",
		`"HTTP/1.1 200 OK\r\nA : `+strings.Repeat("b", 64-len("HTTP/1.1 200 OK..A : "))+`"`)
	f(head("HTTP/1.1 200 OK", "A: "+strings.Repeat("b", 70<<10)), "message head is too large", `"HTTP/1.1 200 OK\r\nA: bbb`)
	f(head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked")+"x\r\n", "malformed chunk size", `"x\r\n"`)
	f(head("HTTP/1.1 101 X", "Upgrade: a", "Connection: upgrade"), "nobody asked for", `"HTTP/1.1 101 X`)
	f(strings.Repeat(head("HTTP/1.1 103 X"), 17), "too many interim answers", `"HTTP/1.1 103 X`)
}

// told reports whether the log has a warning of a refused answer.
func told(g *e2e.Gateway, target, rule, begins string) bool {
	for line := range strings.Lines(g.Log.String()) {
		var e struct{ Level, Msg, Pool, Target, Rule, Begins string }
		if json.Unmarshal([]byte(line), &e) == nil && e.Level == "WARN" && e.Msg == "answer of a target refused" && e.Pool == "app" &&
			e.Target == target && strings.Contains(e.Rule, rule) && strings.HasPrefix(e.Begins, begins) {
			return true
		}
	}
	return false
}

// TestRefusedAnswersAreCounted: a flood of refused answers is no flood of the log, which says how many it leaves out.
func TestRefusedAnswersAreCounted(t *testing.T) {
	t.Parallel()
	a := newAnswers(t)
	a.s.answers("x\r\n")
	c := e2e.DialRaw(t, a.g.Addr)
	const floods = 300
	for range floods {
		c.Get("/x")
	}
	var first, last time.Time
	lines, unsaid := 0, 0
	for line := range strings.Lines(a.g.Log.String()) {
		var e struct {
			Time   time.Time
			Msg    string
			Unsaid int
		}
		if json.Unmarshal([]byte(line), &e) != nil || e.Msg != "answer of a target refused" {
			continue
		}
		if lines == 0 {
			first = e.Time
		}
		lines, unsaid, last = lines+1, unsaid+e.Unsaid, e.Time
	}
	if most := 10 * (int(last.Sub(first).Seconds()) + 2); lines == 0 || lines > most || lines+unsaid > floods {
		t.Errorf("%d lines, %d left out, for %d refusals within %v", lines, unsaid, floods, last.Sub(first))
	}
}

// TestInterimAnswers: they reach the client before the target has its final answer, whoever waits for it.
func TestInterimAnswers(t *testing.T) {
	t.Parallel()
	goOn := make(chan bool, 1)
	rec := e2e.Record(t, func(_ *e2e.Recorded, c net.Conn) string {
		if _, err := io.WriteString(c, head("HTTP/1.1 103 Early Hints", "Link: </a.css>")); err != nil {
			return ""
		}
		<-goOn
		return string(e2e.OK("ok"))
	})
	t.Cleanup(func() { close(goOn) })
	g := e2e.Start(t, e2e.Simple(rec.Addr))
	f := func(what, request string) {
		t.Helper()
		c := e2e.DialRaw(t, g.Addr)
		defer c.C.Close()
		c.Send(request)
		hint := c.Answer("GET")
		goOn <- true
		if hint.StatusCode != 103 || hint.Header.Get("Link") != "</a.css>" {
			t.Errorf("%s: %d %v", what, hint.StatusCode, hint.Header)
			return
		}
		if a := c.Answer("GET"); a.StatusCode != 200 || a.Body != "ok" {
			t.Errorf("%s: %d %q", what, a.StatusCode, a.Body)
		}
	}
	f("in a loop", e2e.Lines("GET /x HTTP/1.1"))
	f("a long body", e2e.Lines("POST /x HTTP/1.1", "Content-Length: 40000")+strings.Repeat("x", 40_000))
	f("a body in chunks", e2e.Lines("POST /x HTTP/1.1", "Transfer-Encoding: chunked")+"1\r\na\r\n0\r\n\r\n")
	f("in a loop again", e2e.Lines("GET /x HTTP/1.1"))
}

// TestProcessing: 102 gives the target another response_timeout, and the route's own time bounds them all.
func TestProcessing(t *testing.T) {
	t.Parallel()
	s := newScript(t)
	gone := make(chan bool)
	t.Cleanup(func() { close(gone) })
	const timeout = time.Second
	s.does(func(c net.Conn, line string) bool {
		bounded := strings.HasPrefix(line, "GET /bounded ")
		for begun, n := time.Now(), 0; n < 12 && (bounded || time.Since(begun) < timeout+timeout/8); n++ {
			if _, err := io.WriteString(c, head("HTTP/1.1 102 Processing")); err != nil {
				return false
			}
			<-time.After(timeout / 10)
		}
		if bounded {
			<-gone
			return false
		}
		_, err := c.Write(e2e.OK("ok"))
		return err == nil
	})
	g := e2e.Start(t, strings.Replace(e2e.Simple(s.addr, "[[route]]\npath = \"/bounded\"\npool = \"app\"\ntimeout = \"300ms\""), "[pool.app]",
		"[pool.app]\nresponse_timeout = \""+timeout.String()+"\"", 1))
	f := func(path string, status int) {
		t.Helper()
		c := e2e.DialRaw(t, g.Addr)
		defer c.C.Close()
		c.Send(e2e.Lines("GET " + path + " HTTP/1.1"))
		if a := c.Final("GET"); a.StatusCode != status {
			t.Errorf("%s: %d %q", path, a.StatusCode, c.Got.String())
		}
	}
	f("/x", 200)
	f("/bounded", 504)
}
