package lookup

import (
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/penstock-edge/penstock/cache/cachetest"
	"github.com/penstock-edge/penstock/cache/purge"
	"github.com/penstock-edge/penstock/cache/records"
	"github.com/penstock-edge/penstock/edge"
)

// world is a cache with a target and a clock of the test's own, and a slow twin beside it that knows what
// each answer has to be.
type world struct {
	t   interface{ Fatal(...any) }
	c   *Cache
	l   *Filter
	now int64 // milliseconds

	// What the owner of the cache wants.
	keys

	targets map[string]*target
	asked   int // requests that reached the target
	want    int

	passedOn bool // the latest answer is that of the target, as it came

	stored map[string]*twinEntry // by path and variant
	signs  map[string]bool       // paths that are known to vary
	passes map[string]int64      // by path, or path and variant: when an answer was found not to be storable
	purges []twinPurge
}

// keys are keys of a cache that change what may be answered.
type keys struct {
	life503 bool // errors that say nothing are fresh for 10 s
	shares  bool // private is overruled
	deaf    bool // the client's no-cache, max-age and min-fresh are ignored
}

func (k keys) text() (s string) {
	if k.life503 {
		s += "ttl = { \"500-599\" = \"10s\" }\n"
	}
	if k.shares {
		s += "override = { private = true }\n"
	}
	if k.deaf {
		s += "ignore_client_no_cache = true\n"
	}
	return s
}

func newWorld(t interface{ Fatal(...any) }, k keys) *world {
	w := &world{t: t, c: newCache(t, k.text()), keys: k, now: 1_790_000_000_000, targets: map[string]*target{},
		stored: map[string]*twinEntry{}, signs: map[string]bool{}, passes: map[string]int64{}}
	w.c.Tick = func() int64 { return w.now * int64(time.Millisecond) }
	w.c.WallAt = func(now int64) int64 { return now }
	w.l = &Filter{Cache: w.c, Route: "r", keyed: &keyed{[]string{"QUERY"}, 10}}
	return w
}

// target is how the target answers for one path.
type target struct {
	version           int
	life, revive, sie int64 // seconds
	noCache, must     bool
	etag, vary        bool
	down, private     bool
	// fault is what an error that it answers with says: nothing, or for how long it is fresh; "": it is well.
	fault string
}

// The faults.
const (
	plainFault   = "no-transform"
	lastingFault = "max-age=10"
)

// twinEntry is what the twin remembers of an answer.
type twinEntry struct {
	status    int
	body      string
	version   int
	at        int64
	of        target // as it was then
	purgesOld int    // how many purges there were when it was asked for
}

// forgotten reports whether the store has let it go, for which it reckons in whole seconds.
func (e *twinEntry) forgotten(now int64) bool {
	keep := e.of.life + 1
	if !e.of.must {
		keep += max(e.of.revive, e.of.sie)
	}
	if e.of.etag {
		keep += 3600
	}
	return now/1000 >= e.at/1000+keep
}

// storable reports whether an answer is of use to others: it is fresh for a while, can be asked about, or may be
// used stale.
func (tg *target) storable(k keys) bool {
	if tg.fault != "" {
		return tg.fault == lastingFault || k.life503
	}
	return (k.shares || !tg.private) && (tg.life > 0 || tg.etag || !tg.noCache && !tg.must && tg.revive+tg.sie > 0)
}

type twinPurge struct {
	path string // empty: all
	soft bool
}

// The world is the upstream of its exchanges.
func (w *world) Pick(*edge.Exchange) (edge.Peer, *edge.Fault) { return w, nil }
func (w *world) Release(*edge.Exchange, *edge.Fault)          {}

func (w *world) RoundTrip(x *edge.Exchange) *edge.Fault {
	w.asked++
	path := string(x.OutPath)
	tg := w.targets[path]
	if x.In != nil {
		b, err := io.ReadAll(x.In)
		if err != nil || string(x.Method) != "QUERY" {
			w.t.Fatal(string(x.Method), b, err)
		}
		_ = x.In.Close() // a body in memory
		path += "|" + string(b)
	}
	if tg.down {
		return edge.UpstreamTimeout
	}
	if tg.fault != "" {
		head := "Cache-Control: " + tg.fault + "\r\n"
		if tg.vary {
			head += "Vary: X-Lang\r\n"
		}
		x.SetHead(503, nil, []byte(head))
		x.Out, x.OutLen = edge.NewBytesBody([]byte("fault")), int64(len("fault"))
		return nil
	}
	etag := fmt.Sprintf("%q", fmt.Sprint("v", tg.version))
	head := "Cache-Control: " + tg.directives() + "\r\n"
	if tg.etag {
		head += "ETag: " + etag + "\r\n"
	}
	if tg.vary {
		head += "Vary: X-Lang\r\n"
	}
	if tg.etag && string(x.Req.Get("If-None-Match")) == etag {
		x.SetHead(304, nil, []byte(head))
		x.Out, x.OutLen = nil, 0
		return nil
	}
	body := tg.body(path, string(x.Req.Get("X-Lang")))
	x.SetHead(200, nil, []byte(head))
	x.Out, x.OutLen = edge.NewBytesBody([]byte(body)), int64(len(body))
	return nil
}

