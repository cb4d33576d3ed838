package lookup

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/penstock-edge/penstock/cache/cachetest"
	"github.com/penstock-edge/penstock/edge"
)

// crowd is a cache with many clients at once. The target holds each request until it is released, so that any
// order of events comes about; time is that of a synctest bubble. Every answer of the target has a number, and
// each answer that a client gets is judged by the rules of RFC 9111 as they stand in allows, written for one
// answer and one request and not for a cache.
type crowd struct {
	c *Cache
	l *Filter

	mu      sync.Mutex // guards what follows
	says    crowdSays
	version int
	answers []*crowdAnswer
	held    []chan struct{} // requests at the target, and second halves of bodies, in the order they came
	failed  []time.Time     // when the target has failed
	events  int             // that orders what happens at one time
	purged  []int           // the events that were purges
	wrong   string          // the first answer that its client may not get
	clients sync.WaitGroup
}

// crowdSays is what the target says with its answers now.
type crowdSays struct {
	life, revive, sie                     time.Duration
	noCache, must, private, public, vary  bool
	etag, down, fault, streams, ofUnknown bool
	refuses                               bool // all keys but the first
	noStore, setCookie, sharedTag         bool
}

// crowdState is an answer of the target, or a 304 that confirms one, with what it says of its use.
type crowdState struct {
	at   time.Time
	nth  int // which event it was
	says crowdSays
	key  string // of the client who asked
	auth bool
}

// crowdAnswer is an answer with a body of the target.
type crowdAnswer struct {
	path, lang, tenant string
	version            int
	states             []crowdState
}

// crowdClient is one request.
type crowdClient struct {
	key, path, lang, cc string
	tenant              []string // lines
	auth                []string // lines
	begin, end          time.Time
	nth                 int // which event begin was
	gone                atomic.Bool
	status              int
	body, as            string
}

func (k *crowdClient) Gone() bool { return k.gone.Load() }
func (k *crowdClient) Abort()     {}

func newCrowd(t *rapid.T) *crowd {
	w := &crowd{c: newCache(t, "key_headers = [\"X-Tenant\"]\nwait_timeout = \"2s\"\n")}
	w.c.Tick = func() int64 { return time.Now().UnixNano() }
	w.c.WallAt = func(now int64) int64 { return now }
	w.l = &Filter{Cache: w.c, Route: "r"}
	return w
}

func (w *crowd) Pick(*edge.Exchange) (edge.Peer, *edge.Fault) { return w, nil }
func (w *crowd) Release(*edge.Exchange, *edge.Fault)          {}

// hold waits until it is released.
func (w *crowd) hold() {
	gate := make(chan struct{})
	w.mu.Lock()
	w.held = append(w.held, gate)
	w.mu.Unlock()
	<-gate
}

// distinct is the one form of what repeated lines mean.
func distinct(lines []string) string {
	var all []string
	for _, v := range lines {
		if v != "" && !slices.Contains(all, v) {
			all = append(all, v)
		}
	}
	return strings.Join(all, "+")
}

func linesAt(x *edge.Exchange, name string) (all []string) {
	for v := range x.Req.All(name) {
		all = append(all, string(v))
	}
	return all
}

// RoundTrip implements edge.Peer. What the target says is decided when it is asked, not when it is released.
func (w *crowd) RoundTrip(x *edge.Exchange) *edge.Fault {
	key, lang := string(x.Req.Get("X-Api-Key")), string(x.Req.Get("X-Lang"))
	w.mu.Lock()
	w.events++
	s, version, now := w.says, w.version, time.Now()
	state := crowdState{now, w.events, s, key, distinct(linesAt(x, "Authorization")) != ""}
	a := &crowdAnswer{string(x.OutPath), lang, distinct(linesAt(x, "X-Tenant")), version, []crowdState{state}}
	status := 200
	switch {
	case s.down || s.fault:
		status = 503
	case s.refuses && key != "k0":
		status = 403
	case s.etag:
		for i, old := range w.answers {
			if string(x.Req.Get("If-None-Match")) == w.tag(i) && old.version == version && old.path == a.path &&
				old.tenant == a.tenant && (!s.vary || old.lang == lang) && (s.sharedTag || old.states[0].key == key) {
				old.states = append(old.states, state)
				status, a = 304, old
			}
		}
	}
	n := len(w.answers)
	if status == 200 {
		w.answers = append(w.answers, a)
	}
	w.mu.Unlock()
	w.hold()
	if status == 503 { // it is known now
		w.mu.Lock()
		w.failed = append(w.failed, time.Now())
		w.mu.Unlock()
	}
	if s.down {
		return edge.UpstreamTimeout
	}
	w.answer(x, s, n, status)
	return nil
}

