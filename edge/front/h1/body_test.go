package h1

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/front/client"
	"github.com/penstock-edge/penstock/edge/lib/splice"
)

// post returns a request with a body of n bytes, of which sent have been sent.
func post(n, sent int) string {
	return "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: " + strconv.Itoa(n) + "\r\n\r\n" + strings.Repeat("x", sent)
}

// TestBodyUnread: what becomes of the connection when nobody reads the body depends on how much of it is left.
func TestBodyUnread(t *testing.T) {
	ignore := func(x *edge.Exchange) *edge.Fault { return answer(x, 200, "ignored") }
	early := func(x *edge.Exchange) edge.Verdict {
		x.Answer(403, "text/plain", []byte("ignored"))
		return edge.Answered
	}
	const chunks = "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
	for _, c := range []struct {
		name, first, later string
		stays              bool
	}{
		{"here", post(10, 10), "", true},
		{"longer than most, and here", post(3000, 3000), "", true},
		{"short, to come", post(drainBytes, 1), strings.Repeat("x", drainBytes-1), true},
		{"long, to come", post(drainBytes+2, 1), strings.Repeat("x", drainBytes+1), false},
		{"chunks to come", chunks + "1\r\nx\r\n", "0\r\n\r\n", false},
		{"none, after a 100", "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 20000\r\nExpect: 100-continue\r\n\r\n", "", false},
	} {
		for who, a := range map[string]*app{
			"target": newApp(t, nil, peer(ignore)), "filter": newApp(t, early, nil),
		} {
			r := newRig(t, a, &client.Settings{})
			far := r.talk(t)
			far.send(c.first)
			h := r.accept(t, true)
			if c.stays { // else it is answered before more comes
				far.send(c.later)
			}
			if got := far.get("POST"); got.body != "ignored" || got.close == c.stays {
				t.Errorf("%s, %s: %d %q, close %v", c.name, who, got.status, got.body, got.close)
			}
			if !c.stays {
				_, _ = io.WriteString(far, c.later) // the connection may have ended
				far.Close()
				<-h.ended
				continue
			}
			far.send("GET /b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
			if got := far.get("GET"); got.body != "ignored" {
				t.Errorf("%s, %s: the second request got %d", c.name, who, got.status)
			}
			far.gone()
			<-h.ended
		}
	}
}

// TestBodyFaults: what goes wrong with a body is named, and whose fault it is.
func TestBodyFaults(t *testing.T) {
	a := newApp(t, nil, peer(echo))
	r := newRig(t, a, &client.Settings{MaxBody: 100})
	r.serve(t)
	const chunks = "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
	for _, c := range []struct {
		name, text string
		leaves     bool
		code       string
		in         int64
	}{
		{"length", post(100, 100), false, "", 100},
		{"left", post(100, 30), true, "client_gone", -1},
		{"left between chunks", chunks + "3\r\nabc\r\n", true, "client_gone", 3},
		{"left in a size", chunks + "3", true, "client_gone", -1},
		{"left before the last empty line", chunks + "3\r\nabc\r\n0\r\n", true, "client_gone", 3},
		{"whole chunks, then left", chunks + "3\r\nabc\r\n0\r\n\r\n", true, "", 3},
		{"too large", post(101, 101), false, "body_too_large", -1},
		{"chunks too large", chunks + "65\r\n" + strings.Repeat("x", 0x65) + "\r\n0\r\n\r\n", false, "body_too_large", -1},
		{"no hexadecimal", chunks + "x\r\n", false, "bad_body", -1},
		{"longer than it says", chunks + "1\r\nabc\r\n", false, "bad_body", -1},
		{"bad trailer", chunks + "1\r\na\r\n0\r\nA b\r\n\r\n", false, "bad_body", 1},
		{"trailer too long", chunks + "0\r\nA: " + strings.Repeat("x", maxTrailer) + "\r\n\r\n", false, "bad_body", 0},
	} {
		far := r.talk(t)
		far.send(c.text)
		if c.leaves {
			_ = far.CloseWrite()
		}
		e := <-a.log
		if e.code != c.code || c.in >= 0 && e.in != c.in {
			t.Errorf("%s: %+v, want %q and %d bytes", c.name, e, c.code, c.in)
		}
		far.Close()
	}
}

// TestBodyTooSlow: a client that sends below the minimum rate is cut; time that others take does not count.
func TestBodyTooSlow(t *testing.T) {
	r := newRig(t, newApp(t, nil, nil), &client.Settings{MinReceive: 1000})
	for _, c := range []struct {
		name   string
		bytes  int64
		waited time.Duration
		gather bool
		want   *edge.Fault
	}{
		{"at once", 0, 0, false, nil},
		{"in the grace", 0, 4 * time.Second, false, nil},
		{"after the grace", 0, 6 * time.Second, false, edge.BodyTooSlow},
		{"slow and honest", 3_600_000, time.Hour, false, nil},
		{"slower than that", 3_500_000, time.Hour, false, edge.BodyTooSlow},
		{"gathered", 0, 6 * time.Second, true, edge.BodyTooSlow},
	} {
		far := r.talk(t)
		h := r.accept(t, false)
		h.enter(blocking)
		q := acquireRequest()
		q.c, h.request = h.conn, q
		q.x.InMax = 1000
		q.in.reset(h.conn, 10, false)
		q.in.x = &q.x
		q.in.recvRate.Add(c.bytes, int64(c.waited))
		if c.want == nil {
			far.send("0123456789")
		}
		var err error
		if c.gather {
			if f := q.in.Gather(); f != nil {
				err = f
			}
		} else {
			_, err = io.ReadFull(&q.in, make([]byte, 10))
		}
		if c.want == nil && err != nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		if q.in.failed() != (c.want != nil) || q.in.finished() != (c.want == nil) {
			t.Errorf("%s: failed %v, finished %v", c.name, q.in.failed(), q.in.finished())
		}
		h.Close(client.Orderly)
	}
}

// TestBodyGatherTimeout: a body that is gathered past the request's time is that request's timeout.
func TestBodyGatherTimeout(t *testing.T) {
	r := newRig(t, newApp(t, nil, nil), &client.Settings{})
	r.talk(t)
	h := r.accept(t, false)
	h.enter(blocking)
	q := acquireRequest()
	q.c, h.request = h.conn, q
	q.x.InMax, q.x.Deadline = 1000, 1
	q.in.reset(h.conn, 10, false)
	q.in.x = &q.x
	if f := q.in.Gather(); f != edge.RequestTimeout {
		t.Errorf("%v", f)
	}
	h.Close(client.Orderly)
}

// TestBodyAborted: a read that another goroutine is blocked in ends when the exchange does not need it any more.
func TestBodyAborted(t *testing.T) {
	r := newRig(t, newApp(t, nil, nil), &client.Settings{})
	r.talk(t)
	h := r.accept(t, false)
	h.enter(blocking)
	q := acquireRequest()
	q.c, h.request = h.conn, q
	q.x.InMax = 1000
	q.in.reset(h.conn, 10, false)
	q.in.x = &q.x
	read := make(chan error)
	go func() {
		_, err := q.in.Read(make([]byte, 10))
		read <- err
	}()
	h.Abort()
	if err := <-read; !errors.Is(err, edge.ClientGone) {
		t.Errorf("%v", err)
	}
	if h.drainBody(q) {
		t.Error("the connection could serve another request")
	}
	h.Close(client.Orderly)
}

// TestExpect: a client that waits for a 100 gets one when its body is wanted, and none otherwise.
func TestExpect(t *testing.T) {
	a := newApp(t, func(x *edge.Exchange) edge.Verdict {
		if string(x.Path) != "/refused" {
			return edge.Next
		}
		x.Answer(403, "", nil)
		return edge.Answered
	}, peer(echo))
	r := newRig(t, a, &client.Settings{})
	r.serve(t)
	head := func(path string, fields string) string {
		return "POST " + path + " HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n" + fields + "\r\n"
	}
	for _, fields := range []string{"Content-Length: 3\r\n", "Transfer-Encoding: chunked\r\n"} {
		far := r.talk(t)
		far.send(head("/a", fields))
		if got := far.get("POST"); got.status != 100 {
			t.Fatalf("%q: %d, want 100 first", fields, got.status)
		}
		if strings.HasPrefix(fields, "C") {
			far.send("abc")
		} else {
			far.send("3\r\nabc\r\n0\r\n\r\n")
		}
		if got := far.get("POST"); got.body != "POST /a abc" || got.close {
			t.Errorf("%q: %+v", fields, got)
		}
		far.send(head("/refused", fields))
		if got := far.get("POST"); got.status != 403 || !got.close {
			t.Errorf("%q: refused, got %+v", fields, got)
		}
		far.gone()
	}
	far := r.talk(t)
	far.send(head("/a", "Content-Length: 3\r\n") + "abc") // it did not wait
	if got := far.get("POST"); got.status != 200 && got.status != 100 {
		t.Errorf("%+v", got)
	}
}

// TestBodyWhole: a body that is there with its head is given as a whole, and can be asked for again.
func TestBodyWhole(t *testing.T) {
	type seen struct {
		whole, ready bool
		gathered     bool
	}
	got := make(chan seen, 1)
	a := newApp(t, nil, peer(func(x *edge.Exchange) *edge.Fault {
		var s seen
		s.ready = x.In.Ready()
		_, s.whole = x.In.Whole()
		s.gathered = x.In.Gather() == nil
		if b, ok := x.In.Whole(); ok && s.whole && len(b) != int(x.InLen) {
			t.Errorf("%d bytes of %d", len(b), x.InLen)
		}
		got <- s
		return echo(x)
	}))
	r := newRig(t, a, &client.Settings{})
	r.serve(t)
	for _, c := range []struct {
		name, text string
		want       seen
	}{
		{"short", post(10, 10), seen{true, true, true}},
		{"chunks", "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", seen{false, true, true}},
	} {
		far := r.talk(t)
		far.send(c.text)
		if s := <-got; s != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, s, c.want)
		}
		if reply := far.get("POST"); reply.status != 200 {
			t.Errorf("%s: %d", c.name, reply.status)
		}
	}
}