func (tg *target) body(path, lang string) string {
	if !tg.vary {
		lang = ""
	}
	return fmt.Sprint(path, " ", lang, " version ", tg.version)
}

func (tg *target) directives() string {
	s := fmt.Sprint("max-age=", tg.life)
	if tg.revive > 0 {
		s += fmt.Sprint(", stale-while-revalidate=", tg.revive)
	}
	if tg.sie > 0 {
		s += fmt.Sprint(", stale-if-error=", tg.sie)
	}
	if tg.noCache {
		s += ", no-cache"
	}
	if tg.must {
		s += ", must-revalidate"
	}
	if tg.private {
		s += ", private"
	}
	return s
}

// at returns the target for a path, behind which the body of the question may stand.
func (w *world) at(path string) *target { return w.targets[questionOf(path)] }

func questionOf(path string) string {
	path, _, _ = strings.Cut(path, "|")
	return path
}

// ask sends a request through the cache and returns status and body.
func (w *world) ask(method, path, lang, cc, part string) (int, string) {
	x := cachetest.Request(questionOf(path))
	x.Method = []byte(method)
	if _, body, ok := strings.Cut(path, "|"); ok {
		x.In, x.InLen = edge.NewBytesBody([]byte(body)), int64(len(body))
	}
	if part != "" {
		x.Req.Set("Range", part)
	}
	if lang != "" {
		x.Req.Set("X-Lang", lang)
	}
	if cc != "" {
		x.Req.Set("Cache-Control", cc)
	}
	x.MayWait, x.Plan, x.Conn = true, &edge.Plan{Upstream: w}, edge.Discard{}
	x.SetOutPath(x.Path)
	x.Times.Head = w.now * int64(time.Millisecond)
	if w.l.Run(x) == edge.Next { // it is passed on
		x.Fault = w.RoundTrip(x)
		if method == "HEAD" {
			x.Out = nil
		}
	}
	var status int
	body := ""
	switch {
	case x.Fault != nil:
		status = x.Fault.Status
	default:
		status = x.Status()
		if x.Out != nil {
			b, err := io.ReadAll(x.Out)
			if err != nil {
				w.t.Fatal(err)
			}
			body = string(b)
			_ = x.Out.Close() // a body in memory
		}
	}
	(&done{cache: w.c, route: uncounted}).Run(x)
	for w.c.Fetches.Load() > 0 || w.flying() {
		runtime.Gosched() // a refresh ends by itself
	}
	return status, body
}

func (w *world) flying() bool {
	w.c.Flights.Mu.Lock()
	defer w.c.Flights.Mu.Unlock()
	return len(w.c.Flights.By) > 0
}

// judge is what the purges say of an entry.
func (w *world) judge(e *twinEntry, path string) (gone, soft bool) {
	for _, p := range w.purges[e.purgesOld:] {
		if p.path == "" || p.path == questionOf(path) {
			gone, soft = gone || !p.soft, soft || p.soft
		}
	}
	return gone, soft
}

// purge purges, and checks that as many answers go as the twin has that could be served, or softly those
// that were not stale by a purge.
func (w *world) purge(p twinPurge, o *purge.Order) {
	want := 0
	for key, e := range w.stored {
		path, _, _ := strings.Cut(key, " ")
		gone, soft := w.judge(e, path)
		if !e.forgotten(w.now) && !gone && !(soft && p.soft) && (p.path == "" || p.path == questionOf(path)) {
			want++
		}
	}
	w.c.Store.At(w.now / 1000) // as the next request would
	if n := w.c.Purge(o, w.c.Flights.Scatter); n != want {
		w.t.Fatal("purged ", n, " answers of ", p.path, ", want ", want)
	}
	w.purges = append(w.purges, p)
}