func (w *crowd) tag(n int) string { return fmt.Sprintf(`"a%d"`, n) }

// answer writes the answer with a number, or another status.
func (w *crowd) answer(x *edge.Exchange, s crowdSays, n, status int) {
	head := "Cache-Control: " + s.directives() + "\r\n"
	if s.etag && status == 200 {
		head += "ETag: " + w.tag(n) + "\r\n"
	}
	if s.vary {
		head += "Vary: X-Lang\r\n"
	}
	if s.setCookie {
		head += "Set-Cookie: sid=" + string(x.Req.Get("X-Api-Key")) + "\r\n"
	}
	body := fmt.Sprint("answer ", n, " ends")
	switch status {
	case 304:
		x.SetHead(304, nil, []byte(head))
		x.Out, x.OutLen = nil, 0
		return
	case 403, 503:
		head, body = "", fmt.Sprint("status ", status)
	}
	x.SetHead(status, nil, []byte(head))
	x.Out, x.OutLen = edge.NewBytesBody([]byte(body)), int64(len(body))
	if s.streams {
		x.Out = &heldBody{w: w, left: body}
	}
	if s.ofUnknown {
		x.OutLen = -1
	}
}

func (s *crowdSays) directives() string {
	d := fmt.Sprint("max-age=", int(s.life.Seconds()))
	for _, one := range []struct {
		is   bool
		text string
	}{
		{s.revive > 0, fmt.Sprint("stale-while-revalidate=", int(s.revive.Seconds()))},
		{s.sie > 0, fmt.Sprint("stale-if-error=", int(s.sie.Seconds()))},
		{s.noCache, "no-cache"}, {s.must, "must-revalidate"}, {s.private, "private"}, {s.public, "public"},
		{s.noStore, "no-store"},
	} {
		if one.is {
			d += ", " + one.text
		}
	}
	return d
}

// heldBody is a body whose second half is held back.
type heldBody struct {
	edge.Opaque
	w    *crowd
	left string
	half bool
}

func (b *heldBody) Read(p []byte) (int, error) {
	if b.left == "" {
		return 0, io.EOF
	}
	if b.half {
		b.w.hold()
	}
	n := copy(p, b.left[:(len(b.left)+1)/2])
	b.left, b.half = b.left[n:], true
	return n, nil
}

// Ready implements edge.Body.
func (*heldBody) Ready() bool { return false }

// begin sends the request of a client; it goes on by itself.
func (w *crowd) begin(k *crowdClient) {
	x := cachetest.Request(k.path, "X-Api-Key: "+k.key)
	for name, lines := range map[string][]string{"X-Tenant": k.tenant, "Authorization": k.auth} {
		for _, v := range lines {
			x.Req.Add(name, v)
		}
	}
	if k.lang != "" {
		x.Req.Set("X-Lang", k.lang)
	}
	if k.cc != "" {
		x.Req.Set("Cache-Control", k.cc)
	}
	x.MayWait, x.Plan, x.Conn = true, &edge.Plan{Upstream: w}, k
	x.SetOutPath(x.Path)
	w.mu.Lock()
	w.events++
	k.begin, k.nth = time.Now(), w.events
	w.mu.Unlock()
	x.Times.Head = k.begin.UnixNano()
	w.clients.Go(func() {
		w.serve(x, k)
		w.mu.Lock()
		defer w.mu.Unlock()
		k.end = time.Now()
		w.judge(k)
	})
}

