package cache

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/penstock-edge/penstock/edge/e2e"
)

// tokenOrigin answers with random directives in random order. Where these, or the request, forbid that others
// get the answer without asking, it is made of the token of the client who asked, over and over.
type tokenOrigin struct{ asked atomic.Int64 }

// tokenDirectives are those of RFC 9111 section 5.2.2 and RFC 5861, with their arguments.
var tokenDirectives = []string{"max-age=0", "max-age=1", "max-age=60", "s-maxage=0", "s-maxage=1", "s-maxage=60",
	"no-cache", `no-cache="X-Secret"`, "no-store", "private", `private="X-Secret"`, "public", "must-revalidate",
	"proxy-revalidate", "must-understand", "no-transform", "immutable", "stale-while-revalidate=1",
	"stale-while-revalidate=60", "stale-if-error=60", "unknown", `unknown="no-store, private"`}

// secret reports whether an answer with these directives is for the one client who asked: the rules are written
// here anew, and are stricter than the RFC, never looser.
func secret(directives []string, authorized bool) bool {
	has := func(names ...string) bool {
		for _, d := range directives {
			for _, name := range names {
				if d == name {
					return true
				}
			}
		}
		return false
	}
	stale := has("stale-while-revalidate=1", "stale-while-revalidate=60", "stale-if-error=60")
	strict := has("must-revalidate", "proxy-revalidate") || has("s-maxage=0") && !stale
	fresh := has("max-age=1", "max-age=60", "s-maxage=1", "s-maxage=60")
	zero := has("s-maxage=0") || has("max-age=0") && !has("s-maxage=1", "s-maxage=60")
	switch {
	case has("no-cache", "private"), has("no-store") && !has("must-understand"):
		return true
	case authorized && !has("public", "must-revalidate", "s-maxage=0", "s-maxage=1", "s-maxage=60"):
		return true
	}
	return zero && strict || !fresh && !zero && !has("public")
}