// expect returns what the answer to a request has to be, and does to the twin what it does to the cache.
func (w *world) expect(method, path, lang, cc, part string) (int, string) {
	if w.deaf && (cc == "no-cache" || cc == "max-age=10" || cc == "min-fresh=3") {
		cc = ""
	}
	status, body := w.whole(method == "HEAD" || part != "", path, lang, cc)
	switch {
	case method == "HEAD":
		body = ""
	case part != "" && status == 200 && !w.passedOn:
		return 206, body[:3]
	}
	return status, body
}

// whole is expect for all of the answer. less is set when less is wanted.
func (w *world) whole(less bool, path, lang, cc string) (int, string) {
	tg := w.at(path)
	key := path
	w.passedOn = false
	if strings.HasSuffix(path, "too long to be in a key") {
		return w.pass(path, lang, "")
	}
	if at, ok := w.passes[path]; ok && w.now < at+30_000 {
		return w.pass(path, lang, cc)
	} else if tg.vary && w.signs[path] {
		key += " " + lang
		if at, ok := w.passes[key]; ok && w.now < at+30_000 {
			return w.pass(path, lang, cc)
		}
	}
	e := w.stored[key]
	if e != nil && e.forgotten(w.now) {
		e = nil
	}
	soft, usable := false, false
	if e != nil {
		var gone bool
		if gone, soft = w.judge(e, path); gone {
			e = nil
		}
	}
	if e != nil {
		age, life := w.now-e.at, e.of.life*1000
		over := age - life
		stale := cc == "max-stale=20" && !e.of.must && over >= 0 && over <= 20_000
		revives := (over < 0 && soft || over >= 0 && over <= e.of.revive*1000) && e.of.revive > 0 && !e.of.must
		switch {
		case e.of.noCache:
		case cc == "no-cache", cc == "max-age=10" && age > 10_000, cc == "min-fresh=3" && -over < 3000:
			usable = over < 0
		case over < 0 && !soft:
			return e.status, e.body
		case stale: // the client takes it, however it has become stale
			return e.status, e.body
		// When it is fresh but for a soft purge, the directives of the request have been obeyed already.
		case revives && (over < 0 || cc != "max-age=10" && cc != "min-fresh=3"):
			w.fetch(false, true, true, key, path, lang, e)
			w.passedOn = false
			return e.status, e.body
		}
	}
	if cc == "only-if-cached" {
		return 504, ""
	}
	return w.fetch(less, false, usable, key, path, lang, e)
}

// pass is a request that the cache does not look at.
func (w *world) pass(path, lang, cc string) (int, string) {
	if cc == "only-if-cached" {
		return 504, ""
	}
	w.passedOn = true
	w.want++
	switch tg := w.at(path); {
	case tg.down:
		return 504, ""
	case tg.fault != "":
		return 503, "fault"
	default:
		return 200, tg.body(path, lang)
	}
}

// use returns of what use the answer is that is stored under a key.
func (w *world) use(key, path string) (fresh, useful bool) {
	e := w.stored[key]
	if e == nil || e.forgotten(w.now) {
		return false, false
	}
	if gone, _ := w.judge(e, path); gone {
		return false, false
	}
	over := w.now - e.at - e.of.life*1000
	stale := max(e.of.revive, e.of.sie) * 1000
	if e.of.must {
		stale = 0
	}
	return over < 0, e.of.noCache || over < stale
}

// fetch is one request to the target, about old when that has a tag. usable reports whether old may be used
// without asking, if not for this request.
func (w *world) fetch(less, alone, usable bool, key, path, lang string, old *twinEntry) (int, string) {
	tg := w.at(path)
	w.want++
	if old != nil && (tg.down || tg.fault != "") && !old.of.must && !old.of.noCache && old.of.sie > 0 &&
		w.now-old.at-old.of.life*1000 <= old.of.sie*1000 {
		return old.status, old.body
	}
	switch {
	case tg.down:
		return 504, ""
	case tg.fault != "" && (usable || !tg.storable(w.keys)): // it says nothing of what is stored, or may be
		if less {
			return w.pass(path, lang, "")
		}
		w.passedOn = true
		return 503, "fault"
	}
	if !tg.storable(w.keys) {
		if old != nil && tg.etag && old.version == tg.version {
			return 200, old.body // a 304 confirms it for the one that asked, and changes nothing
		}
		if fresh, useful := w.use(key, path); alone && !fresh {
			delete(w.stored, key)
			delete(w.passes, key)
		} else if !alone && !useful {
			delete(w.stored, key)
			w.passes[key] = w.now
		}
		if less {
			return w.pass(path, lang, "")
		}
		w.passedOn = true
		if tg.fault != "" {
			return 503, "fault"
		}
		return 200, tg.body(path, lang)
	}
	if delete(w.passes, path); tg.vary {
		w.signs[path] = true
		key = path + " " + lang
	}
	delete(w.passes, key)
	fresh := &twinEntry{200, tg.body(path, lang), tg.version, w.now, *tg, len(w.purges)}
	if tg.fault != "" {
		fresh.status, fresh.body, fresh.version, fresh.of = 503, "fault", -1, target{life: 10}
	}
	w.stored[key] = fresh
	return fresh.status, fresh.body
}

