package admin

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/fasthttp/router"
	"github.com/valyala/fasthttp"

	"github.com/penstock-edge/penstock/edge"
)

// table finds an endpoint by method and path.
type table struct {
	router  *router.Router      // nil: no endpoints
	methods []string            // that it has endpoints for, sorted
	from    []edge.AdminHandler // what it was filled with
}

// fill makes the table; a pattern that the router refuses is left out and logged.
func (t *table) fill(handlers []edge.AdminHandler, log *slog.Logger) {
	t.from = handlers
	t.router = router.New()
	// An endpoint is called by its name or not at all; what is missing is answered by Server.dispatch.
	t.router.RedirectTrailingSlash = false
	t.router.RedirectFixedPath = false
	t.router.HandleMethodNotAllowed = false
	t.router.HandleOPTIONS = false
	for _, h := range handlers {
		t.add(h.Method, h, log)
		if h.Method == fasthttp.MethodGet {
			t.add(fasthttp.MethodHead, h, log)
		}
	}
	slices.Sort(t.methods)
	t.methods = slices.Compact(t.methods)
}

func (t *table) add(method string, h edge.AdminHandler, log *slog.Logger) {
	defer func() {
		if p := recover(); p != nil { // the router's way to refuse a pattern
			log.Error("an admin endpoint cannot be registered", "method", method, "path", h.Path,
				"error", fmt.Sprint(p))
		}
	}()
	t.router.Handle(method, h.Path, h.Handle)
	t.methods = append(t.methods, method)
}

// serve runs the endpoint of ctx; false when there is none.
func (t *table) serve(ctx *fasthttp.RequestCtx) bool {
	h, _ := t.router.Lookup(string(ctx.Method()), string(ctx.URI().PathOriginal()), ctx)
	if h == nil {
		return false
	}
	h(ctx)
	return true
}

// allowed lists the methods that some table takes at the path of ctx, as Allow has it.
func allowed(ctx *fasthttp.RequestCtx, tables ...*table) string {
	path := string(ctx.URI().PathOriginal())
	var methods []string
	for _, t := range tables {
		for _, m := range t.methods {
			if h, _ := t.router.Lookup(m, path, nil); h != nil {
				methods = append(methods, m)
			}
		}
	}
	slices.Sort(methods)
	return strings.Join(slices.Compact(methods), ", ")
}

// borrowed returns the table of what features lend now. It is made anew when they lend another slice: the
// slice itself is compared, so that it does not matter whether a reload changes it just before or after the
// generation.
func (s *Server) borrowed() *table {
	var now []edge.AdminHandler
	if s.o.Handlers != nil {
		now = s.o.Handlers()
	}
	if t := s.lent.Load(); t != nil && same(t.from, now) {
		return t
	}
	s.lending.Lock()
	defer s.lending.Unlock()
	t := &table{}
	t.fill(now, s.o.Log)
	s.lent.Store(t)
	return t
}

// same reports whether a and b are one slice. The table keeps a alive: another slice cannot have its place.
func same(a, b []edge.AdminHandler) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}
