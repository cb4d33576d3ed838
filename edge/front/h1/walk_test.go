package h1

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/front/client"
	"github.com/penstock-edge/penstock/edge/lib/poll"
)

// later is an upstream that answers in a loop once it is told to.
type later struct {
	begun chan *edge.Exchange // Receive has returned Pending, or is about to
	mu    sync.Mutex          // held by Receive, so that nobody resumes before it has returned
	heard map[*edge.Exchange]bool
}

func newLater() *later {
	return &later{begun: make(chan *edge.Exchange, 100), heard: map[*edge.Exchange]bool{}}
}

func (u *later) Pick(*edge.Exchange) (edge.Peer, *edge.Fault) { return u, nil }
func (u *later) RoundTrip(x *edge.Exchange) *edge.Fault       { return answer(x, 200, "waited") }
func (u *later) Release(*edge.Exchange, *edge.Fault)          {}
func (u *later) Start(*edge.Exchange) bool                    { return true }

func (u *later) Receive(x *edge.Exchange) (edge.Outcome, *edge.Fault) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.heard[x] {
		delete(u.heard, x)
		return edge.Ended, answer(x, 200, "heard")
	}
	u.heard[x] = true
	u.begun <- x
	return edge.Pending, nil
}

// resume tells x, in the loop on, that there is news.
func (u *later) resume(x *edge.Exchange, on *poll.Loop) {
	u.mu.Lock()
	u.mu.Unlock() //nolint:staticcheck // Receive has returned
	x.Loop.Resume(on)
}

// TestWalk: each way of a request goes through the states that the README draws, and the owner of each serves it.
func TestWalk(t *testing.T) {
	var states []string
	note := func(x *edge.Exchange) { states = append(states, x.Conn.(*conn).state.String()) }
	early := func(x *edge.Exchange) edge.Verdict {
		note(x)
		switch string(x.Path) {
		case "/here":
			x.Answer(200, "", []byte("here"))
			return edge.Answered
		case "/wait":
			if !x.MayWait {
				return edge.Wait
			}
			x.Answer(200, "", []byte("here"))
			return edge.Answered
		}
		return edge.Next
	}
	up := peer(func(x *edge.Exchange) *edge.Fault {
		note(x)
		return answer(x, 200, "asked")
	})
	r := newRig(t, newApp(t, early, up), &client.Settings{})
	for _, c := range []struct {
		name, paths string
		secure      bool
		want        string
	}{
		{"in the loop", "/here", false, "looped"},
		{"two in the loop", "/here /here", false, "looped looped"},
		{"a filter waits", "/wait", false, "looped blocking"},
		{"an upstream waits", "/ask", false, "looped blocking"},
		{"goes on without waiting", "/wait /here", false, "looped blocking moved"},
		{"waits again", "/ask /ask", false, "looped blocking moved blocking"},
		{"TLS", "/here /wait /ask", true, "blocking blocking blocking blocking"},
	} {
		states = nil
		far := r.talk(t)
		var h *held
		if c.secure {
			h = r.accept(t, false)
			h.Net = tls.Server(&client.Paced{Conn: &h.Conn.Socket, C: &h.Conn}, certificate(t))
		}
		paths := strings.Fields(c.paths)
		var text string
		for i, path := range paths {
			last := ""
			if i == len(paths)-1 {
				last = "Connection: close\r\n"
			}
			text += "GET " + path + " HTTP/1.1\r\nHost: a\r\n" + last + "\r\n"
		}
		sent := make(chan error, 1)
		var got []byte
		if c.secure {
			go h.Serve()
			end := tls.Client(far, &tls.Config{InsecureSkipVerify: true})
			_, err := io.WriteString(end, text)
			sent <- err
			got, _ = io.ReadAll(end) // what is missing is missed below
		} else {
			far.send(text)
			h = r.accept(t, true)
			sent <- nil
			got, _ = io.ReadAll(far) // likewise
		}
		<-h.ended
		if n := strings.Count(string(got), "HTTP/1.1 200"); <-sent != nil || n != len(paths) {
			t.Errorf("%s: %d answers, want %d", c.name, n, len(paths))
		}
		if s := strings.Join(states, " "); s != c.want || h.state != closed {
			t.Errorf("%s: %s and then %s; want %s", c.name, s, h.state, c.want)
		}
	}
}

