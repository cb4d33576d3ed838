package lookup

import (
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/penstock-edge/penstock/cache/disk"
	"github.com/penstock-edge/penstock/cache/fetch"
	"github.com/penstock-edge/penstock/cache/purge"
	"github.com/penstock-edge/penstock/cache/records"
	"github.com/penstock-edge/penstock/edge"
)

// durable is an origin behind a cache with a folder, and what closes it.
func durable(t *testing.T, dir, keys string) (o *origin, end func()) {
	t.Helper()
	below, err := records.OpenDurable(records.DiskOptions{Dir: dir, Size: disk.MinSize, Objects: 1000}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for !below.Tier.Loaded() {
		runtime.Gosched()
	}
	c := newCache(t, keys)
	c.State = fetch.NewState(records.New(16<<20, below), 16<<20)
	o = over(t, c)
	o.now.Store(1_900_000_000_000) // later than the clock of the machine, by which a disk forgets
	return o, below.Close
}

// TestRestart: what is stored is found after a start, by variants and by rules for queries too, and what was purged, or
// is over, is not.
func TestRestart(t *testing.T) {
	dir := t.TempDir()
	o, end := durable(t, dir, "")
	large := strings.Repeat("0123456789", 40_000)
	for path, lines := range map[string][]string{"/plain": nil, "/tagged": {"Cache-Tag: t"}, "/vary": {"Vary: X-Lang"}, "/search?a=1&b=2": {`No-Vary-Search: params=("b")`},
		"/short": {"Penstock-Cache-Control: max-age=10"}, "/url": nil} {
		o.reply(200, "body of "+path, append(lines, "Cache-Control: max-age=1000")...)
		o.ask(path, "X-Lang: a")
	}
	o.reply(200, large, "Cache-Control: max-age=1000", `ETag: "l"`)
	o.ask("/large")
	for _, order := range []*purge.Order{{Tags: []string{"t"}}, {Urls: [][]byte{[]byte("http://h.example/url")}}} {
		if n := o.c.Purge(order, o.c.Flights.Scatter); n != 1 {
			t.Errorf("%d answers are purged", n)
		}
	}
	end()
	o, end = durable(t, dir, "")
	defer end()
	o.pass(20 * time.Second)
	o.reply(200, "new", "Cache-Control: max-age=1000")
	f := func(target, want string, fields ...string) {
		t.Helper()
		if g := o.ask(target, fields...); g.body != want || g.hits() != (want != "new") {
			t.Errorf("%s %q: %q %s, want %q", target, fields, g.body[:min(len(g.body), 30)], g.as, want[:min(len(want), 30)])
		}
	}
	f("/plain", "body of /plain")
	f("/tagged", "new")
	f("/url", "new")
	f("/vary", "new", "X-Lang: b")
	f("/vary", "body of /vary", "X-Lang: a")
	f("/search?a=1&b=7", "body of /search?a=1&b=2")
	f("/search?a=2", "new")
	f("/short", "new")
	f("/large", "5678", "Range: bytes=15-18")
	f("/large", large)
}

// TestDiskInTheLoop: what is on disk alone is not read in a loop, which may not wait; what is nowhere, and what is in
// memory, needs no disk.
func TestDiskInTheLoop(t *testing.T) {
	dir := t.TempDir()
	o, end := durable(t, dir, "")
	o.reply(200, "body", "Cache-Control: max-age=1000")
	o.ask("/a")
	end()
	o, end = durable(t, dir, "")
	defer end()
	x := o.request("/a")
	if x.MayWait = false; o.l.Run(x) != edge.Wait || o.c.Tier.Hits.Load() != 0 {
		t.Error("it is read in the loop")
	}
	x.MayWait = true
	if g := o.finish(o.begin(x)); g.body != "body" || !g.hits() || o.count() != 0 {
		t.Errorf("%q %s", g.body, g.as)
	}
	x = o.request("/a")
	x.MayWait = false
	if g := o.finish(o.begin(x)); g.body != "body" || !g.hits() || o.c.Tier.Hits.Load() != 1 {
		t.Errorf("%q %s, %d reads", g.body, g.as, o.c.Tier.Hits.Load())
	}
}

// TestCompressed: an answer is encoded once it is wanted so, for those that accept it, and goes back to what it is where
// parts are asked for, or the coding is refused; an answer that has changed has no form of the one before.
func TestCompressed(t *testing.T) {
	o := newOrigin(t, "compress = [\"br\", \"gzip\"]\ncompress_min = \"100B\"")
	text := strings.Repeat("all the same ", 100)
	version := 1
	o.says = func(x *edge.Exchange) *edge.Fault {
		tag := fmt.Sprintf(`ETag: "%d"`, version)
		if string(x.Req.Get("If-None-Match")) == strings.TrimPrefix(tag, "ETag: ") {
			answer(x, 304, "", "Cache-Control: max-age=10", tag)
		} else {
			answer(x, 200, fmt.Sprint(version, text), "Cache-Control: max-age=10", "Content-Type: text/plain", tag, "Digest: x")
		}
		return nil
	}
	decode := func(g got) string {
		t.Helper()
		var b []byte
		var err error
		switch coding := g.field("Content-Encoding"); coding {
		case "gzip":
			b, err = fasthttp.AppendGunzipBytes(nil, []byte(g.body))
		case "br":
			b, err = fasthttp.AppendUnbrotliBytes(nil, []byte(g.body))
		default:
			return g.body
		}
		if err != nil || !strings.HasPrefix(g.field("ETag"), "W/") || g.field("Digest") != "" {
			t.Errorf("%v %q", err, g.lines)
		}
		return string(b)
	}
	want := func(coding string, fields ...string) {
		t.Helper()
		g := o.ask("/a", fields...)
		for range 1_000_000 { // it is made beside the requests
			if g.field("Content-Encoding") == coding {
				break
			}
			runtime.Gosched()
			g = o.ask("/a", fields...)
		}
		if g.field("Content-Encoding") != coding || decode(g) != fmt.Sprint(version, text) || !strings.Contains(g.field("Vary"), "Accept-Encoding") {
			t.Errorf("%q: %q %d bytes %s", fields, g.field("Content-Encoding"), len(g.body), g.as)
		}
	}
	o.ask("/a")
	want("br", "Accept-Encoding: gzip, br")
	want("gzip", "Accept-Encoding: gzip")
	want("", "Accept-Encoding: gzip;q=0")
	want("", "Accept-Encoding: deflate")
	if g := o.ask("/a", "Accept-Encoding: br", "Range: bytes=1-3"); g.body != text[:3] || g.status != 206 || g.field("Content-Encoding") != "" {
		t.Errorf("%d %q", g.status, g.body)
	}
	if g := o.ask("/a", "Accept-Encoding: br", `If-None-Match: W/"1"`); g.status != 304 {
		t.Errorf("%d %s", g.status, g.as)
	}
	asked := o.count()
	o.pass(11 * time.Second)
	want("br", "Accept-Encoding: br") // it is confirmed with what it was made of
	if o.count() != asked+1 {
		t.Errorf("the target was asked %d times", o.count()-asked)
	}
	o.pass(11 * time.Second)
	version = 2
	for _, accepts := range []string{"br", "gzip", "identity"} {
		if g := o.ask("/a", "Accept-Encoding: "+accepts); decode(g) != fmt.Sprint(2, text) {
			t.Errorf("%s: a form of what was there before: %q %s", accepts, g.field("Content-Encoding"), g.as)
		}
	}
	want("br", "Accept-Encoding: br")
}

// TestReadersOfStored: whoever reads slowly what is replaced, or forgotten, meanwhile has the bytes of the answer that
// he began with, or none.
func TestReadersOfStored(t *testing.T) {
	o := newOrigin(t, "")
	body := func(c string) string { return strings.Repeat(c, 600_000) }
	o.reply(200, body("a"), "Cache-Control: max-age=60")
	o.ask("/a")
	x := o.begin(o.request("/a"))
	first := make([]byte, 200_000)
	if _, err := io.ReadFull(x.Out, first); err != nil {
		t.Fatal(err)
	}
	o.reply(200, body("b"), "Cache-Control: max-age=60")
	o.c.Purge(&purge.Order{All: true}, o.c.Flights.Scatter)
	if g := o.ask("/a"); g.body != body("b") {
		t.Errorf("%d bytes", len(g.body))
	}
	rest, err := io.ReadAll(x.Out)
	if strings.Trim(string(first)+string(rest), "a") != "" || err == nil && len(first)+len(rest) != 600_000 {
		t.Errorf("%d bytes, %v", len(rest), err)
	}
	if err := x.Out.Close(); err != nil {
		t.Error(err)
	}
	(&done{cache: o.c, route: uncounted}).Run(x)
}