// serve is what the flow does with a request.
func (w *crowd) serve(x *edge.Exchange, k *crowdClient) {
	if w.l.Run(x) == edge.Next {
		if x.Fault = w.RoundTrip(x); x.Fault == nil {
			(&rescueAnswer{cache: w.c}).Run(x)
		}
	}
	if x.Fault != nil {
		(&rescueFault{cache: w.c}).Run(x)
	}
	if x.Fault != nil {
		k.status = x.Fault.Status
	} else {
		k.status = x.Status()
		if x.Out != nil {
			b, err := io.ReadAll(x.Out)
			if k.body = string(b); err != nil {
				k.body = err.Error()
			}
			_ = x.Out.Close() // a body in memory
		}
		for v := range x.Resp.All("Set-Cookie") {
			if string(v) != "sid="+k.key {
				k.body = "a cookie of another client: " + string(v)
			}
		}
	}
	if r, ok := x.Slot[0].(*record); ok {
		k.as = string(r.appendStatus(nil))
	}
	(&done{cache: w.c, route: uncounted}).Run(x)
}

// judge fails unless the answer that a client has got is one that it may get. w.mu is held.
func (w *crowd) judge(k *crowdClient) {
	within := func(times []time.Time) bool {
		return slices.ContainsFunc(times, func(at time.Time) bool { return !at.Before(k.begin) && !at.After(k.end) })
	}
	number, found := strings.CutPrefix(k.body, "answer ")
	number, ends := strings.CutSuffix(number, " ends")
	n, err := strconv.Atoi(number)
	switch {
	case k.gone.Load(): // nobody reads it
	case k.cc == "only-if-cached" && k.status == 504:
	case k.status == 403 && k.key != "k0":
	case (k.status == 503 || k.status == 504) && within(w.failed) || len(w.failed) > 0 && k.status == 504:
	case k.status != 200 || !found || !ends || err != nil || n >= len(w.answers):
		w.fail("%+v: no answer of the target", k)
	case !slices.ContainsFunc(w.answers[n].states, func(s crowdState) bool { return w.allows(w.answers[n], s, k, within(w.failed)) }):
		w.fail("%+v\nmay not get\n%+v\nfailures %v", k, *w.answers[n], w.failed)
	}
}

// fail keeps the first failure: a goroutine of a client is not where a check may end. w.mu is held.
func (w *crowd) fail(format string, args ...any) {
	if w.wrong == "" {
		w.wrong = fmt.Sprintf(format, args...)
	}
}

// allows reports whether a request may be answered with what the target has said once.
func (w *crowd) allows(a *crowdAnswer, s crowdState, k *crowdClient, failed bool) bool {
	if a.path != k.path || a.tenant != distinct(k.tenant) || s.says.vary && a.lang != k.lang {
		return false
	}
	if s.key == k.key && !s.at.Before(k.begin) && !s.at.After(k.end) {
		return true // it was said to this client
	}
	if slices.ContainsFunc(w.purged, func(nth int) bool { return s.nth < nth && nth < k.nth }) {
		return false
	}
	says := &s.says
	switch {
	case says.noCache, says.private, says.noStore, says.setCookie:
		return false
	case s.auth && !says.public && !says.must:
		return false
	}
	age := max(k.begin.Sub(s.at), 0) // it has waited, or found it stored
	over := age - says.life
	bound := failed || k.end.Sub(k.begin) >= 2*time.Second // it has waited for wait_timeout
	sie := says.sie
	if k.cc == "stale-if-error=60" {
		sie = max(sie, time.Minute)
	}
	switch {
	case !says.must && bound && sie > 0 && over <= sie+k.end.Sub(k.begin):
		return true // RFC 5861 section 4: regardless of other freshness information
	case k.cc == "no-cache", k.cc == "max-age=1" && age > time.Second:
		return false
	}
	return over < 0 || !says.must &&
		(says.revive > 0 && over <= says.revive || k.cc == "max-stale=20" && over <= 20*time.Second)
}

