// Package admin is the admin API: health, metrics, status and profiles to read, reload and drain to call. It
// has a server and a listener of its own; nothing of it can be reached through a data listener.
package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/metric"
)

// Options are what the API shows and does. Registry and Current must be set; what is nil answers 404.
type Options struct {
	Registry *metric.Registry // for /metrics
	Current  *edge.Current    // its generation number is shown, and /readyz needs one
	// Reload reads the file again and returns what changed, in lines for people. Mistakes in the file come as
	// config.Errors. It is called by one request at a time and must not wait for Close of this server.
	Reload func() (changes []string, err error)
	// Drain begins to end the process. It is called once, in a goroutine of its own, and may block.
	Drain func()
	// HandOver leaves the address to another process that listens there now; connections under way go on.
	HandOver func()
	// Status returns what /status shows; it is marshalled to JSON.
	Status func() any
	// Unready returns why the process should get no new requests; "": it may. nil: it may as soon as there
	// is a generation.
	Unready func() string
	// Handlers returns the endpoints that features of the running generation lend; it is called for each
	// request to one of them and should return the same slice as long as nothing has changed.
	Handlers func() []edge.AdminHandler
	// Hosts are further names that clients may call this server by in Host.
	Hosts []string
	// Connections is how many there may be at a time; 0 or more than 64: 64.
	Connections int
	Log         *slog.Logger // nil: slog.Default
}

// Config is what [admin] holds besides the address.
type Config struct {
	// Names that clients may call it by, besides localhost, addresses and the hostname.
	Hosts []string `toml:"hosts"`
}

// Limits of the server. Its clients are few; whoever holds a connection without using it loses it.
const (
	readTimeout    = 10 * time.Second // for a whole request
	writeTimeout   = 60 * time.Second // for a whole answer
	idleTimeout    = 60 * time.Second
	closeTimeout   = 3 * time.Second
	maxConnections = 64
	minConnections = 4
	maxHeadBytes   = 8 << 10
	maxBodyBytes   = 64 << 10
)

// Server is one admin API. Make it with New.
type Server struct {
	o        Options
	http     fasthttp.Server
	own      table                 // endpoints of this package
	lent     atomic.Pointer[table] // endpoints of features; nil before the first use
	lending  sync.Mutex            // held by whoever replaces lent
	reload   sync.Mutex            // one reload at a time
	draining atomic.Bool           // Drain was called
	hosts    []string              // names that Host may give

	mu        sync.Mutex // guards listeners, and closed when it is set
	listeners []net.Listener
	closed    atomic.Bool
}

// New returns a server that listens nowhere yet.
func New(o Options) *Server {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Connections == 0 {
		o.Connections = maxConnections
	}
	s := &Server{o: o, hosts: ownNames(o.Hosts)}
	s.own.fill(s.endpoints(), o.Log)
	s.http = fasthttp.Server{
		Handler:               s.handle,
		ErrorHandler:          unreadable,
		Logger:                quiet{o.Log},
		ReadTimeout:           readTimeout,
		WriteTimeout:          writeTimeout,
		IdleTimeout:           idleTimeout,
		Concurrency:           min(max(o.Connections, minConnections), maxConnections),
		ReadBufferSize:        maxHeadBytes,
		MaxRequestBodySize:    maxBodyBytes,
		NoDefaultServerHeader: true,
		CloseOnShutdown:       true,
	}
	return s
}

// Serve answers requests on l until Close, or until l is closed, then returns nil; it closes l. It may be
// called for several listeners at once.
func (s *Server) Serve(l net.Listener) error {
	s.mu.Lock()
	closed := s.closed.Load()
	s.listeners = append(s.listeners, l)
	s.mu.Unlock()
	if closed {
		return l.Close()
	}
	if a, ok := l.Addr().(*net.TCPAddr); ok && !a.IP.IsLoopback() {
		s.o.Log.Warn("the admin API asks nobody for a password and can be reached from other machines",
			"address", l.Addr().String())
	}
	if err := s.http.Serve(&steady{Listener: l, log: s.o.Log}); err != nil && !s.closed.Load() {
		return fmt.Errorf("admin API on %s has ended: %w", l.Addr(), err)
	}
	return nil
}