// TestWalkPending: whichever loop has the news of an upstream owns the connection from then on.
func TestWalkPending(t *testing.T) {
	for _, own := range []bool{true, false} {
		var states []string
		up := newLater()
		early := func(x *edge.Exchange) edge.Verdict {
			states = append(states, x.Conn.(*conn).state.String())
			return edge.Next
		}
		r := newRig(t, newApp(t, early, up), &client.Settings{})
		far := r.talk(t)
		far.send("GET /a HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
		h := r.accept(t, true)
		other := r.loops.Pick()
		if other == h.Conn.Socket.Loop() {
			other = r.loops.Pick()
		}
		on := other
		if own {
			on = h.Conn.Socket.Loop()
		}
		for range 2 {
			x := <-up.begun
			r.inLoop(t, on, func() { up.resume(x, on) })
			if got := far.get("GET"); got.body != "heard" {
				t.Errorf("own loop %v: %q", own, got.body)
			}
		}
		far.gone()
		<-h.ended
		want := "looped moved"
		if own {
			want = "looped looped"
		}
		if s := strings.Join(states, " "); s != want {
			t.Errorf("own loop %v: %s, want %s", own, s, want)
		}
	}
}

// TestIllegalTransition: a connection that somebody uses who does not own it ends, once, and the process goes on.
func TestIllegalTransition(t *testing.T) {
	r := newRig(t, newApp(t, nil, peer(echo)), &client.Settings{})
	for name, use := range map[string]func(h *held){
		"ready while a tunnel runs": func(h *held) { h.state = tunnel; h.Ready() },
		"served while a tunnel runs": func(h *held) {
			h.state = tunnel
			h.run(moved)
		},
		"ready after the end":  func(h *held) { h.finish(); h.Ready() },
		"served after the end": func(h *held) { h.finish(); h.conn.Serve() },
	} {
		far := r.talk(t)
		h := r.accept(t, false)
		use(h)
		<-h.ended
		if h.state != closed {
			t.Errorf("%s: %s", name, h.state)
		}
		far.gone()
	}
}

// TestPanics: a panic of whoever serves a request ends its connection only, and the generation is let go.
func TestPanics(t *testing.T) {
	early := func(x *edge.Exchange) edge.Verdict {
		if string(x.Path) == "/filter" {
			panic("filter")
		}
		return edge.Next
	}
	up := peer(func(x *edge.Exchange) *edge.Fault {
		switch string(x.Path) {
		case "/peer":
			panic("peer")
		case "/body":
			x.SetHead(200, nil, nil)
			x.Out, x.OutLen = edge.ReaderBody{R: panicking{}}, -1
			return nil
		}
		return echo(x)
	})
	a := newApp(t, early, up)
	r := newRig(t, a, &client.Settings{})
	r.serve(t)
	for path, status := range map[string]int{"/filter": 500, "/peer": 500, "/body": 0} {
		far := r.talk(t)
		far.send("GET " + path + " HTTP/1.1\r\nHost: a\r\n\r\n")
		if status > 0 {
			if got := far.get("GET"); got.status != status || !got.close {
				t.Errorf("%s: %d, close %v", path, got.status, got.close)
			}
			far.gone()
		} else if b, err := io.ReadAll(far); strings.HasSuffix(string(b), "0\r\n\r\n") {
			t.Errorf("%s: the client takes %q for whole, %v", path, b, err)
		}
		if e := <-a.log; e.code != "internal" {
			t.Errorf("%s: the log has %+v", path, e)
		}
	}
	far := r.talk(t)
	far.send("GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
	if got := far.get("GET"); got.status != 200 {
		t.Errorf("afterwards: %d", got.status)
	}
}

type panicking struct{}

func (panicking) Read([]byte) (int, error) { panic("body") }

// TestClientLeaves: a client may leave at any moment. The request ends, the connection too, and nothing is kept.
func TestClientLeaves(t *testing.T) {
	pending, asked, sending := newLater(), make(chan *edge.Exchange, 1), make(chan struct{}, 1)
	blocked := peer(func(x *edge.Exchange) *edge.Fault {
		switch string(x.Path) {
		case "/blocked":
			asked <- x
			until(t, "the client has left", x.Conn.Gone)
			return edge.ClientGone
		case "/sending":
			x.SetHead(200, nil, nil)
			x.Out, x.OutLen = edge.ReaderBody{R: endless{}}, -1
			sending <- struct{}{}
		case "/reading":
			sending <- struct{}{}
			return echo(x)
		}
		return nil
	})
	reset := func(far *talker) { _ = far.SetLinger(0); far.Close() }
	for _, c := range []struct {
		name, text string
		up         edge.Upstream
		wait       func()
		code       string // of the fault that the log has; "none": no request
	}{
		{"before a request", "", blocked, nil, "none"},
		{"after an empty line", "\r\n", blocked, nil, "none"},
		{"in a head", "GET / HT", blocked, nil, "none"},
		{"pending", "GET /a HTTP/1.1\r\nHost: a\r\n\r\n", pending, func() {
			x := <-pending.begun
			c := x.Conn.(*conn)
			go func() {
				until(t, "the client has left", c.Gone)
				pending.resume(x, nil) // as a loop that is not its own
			}()
		}, "client_gone"},
		{"blocked", "GET /blocked HTTP/1.1\r\nHost: a\r\n\r\n", blocked, func() { <-asked }, "client_gone"},
		{"sending", "GET /sending HTTP/1.1\r\nHost: a\r\n\r\n", blocked, func() { <-sending }, "client_gone"},
		{"in a body", "POST /reading HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nabc", blocked, func() { <-sending }, "client_gone"},
	} {
		for how, leave := range map[string]func(far *talker){"reset": reset, "close": func(far *talker) { far.Close() }} {
			a := newApp(t, nil, c.up)
			r := newRig(t, a, &client.Settings{})
			far := r.talk(t)
			far.send(c.text)
			h := r.accept(t, true)
			if c.wait != nil {
				c.wait()
			}
			leave(far)
			<-h.ended
			if n := a.Load().Pins(); n != 0 || h.state != closed {
				t.Errorf("%s, %s: %d requests hold the generation, the connection is %s", c.name, how, n, h.state)
			}
			if c.code == "none" {
				if len(a.log) > 0 {
					t.Errorf("%s, %s: %+v", c.name, how, <-a.log)
				}
			} else {
				// An answer in memory may have been sent to a client that had left.
				if e := <-a.log; e.code != c.code && !(c.name == "pending" && e.code == "") {
					t.Errorf("%s, %s: %+v, want %s", c.name, how, e, c.code)
				}
			}
		}
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// TestManyClients: connections that are served at the same time do not meet.
func TestManyClients(t *testing.T) {
	early := func(x *edge.Exchange) edge.Verdict {
		if strings.HasPrefix(string(x.Path), "/wait") && !x.MayWait {
			return edge.Wait
		}
		if strings.HasPrefix(string(x.Path), "/here") {
			x.Answer(200, "", append([]byte("GET "), append(x.Path, ' ')...))
			return edge.Answered
		}
		return edge.Next
	}
	a := newApp(t, early, peer(echo))
	r := newRig(t, a, &client.Settings{})
	r.serve(t)
	var all sync.WaitGroup
	for n := range 40 {
		all.Go(func() {
			far, err := net.Dial("tcp", r.socket.Addr().String())
			if err != nil {
				t.Error(err)
				return
			}
			defer far.Close()
			if err := converse(&talker{TCPConn: far.(*net.TCPConn), t: t}, n); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

// converse sends requests of several kinds in one go and checks the answers.
func converse(far *talker, n int) error {
	var text, want strings.Builder
	for i := range 30 {
		switch i % 4 {
		case 0:
			fmt.Fprintf(&text, "GET /here-%d-%d HTTP/1.1\r\nHost: a\r\n\r\n", n, i)
			fmt.Fprintf(&want, "GET /here-%d-%d \n", n, i)
		case 1:
			fmt.Fprintf(&text, "GET /wait-%d-%d HTTP/1.1\r\nHost: a\r\n\r\n", n, i)
			fmt.Fprintf(&want, "GET /wait-%d-%d \n", n, i)
		case 2:
			fmt.Fprintf(&text, "POST /ask HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n%04d", n)
			fmt.Fprintf(&want, "POST /ask %04d\n", n)
		case 3:
			fmt.Fprintf(&text, "POST /ask HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n%04d\r\n0\r\n\r\n", n)
			fmt.Fprintf(&want, "POST /ask %04d\n", n)
		}
	}
	text.WriteString("GET /here HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
	want.WriteString("GET /here \n")
	if _, err := io.WriteString(far, text.String()); err != nil {
		return err
	}
	b, err := io.ReadAll(far)
	if err != nil {
		return err
	}
	var got strings.Builder
	for _, part := range strings.Split(string(b), "HTTP/1.1 200 OK\r\n")[1:] {
		_, body, _ := strings.Cut(part, "\r\n\r\n")
		got.WriteString(body + "\n")
	}
	if got.String() != want.String() {
		return errors.New("client " + fmt.Sprint(n) + " got\n" + got.String() + "and wants\n" + want.String())
	}
	return nil
}