// TestPassLasts: that an answer was not to be stored is remembered for as long as it says, to the
// millisecond, though what the store keeps lasts for whole seconds.
func TestPassLasts(t *testing.T) {
	w := newWorld(t, keys{})
	w.targets["/"] = &target{life: 60, private: true}
	w.now++
	w.ask("GET", "/", "", "", "")
	for _, step := range []struct {
		wait  time.Duration
		asked int // whoever asks first in vain for what might be stored asks for it twice
	}{{records.PassFor - time.Millisecond, 2}, {time.Millisecond, 4}} {
		w.now += step.wait.Milliseconds()
		if w.ask("HEAD", "/", "", "", ""); w.asked != step.asked {
			t.Errorf("%v later: the target was asked %d times, want %d", step.wait, w.asked, step.asked)
		}
	}
}

// TestAgainstTwin sends requests in any order, while targets change, fail and come back, answers are purged
// and time passes. Each answer, and how often the target was asked, is what the twin says.
func TestAgainstTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, keys{life503: rapid.Bool().Draw(t, "life503"), shares: rapid.Bool().Draw(t, "shares"),
			deaf: rapid.Bool().Draw(t, "deaf")})
		for i := range 4 {
			seconds := func(name string) int64 { return rapid.SampledFrom([]int64{0, 5, 10, 65}).Draw(t, name) }
			w.targets[fmt.Sprint("/", i)] = &target{life: seconds("life"), revive: seconds("revive"), sie: seconds("sie"),
				noCache: rapid.IntRange(0, 4).Draw(t, "no-cache") == 0, must: rapid.IntRange(0, 4).Draw(t, "must") == 0,
				etag: rapid.Bool().Draw(t, "etag"), vary: i == 2}
		}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			path := fmt.Sprint("/", rapid.IntRange(0, 3).Draw(t, "path"))
			tg := w.targets[path]
			switch rapid.SampledFrom([]string{"ask", "ask", "ask", "ask", "change", "down", "fault", "private", "wait", "purge", "all"}).Draw(t, "step") {
			case "ask":
				lang := rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "lang")
				cc := rapid.SampledFrom([]string{"", "", "", "no-cache", "max-stale=20", "only-if-cached", "max-age=10", "min-fresh=3"}).Draw(t, "cc")
				method := rapid.SampledFrom([]string{"GET", "GET", "GET", "HEAD"}).Draw(t, "method")
				if path == "/3" {
					method = "QUERY"
					path += "|" + rapid.SampledFrom([]string{"one", "two", "one too long to be in a key"}).Draw(t, "body")
				}
				part := ""
				if method == "GET" {
					part = rapid.SampledFrom([]string{"", "", "bytes=0-2"}).Draw(t, "part")
				}
				status, body := w.expect(method, path, lang, cc, part)
				gotStatus, got := w.ask(method, path, lang, cc, part)
				if gotStatus != status || got != body || w.asked != w.want {
					t.Fatalf("%s %s %q %q %s: %d %q after %d requests to the target, want %d %q after %d", method, path, lang, cc, part,
						gotStatus, got, w.asked, status, body, w.want)
				}
			case "change":
				tg.version++
			case "down":
				tg.down = !tg.down
			case "fault":
				tg.fault = rapid.SampledFrom([]string{"", plainFault, lastingFault}).Draw(t, "fault")
			case "private":
				tg.private = !tg.private
			case "wait":
				w.now += rapid.SampledFrom([]int64{1, 4999, 5000, 5001, 20_000, 61_000}).Draw(t, "milliseconds")
			case "purge":
				soft := rapid.Bool().Draw(t, "soft")
				w.purge(twinPurge{path, soft}, &purge.Order{Urls: [][]byte{[]byte("http://h.example" + path)}, Soft: soft})
			case "all":
				soft := rapid.Bool().Draw(t, "soft")
				w.purge(twinPurge{"", soft}, &purge.Order{All: true, Soft: soft})
			}
		}
	})
}