// Close stops listening and ends profiles that are being taken; it waits a few seconds for calls under way.
// Calling it from within a call of this server costs those seconds.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed.Store(true)
	for _, l := range s.listeners {
		_ = l.Close() // of one that Serve has not reached yet, the server below knows nothing
	}
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	if err := s.http.ShutdownWithContext(ctx); errors.Is(err, context.DeadlineExceeded) {
		s.o.Log.Warn("an admin call did not end in time; the API is closed all the same")
	}
}

// handle takes every call: it checks that it is allowed, finds what answers it, and logs it.
func (s *Server) handle(ctx *fasthttp.RequestCtx) {
	defer s.recover(ctx)
	h := &ctx.Response.Header
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	if s.closed.Load() {
		ctx.SetConnectionClose()
	}
	if why := s.refuse(ctx); why != "" {
		plain(ctx, fasthttp.StatusForbidden, why)
	} else {
		s.dispatch(ctx)
	}
	if !readOnly(ctx) {
		s.o.Log.Info("admin call", "method", string(ctx.Method()), "uri", shown(ctx.RequestURI()),
			"remote", remote(ctx), "status", ctx.Response.StatusCode())
	}
}

// shown is a target as the log has it: keys of clients may be secrets.
func shown(uri []byte) string {
	path, query, ok := strings.Cut(string(uri), "?")
	if !ok {
		return path
	}
	pairs := strings.Split(query, "&")
	for i, pair := range pairs {
		name, _, _ := strings.Cut(pair, "=")
		if plain, err := url.QueryUnescape(name); err != nil || plain == "key" {
			pairs[i] = name + "=[secret]"
		}
	}
	return path + "?" + strings.Join(pairs, "&")
}

// dispatch asks the endpoints of this package, then those that features lend.
func (s *Server) dispatch(ctx *fasthttp.RequestCtx) {
	if s.own.serve(ctx) {
		return
	}
	lent := s.borrowed()
	if lent.serve(ctx) {
		return
	}
	if allow := allowed(ctx, &s.own, lent); allow != "" {
		ctx.Response.Header.Set("Allow", allow)
		plain(ctx, fasthttp.StatusMethodNotAllowed, "this endpoint takes "+allow)
		return
	}
	plain(ctx, fasthttp.StatusNotFound, "no such endpoint")
}

// recover turns a panic of an endpoint into a 500: it must not end the process.
func (s *Server) recover(ctx *fasthttp.RequestCtx) {
	p := recover()
	if p == nil {
		return
	}
	s.o.Log.Error("panic in an admin call", "panic", fmt.Sprint(p), "uri", shown(ctx.RequestURI()),
		"stack", string(debug.Stack()))
	ctx.Response.Reset()
	plain(ctx, fasthttp.StatusInternalServerError, "the call failed; the log says more")
}

// remote names the caller: the client of a Unix socket has no address.
func remote(ctx *fasthttp.RequestCtx) string {
	if a := ctx.RemoteAddr(); a.Network() != "unix" {
		return a.String()
	}
	return "unix socket"
}

// unreadable answers what is no HTTP request.
func unreadable(ctx *fasthttp.RequestCtx, err error) {
	var small *fasthttp.ErrSmallBuffer
	var timeout net.Error
	switch {
	case errors.As(err, &small):
		plain(ctx, fasthttp.StatusRequestHeaderFieldsTooLarge, "the request's head is too large")
	case errors.Is(err, fasthttp.ErrBodyTooLarge):
		plain(ctx, fasthttp.StatusRequestEntityTooLarge, "the request's body is too large")
	case errors.As(err, &timeout) && timeout.Timeout():
		plain(ctx, fasthttp.StatusRequestTimeout, "the request took too long")
	default:
		plain(ctx, fasthttp.StatusBadRequest, "the request cannot be read")
	}
}

// quiet takes fasthttp's own lines, which are about single connections, to the debug log.
type quiet struct{ log *slog.Logger }

// Printf implements fasthttp.Logger.
func (q quiet) Printf(format string, args ...any) {
	q.log.Debug("admin connection", "event", fmt.Sprintf(format, args...))
}

// plain makes a line of text the answer.
func plain(ctx *fasthttp.RequestCtx, status int, text string) {
	ctx.SetStatusCode(status)
	ctx.SetContentType("text/plain; charset=utf-8")
	ctx.SetBodyString(text + "\n")
}
