package admin

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http/pprof"
	"runtime/debug"
	"strings"

	"github.com/valyala/fasthttp"
	"github.com/valyala/fasthttp/fasthttpadaptor"
	"github.com/valyala/fasthttp/pprofhandler"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/config"
	"github.com/penstock-edge/penstock/edge/lib/metric"
)

// endpoints are those of this package.
func (s *Server) endpoints() []edge.AdminHandler {
	get, post := fasthttp.MethodGet, fasthttp.MethodPost
	list := []edge.AdminHandler{
		{Method: get, Path: "/healthz", Handle: healthz},
		{Method: get, Path: "/readyz", Handle: s.readyz},
		{Method: get, Path: "/metrics", Handle: s.metrics},
		{Method: get, Path: "/debug/{profile:*}", Handle: profiles()},
		// The pprof tool asks for names of functions by POST; whoever wants a profile may.
		{Method: post, Path: "/debug/{profile:*}", Handle: profiles()},
	}
	if s.o.Status != nil {
		list = append(list, edge.AdminHandler{Method: get, Path: "/status", Handle: s.status})
	}
	if s.o.Reload != nil {
		list = append(list, edge.AdminHandler{Method: post, Path: "/reload", Handle: s.reloadNow})
	}
	if s.o.HandOver != nil {
		list = append(list, edge.AdminHandler{Method: post, Path: "/handover", Handle: s.handOver})
	}
	if s.o.Drain != nil {
		list = append(list, edge.AdminHandler{Method: post, Path: "/drain", Handle: s.drainNow})
	}
	return list
}

// profiles serves all below /debug/pprof. The router cannot tell this path from the one with a slash at its
// end, and fasthttp's handler has no index, so both are told apart here.
func profiles() fasthttp.RequestHandler {
	const root = "/debug/pprof/"
	index := fasthttpadaptor.NewFastHTTPHandlerFunc(pprof.Index)
	return func(ctx *fasthttp.RequestCtx) {
		switch path := string(ctx.Path()); {
		case path == root[:len(root)-1]: // the links of the index are relative
			ctx.Response.Header.Set("Location", root)
			plain(ctx, fasthttp.StatusMovedPermanently, "see "+root)
		case path == root:
			index(ctx)
		case strings.HasPrefix(path, root):
			pprofhandler.PprofHandler(ctx)
		default:
			plain(ctx, fasthttp.StatusNotFound, "no such endpoint")
		}
	}
}

func healthz(ctx *fasthttp.RequestCtx) { plain(ctx, fasthttp.StatusOK, "ok") }

func (s *Server) readyz(ctx *fasthttp.RequestCtx) {
	why := ""
	switch {
	case s.o.Current.Load() == nil:
		why = "no configuration is being served yet"
	case s.draining.Load():
		why = "draining"
	case s.o.Unready != nil:
		why = s.o.Unready()
	}
	if why != "" {
		plain(ctx, fasthttp.StatusServiceUnavailable, "not ready: "+why)
		return
	}
	plain(ctx, fasthttp.StatusOK, "ready")
}

// metrics writes while it reads: with 10,000 routes the text has many megabytes. An HTTP/1.0 client cannot be
// sent a body of unknown length by this server and gets it whole.
func (s *Server) metrics(ctx *fasthttp.RequestCtx) {
	ctx.SetContentType(metric.ContentType)
	if ctx.Request.Header.IsHTTP11() {
		ctx.SetBodyStreamWriter(s.writeMetrics)
		return
	}
	var b bytes.Buffer
	w := bufio.NewWriter(&b)
	s.writeMetrics(w)
	ctx.SetBody(b.Bytes())
}

// writeMetrics runs in a goroutine of the server's, which no other recover covers; functions of features are
// called for their gauges.
func (s *Server) writeMetrics(w *bufio.Writer) {
	defer func() {
		if p := recover(); p != nil {
			s.o.Log.Error("panic while writing metrics", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
		}
	}()
	err := s.o.Registry.Write(w)
	if err == nil {
		err = metric.WriteProcess(w)
	}
	if err == nil {
		err = w.Flush()
	}
	if err != nil {
		s.o.Log.Debug("metrics were not read to their end", "error", err)
	}
}

func (s *Server) status(ctx *fasthttp.RequestCtx) { answerJSON(ctx, fasthttp.StatusOK, s.o.Status()) }

// reloaded is the answer to a reload that worked.
type reloaded struct {
	Generation uint64   `json:"generation"`
	Changes    []string `json:"changes"`
}

func (s *Server) reloadNow(ctx *fasthttp.RequestCtx) {
	s.reload.Lock()
	changes, err := s.o.Reload()
	s.reload.Unlock()
	if err != nil {
		refused(ctx, err)
		return
	}
	r := reloaded{Changes: append([]string{}, changes...)} // never null
	if g := s.o.Current.Load(); g != nil {
		r.Generation = g.ID
	}
	answerJSON(ctx, fasthttp.StatusOK, r)
}

// refusal is the answer to a reload that did not; the running generation stays as it was.
type refusal struct {
	Errors []config.Error `json:"errors"`
}

// refused shows the mistakes as `check` does: a line each, or as JSON for those who ask.
func refused(ctx *fasthttp.RequestCtx, err error) {
	const status = fasthttp.StatusUnprocessableEntity
	if !wantsJSON(ctx) {
		plain(ctx, status, err.Error())
		return
	}
	var mistakes config.Errors
	if !errors.As(err, &mistakes) {
		mistakes = config.Errors{{Message: err.Error()}}
	}
	answerJSON(ctx, status, refusal{mistakes})
}

func wantsJSON(ctx *fasthttp.RequestCtx) bool {
	return string(ctx.QueryArgs().Peek("format")) == "json" ||
		bytes.Contains(ctx.Request.Header.Peek("Accept"), []byte("application/json"))
}

func (s *Server) handOver(ctx *fasthttp.RequestCtx) {
	s.o.HandOver()
	plain(ctx, fasthttp.StatusOK, "handed over")
}

func (s *Server) drainNow(ctx *fasthttp.RequestCtx) {
	if s.draining.Swap(true) {
		plain(ctx, fasthttp.StatusAccepted, "draining already")
		return
	}
	go s.o.Drain() // it outlives this server
	plain(ctx, fasthttp.StatusAccepted, "draining")
}

func answerJSON(ctx *fasthttp.RequestCtx, status int, v any) {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		plain(ctx, fasthttp.StatusInternalServerError, "cannot be shown as JSON: "+err.Error())
		return
	}
	ctx.SetStatusCode(status)
	ctx.SetContentType("application/json")
	ctx.SetBody(append(b, '\n'))
}
