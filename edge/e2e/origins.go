package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/coder/websocket"
)

// Scripted is an origin whose answers a test sets by path, and which counts requests.
type Scripted struct {
	Addr  string
	mu    sync.Mutex
	By    map[string]http.HandlerFunc
	Asked map[string]int
	last  *http.Request
}

// NewScripted starts an origin without answers: 404.
func NewScripted(t testing.TB) *Scripted {
	s := &Scripted{By: map[string]http.HandlerFunc{}, Asked: map[string]int{}}
	s.Addr = strings.TrimPrefix(HTTPOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.Asked[r.URL.Path]++
		h := s.By[r.URL.Path]
		s.last = r.Clone(r.Context())
		s.mu.Unlock()
		if h == nil {
			http.NotFound(w, r)
			return
		}
		h(w, r)
	}), "http://")
	return s
}

// On sets the answer for a path: fields as "Name: value", and a body.
func (s *Scripted) On(path string, status int, body string, fields ...string) {
	s.Do(path, func(w http.ResponseWriter, _ *http.Request) {
		for _, f := range fields {
			name, value, _ := strings.Cut(f, ": ")
			w.Header().Add(name, value)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body) // the gateway may have gone
	})
}

// Do sets what serves a path.
func (s *Scripted) Do(path string, h http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.By[path] = h
}

// Count returns how often a path was asked for.
func (s *Scripted) Count(path string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.Asked[path]
}

// Moody is an origin that answers with its status, which a test may change.
type Moody struct {
	Addr   string
	Status atomic.Int64
	Asked  atomic.Int64
}

// NewMoody starts an origin that answers 200.
func NewMoody(t testing.TB) *Moody {
	t.Helper()
	o := &Moody{}
	o.Status.Store(200)
	o.Addr = HTTPOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/healthz" {
			o.Asked.Add(1)
		}
		w.WriteHeader(int(o.Status.Load()))
		fmt.Fprint(w, o.Addr)
	})
	return o
}

// NoneButThese fails the test when a target has got other requests than those with these paths.
func (rec *Recorder) NoneButThese(t *testing.T, stands string, paths ...string) {
	t.Helper()
	var got []string
	for _, r := range rec.Requests() {
		got = append(got, r.Path())
	}
	if !slices.Equal(got, paths) {
		t.Errorf("%s: the target has got %q, want %q", stands, got, paths)
	}
}

// Heads returns the heads of what has come so far.
func (rec *Recorder) Heads() (heads []string) {
	rec.Mu.Lock()
	defer rec.Mu.Unlock()
	for _, r := range rec.List {
		heads = append(heads, r.Head)
	}
	return heads
}

// Stalled is a target that keeps each request until it is let go.
type Stalled struct {
	*Recorder
	Pass chan bool
}

// Occupy keeps the one connection of each target busy.
func (g *Gateway) Occupy(targets ...*Stalled) (held []*RawClient) {
	g.T.Helper()
	for n := range targets {
		held = append(held, g.Begin(GetPath("/held")))
		Eventually(g.T, "the targets are busy", func() bool {
			busy := 0
			for _, o := range targets {
				busy += len(o.Of("/held"))
			}
			return busy > n
		})
	}
	return held
}

// KeepsSilent waits until the other side leaves.
func KeepsSilent(_ *Recorded, c net.Conn) string {
	_, _ = io.Copy(io.Discard, c)
	return ""
}

// WebSocketEcho is an origin that sends every message back. A message "close" makes it close with 4001.
func WebSocketEcho(t testing.TB) string {
	return HTTPOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r,
			&websocket.AcceptOptions{Subprotocols: []string{"echo"}, InsecureSkipVerify: true})
		if err != nil {
			return // Accept has answered
		}
		defer c.CloseNow()
		c.SetReadLimit(4 << 20)
		for {
			kind, b, err := c.Read(r.Context())
			if err != nil {
				return
			}
			if string(b) == "close" {
				c.Close(4001, "as you wish")
				return
			}
			if c.Write(r.Context(), kind, b) != nil {
				return
			}
		}
	})
}
