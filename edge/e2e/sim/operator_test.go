//go:build sim

package sim

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/penstock-edge/penstock/edge"
)

// operator loads files, good and bad, and gives orders, while requests are under way.
type operator struct {
	w    *world
	d    *draws
	left int
	busy chan error // of a load that goes on; nil: none does
	good string     // the file that is to be there when it is over
	next time.Time
}

func newOperator(w *world, left int) *operator {
	return &operator{w: w, d: w.drawsOf("operator"), left: left}
}

// broken makes a good file a bad one.
const broken = "\n[pool.app"

func (o *operator) ready() bool {
	if o.busy == nil {
		return o.left > 0 && !time.Now().Before(o.next)
	}
	return len(o.busy) > 0
}

func (o *operator) done() bool { return o.left == 0 && o.busy == nil }

func (o *operator) act() {
	before := o.w.conf
	if o.busy != nil {
		err := <-o.busy
		o.busy, o.w.conf = nil, o.good
		if bad := strings.HasSuffix(before, broken); bad == (err == nil) {
			o.w.breaks("operator", "a file that is good: %v; loaded: %v", !bad, err)
		}
		o.w.note("operator", "loaded, bad file %v", err != nil)
		return
	}
	if o.left--; o.w.ends {
		o.left = 0
		return
	}
	o.next = time.Now().Add(o.d.wait(4 * time.Second))
	o.good = before
	switch o.d.n(10) {
	case 0:
		o.w.conf += broken
		o.load()
	case 1, 2:
		o.w.conf = fmt.Sprintf("# %d\n", o.left) + strings.TrimLeft(before, "\n")
		o.good = o.w.conf
		o.load()
	case 3:
		o.w.conf = strings.Replace(before, "response_timeout = \"2s\"", "response_timeout = \"1500ms\"", 1)
		o.load()
	case 4:
		o.order("POST", "/pools/app/targets/"+url.PathEscape("10.0.1.1:80")+"/"+[]string{"drain", "undrain"}[o.d.n(2)], "")
	case 5:
		o.order("POST", "/pools/app/targets/"+url.PathEscape("10.0.1.1:80")+"/weight", fmt.Sprintf("value=%d", o.d.n(4)))
	case 6, 7, 8:
		o.purge()
	case 9:
		if o.d.one(4) {
			o.w.ends = true
			o.w.note("operator", "stops the gateway")
		}
	}
}

func (o *operator) load() {
	o.w.note("operator", "loads")
	busy := make(chan error, 1)
	o.busy = busy
	go func() {
		_, err := o.w.live.Load()
		busy <- err
	}()
}

func (o *operator) purge() {
	if !strings.Contains(o.w.plan.routes, "c") {
		return
	}
	c := change{begun: time.Now(), why: "a purge"}
	query := "all=1"
	if o.d.one(2) {
		c.path = fmt.Sprintf("/c/%d", o.d.n(3))
		query = "url=" + url.QueryEscape("http://sim"+c.path)
	}
	if o.order("POST", "/cache/main/purge", query) == 200 {
		c.ended = time.Now()
		o.w.changes = append(o.w.changes, c)
	}
}

// order calls the admin interface, and returns the status of the answer.
func (o *operator) order(method, path, query string) int {
	for _, h := range o.w.live.Handlers() {
		if values, ok := match(h, method, path); ok {
			var ctx fasthttp.RequestCtx
			ctx.Request.SetRequestURI("http://a" + path + "?" + query)
			ctx.Request.Header.SetMethod(method)
			for k, v := range values {
				ctx.SetUserValue(k, v)
			}
			h.Handle(&ctx)
			o.w.note("operator", "%s?%s: %d", path, query, ctx.Response.StatusCode())
			return ctx.Response.StatusCode()
		}
	}
	o.w.breaks("operator", "nobody answers %s", path)
	return 0
}

// match returns the values of the parameters of a handler's path.
func match(h edge.AdminHandler, method, path string) (map[string]string, bool) {
	want, got := strings.Split(h.Path, "/"), strings.Split(path, "/")
	values := make(map[string]string)
	for i, part := range want {
		switch {
		case i >= len(got):
			return nil, false
		case strings.HasSuffix(part, ":*}"):
			values[part[1:len(part)-3]], _ = url.PathUnescape(strings.Join(got[i:], "/"))
			return values, h.Method == method
		case strings.HasPrefix(part, "{"):
			values[strings.Trim(part, "{}")] = got[i]
		case part != got[i]:
			return nil, false
		}
	}
	return values, h.Method == method && len(want) == len(got)
}