// draw draws what the target says.
func (w *crowd) draw(t *rapid.T) {
	flag := func(name string, one int) bool { return rapid.IntRange(1, one).Draw(t, name) == 1 }
	seconds := func(name string) time.Duration {
		return time.Duration(rapid.SampledFrom([]int{0, 0, 5, 60}).Draw(t, name)) * time.Second
	}
	s := crowdSays{life: seconds("life"), revive: seconds("revive"), sie: seconds("sie"),
		noCache: flag("no-cache", 4), must: flag("must", 5), private: flag("private", 6), public: flag("public", 4),
		vary: flag("vary", 4), etag: flag("etag", 2), down: flag("down", 8), fault: flag("fault", 8),
		streams: flag("streams", 3), ofUnknown: flag("unknown", 3), refuses: flag("refuses", 6),
		noStore: flag("no-store", 10), setCookie: flag("set-cookie", 8), sharedTag: flag("shared-tag", 2)}
	w.mu.Lock()
	w.says = s
	w.version++
	w.mu.Unlock()
}

func drawClient(t *rapid.T) *crowdClient {
	pick := func(name string, from ...string) string { return rapid.SampledFrom(from).Draw(t, name) }
	lines := func(name string, from ...[]string) []string { return rapid.SampledFrom(from).Draw(t, name) }
	return &crowdClient{key: pick("key", "k0", "k1", "k2", "k3"), path: pick("path", "/0", "/0", "/1"),
		lang: pick("lang", "", "a", "b"),
		cc:   pick("cc", "", "", "", "no-cache", "max-age=1", "max-stale=20", "only-if-cached", "stale-if-error=60"),
		tenant: lines("tenant", nil, nil, []string{"x"}, []string{"", "x"}, []string{"x", "x", ""}, []string{"x", "y"},
			[]string{"y", "x"}),
		auth: lines("auth", nil, nil, nil, nil, []string{"Bearer z"}, []string{"", "Bearer z"})}
}

// release lets one of what is held at the target go on. It returns false when nothing is.
func (w *crowd) release(n int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.held) == 0 {
		return false
	}
	n %= len(w.held)
	close(w.held[n])
	w.held = slices.Delete(w.held, n, n+1)
	return true
}

// finish releases everything until all clients have their answers.
func (w *crowd) finish() {
	over := make(chan struct{})
	go func() {
		w.clients.Wait()
		close(over)
	}()
	for idle := 0; idle < 50; { // a refresh may follow
		synctest.Wait()
		if w.release(0) {
			idle = 0
			continue
		}
		time.Sleep(100 * time.Millisecond) // of the bubble: those that wait look whether their client is there
		idle++
	}
	<-over
}

// TestCrowdAgainstRules sends requests of several clients at once, in any order with what the target does, says and
// fails, with purges and as time passes. Each answer is one that its client may get.
func TestCrowdAgainstRules(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rapid.Check(struct{ rapid.TB }{t}, func(t *rapid.T) { // a bubble has no deadline to look at
			w := newCrowd(t)
			w.draw(t)
			var clients []*crowdClient
			for range rapid.IntRange(1, 40).Draw(t, "steps") {
				switch rapid.SampledFrom([]string{"ask", "ask", "ask", "ask", "release", "release", "release", "says", "wait", "purge",
					"leave"}).Draw(t, "step") {
				case "ask":
					k := drawClient(t)
					clients = append(clients, k)
					w.begin(k)
				case "release":
					w.release(rapid.IntRange(0, 3).Draw(t, "which"))
				case "says":
					w.draw(t)
				case "wait":
					time.Sleep(time.Duration(rapid.SampledFrom([]int{1, 1000, 2500, 6000, 40_000}).Draw(t, "wait")) * time.Millisecond)
				case "purge":
					w.c.Purges.Everything(false)
					w.c.Flights.Scatter()
					w.mu.Lock()
					w.events++
					w.purged = append(w.purged, w.events)
					w.mu.Unlock()
				case "leave":
					if len(clients) > 0 {
						clients[rapid.IntRange(0, len(clients)-1).Draw(t, "who")].gone.Store(true)
					}
				}
				synctest.Wait()
			}
			w.finish()
			if w.wrong != "" {
				t.Fatal(w.wrong)
			}
		})
	})
}