func (o *tokenOrigin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n := o.asked.Add(1)
	token := r.Header.Get("X-Api-Key")
	var directives []string
	if rand.IntN(2) == 0 {
		directives = append(directives, "max-age=60") // else nearly nothing would be shared
	}
	for _, i := range rand.Perm(len(tokenDirectives))[:rand.IntN(5-len(directives))] {
		directives = append(directives, tokenDirectives[i])
	}
	private := secret(directives, strings.Join(r.Header["Authorization"], "") != "") ||
		strings.Join(r.Header["Cookie"], "") != ""
	h := w.Header()
	for i, d := range directives { // in one line or in several
		if i > 0 && rand.IntN(2) == 0 {
			h["Cache-Control"][0] += ", " + d
			continue
		}
		h.Add("Cache-Control", d)
	}
	for _, d := range directives {
		if strings.HasSuffix(d, `="X-Secret"`) {
			h.Set("X-Secret", token)
		}
	}
	switch rand.IntN(12) {
	case 0:
		h.Set("Set-Cookie", "sid="+token)
		private = true
	case 1:
		h.Set("Vary", "X-Api-Key")
		private = true
	case 2:
		h.Set("Vary", "*")
		private = true
	case 3:
		h.Set("Vary", "Accept-Encoding")
	}
	if !private {
		token = "------"
	}
	tag := fmt.Sprintf(`"%s-%s"`, token, r.URL.Path)
	if rand.IntN(3) > 0 {
		h.Set("ETag", tag)
		if r.Header.Get("If-None-Match") == tag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	switch rand.IntN(60) {
	case 0:
		if c, _, err := http.NewResponseController(w).Hijack(); err == nil {
			c.Close()
			return
		}
	case 1:
		w.WriteHeader([]int{400, 403, 404, 410, 429, 500, 503}[rand.IntN(7)])
	}
	body := strings.Repeat("tok="+token+";", 1+rand.IntN(1<<rand.IntN(13)))
	if rand.IntN(2) == 0 {
		h.Set("Content-Length", strconv.Itoa(len(body)))
	}
	half := len(body) / 2
	_, _ = io.WriteString(w, body[:half]) // the gateway may have gone
	if n%7 == 0 {
		_ = http.NewResponseController(w).Flush() // as above
		time.Sleep(time.Millisecond)              // others come meanwhile
	}
	_, _ = io.WriteString(w, body[half:]) // as above
}

// tokenClient is one client with a token of its own.
type tokenClient struct {
	addr, token string
	c           net.Conn
	br          *bufio.Reader
	tags        map[string]string // the last one by path
	hits        *atomic.Int64     // answers without a token
	foreign     *atomic.Int64     // bytes of other clients' answers
}

// request writes a request whose directives, conditions and credentials are random.
func (k *tokenClient) request(path string) (text, method string) {
	method = "GET"
	if rand.IntN(20) == 0 {
		method = "HEAD"
	}
	fields := []string{"Host: example.com", "X-Api-Key: " + k.token}
	add := func(one int, field ...string) {
		if rand.IntN(one) == 0 {
			fields = append(fields, field...)
		}
	}
	for _, d := range []string{"no-cache", "no-store", "max-age=0", "max-age=1", "min-fresh=1", "max-stale", "max-stale=5",
		"only-if-cached", "stale-if-error=60", "no-transform"} {
		add(30, "Cache-Control: "+d)
	}
	add(8, "Authorization: Bearer "+k.token)
	add(40, "Authorization:", "Authorization: Bearer "+k.token)
	add(20, "Cookie: sid="+k.token)
	add(40, "Cookie: ", "Cookie: sid="+k.token)
	add(15, fmt.Sprintf("Range: bytes=%d-%d", rand.IntN(100), 100+rand.IntN(1000)))
	add(4, "Accept-Encoding: gzip")
	add(30, "Pragma: no-cache")
	if tag := k.tags[path]; tag != "" {
		add(10, "If-None-Match: "+tag)
	}
	return method + " " + path + " HTTP/1.1\r\n" + strings.Join(fields, "\r\n") + "\r\n\r\n", method
}

// ask makes one request on the connection, or on a new one, and looks at every byte of the answer.
func (k *tokenClient) ask(path string) error {
	if k.c == nil {
		c, err := net.DialTimeout("tcp", k.addr, e2e.Patience)
		if err != nil {
			return err
		}
		k.c, k.br = c, bufio.NewReader(c)
	}
	text, method := k.request(path)
	_ = k.c.SetDeadline(time.Now().Add(3 * e2e.Patience)) // fails only on a closed connection
	if _, err := io.WriteString(k.c, text); err != nil {
		return err
	}
	resp, err := http.ReadResponse(k.br, &http.Request{Method: method})
	if err != nil {
		return fmt.Errorf("no answer to %q: %w", text, err)
	}
	body, err := io.ReadAll(resp.Body)
	k.look(text, resp, body)
	if tag := resp.Header.Get("ETag"); tag != "" {
		k.tags[path] = tag
	}
	if err != nil || resp.Close { // the origin cuts some
		k.c.Close()
		k.c = nil
	}
	return nil
}

// look counts bytes of an answer that are another client's.
func (k *tokenClient) look(text string, resp *http.Response, body []byte) {
	foreign := e2e.ForeignIn(body, k.token)
	for _, name := range []string{"X-Secret", "Set-Cookie"} {
		if v := strings.TrimPrefix(resp.Header.Get(name), "sid="); v != "" && v != k.token {
			foreign += len(v)
		}
	}
	if foreign > 0 && k.foreign.Add(int64(foreign)) == int64(foreign) { // the first one is shown
		fmt.Printf("%s got %d bytes of another client: %q\n%v\n", k.token, foreign, text, resp.Header)
	}
	if strings.Contains(resp.Header.Get("Cache-Status"), "; hit") || strings.Contains(resp.Header.Get("Cache-Status"), "collapsed") {
		k.hits.Add(1)
	}
}

// TestCacheTokens: many clients with tokens of their own ask for the same URLs, while the target's directives are
// any in any order, it fails, and answers are purged: no client gets a byte of an answer for another one.
func TestCacheTokens(t *testing.T) {
	clients, requests := 50, 6_000
	if _, long := e2e.Soak(t, 0); long {
		clients, requests = 500, 200_000
	}
	o := &tokenOrigin{}
	g := e2e.Start(t, e2e.Cached(e2e.HTTPOrigin(t, o.ServeHTTP), "stale_if_error = \"5s\"\nwait_timeout = \"1s\"\nmax_object = \"64KiB\"\n",
		"[cache.disk]\nsize = \"8MiB\"\ndisk_size = \"64MiB\"\ncompress = [\"gzip\"]\ndisk = \""+t.TempDir()+"\"\n",
		"[[route]]\nname = \"disk\"\nprefix = \"/d/\"\npool = \"app\"\ncache = \"disk\"\n"))
	var left, hits, foreign atomic.Int64
	left.Store(int64(requests))
	var all sync.WaitGroup
	for i := range clients {
		all.Go(func() {
			k := &tokenClient{addr: g.Addr, token: fmt.Sprintf("%06d", i), tags: map[string]string{}, hits: &hits,
				foreign: &foreign}
			for left.Add(-1) >= 0 {
				path := []string{"/m/", "/d/"}[rand.IntN(2)] + strconv.Itoa(rand.IntN(20))
				if err := k.ask(path); err != nil {
					t.Error(err)
					return
				}
			}
			if k.c != nil {
				k.c.Close()
			}
		})
	}
	for n := 0; left.Load() > 0; n++ {
		if n%1000 == 999 {
			t.Logf("%d requests left", left.Load())
		}
		what := []string{"prefix=http://example.com/m/1", "url=http://example.com/d/2", "all=1&soft=1"}[n%3]
		g.Purge(what)
		time.Sleep(50 * time.Millisecond) // between two purges
	}
	all.Wait()
	t.Logf("%d requests of %d clients, %d to the target, %d from the cache, %d bytes of another client's answers",
		requests, clients, o.asked.Load(), hits.Load(), foreign.Load())
	if foreign.Load() > 0 || hits.Load() == 0 {
		t.Errorf("%d bytes of another client's answers, %d hits", foreign.Load(), hits.Load())
	}
}