// TestBodySizes: bodies of all sizes arrive as they were sent, in reads of any size, spliced or not.
func TestBodySizes(t *testing.T) {
	a := newApp(t, nil, peer(func(x *edge.Exchange) *edge.Fault {
		var all bytes.Buffer
		buf := make([]byte, 1+rand.IntN(5000))
		for ended := x.In == nil; !ended; {
			if string(x.Path) == "/spliced" {
				err := spliceOnce(x, &all)
				if ended = errors.Is(err, io.EOF); ended || err == nil {
					continue
				}
			}
			n, err := x.In.Read(buf)
			all.Write(buf[:n])
			ended = err != nil
		}
		x.SetHead(200, nil, nil)
		x.Out, x.OutLen = edge.ReaderBody{R: &all}, int64(all.Len())
		return nil
	}))
	r := newRig(t, a, &client.Settings{})
	r.serve(t)
	for _, path := range []string{"/read", "/spliced"} {
		for _, size := range []int{1, 4095, 4096, 16 << 10, 16<<10 + 1, 64 << 10, 1 << 20} {
			body := make([]byte, size)
			for i := range body {
				body[i] = byte(i * 31 >> 3)
			}
			far := r.talk(t)
			go func() {
				_, _ = io.WriteString(far, "POST "+path+" HTTP/1.1\r\nHost: a\r\nContent-Length: "+strconv.Itoa(size)+"\r\n\r\n")
				_, _ = far.Write(body) // what is missing is missed below
			}()
			if got := far.get("POST"); got.body != string(body) {
				t.Errorf("%s, %d bytes: %d came back, or others", path, size, len(got.body))
			}
		}
	}
}

// spliceOnce moves a part of the body of x into all.
func spliceOnce(x *edge.Exchange, all *bytes.Buffer) error {
	p, err := splice.Acquire()
	if err != nil {
		return err
	}
	defer p.Release()
	n, err := x.In.Splice(p, 1<<20)
	if n == 0 {
		return err
	}
	from, to, perr := os.Pipe()
	if perr != nil {
		return perr
	}
	defer from.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = all.ReadFrom(from) // what is missing is missed by the client
	}()
	raw, perr := to.SyscallConn()
	for perr == nil && p.Len() > 0 {
		_, perr = p.Drain(raw)
	}
	to.Close()
	<-done
	if perr != nil {
		return perr
	}
	return err
}
