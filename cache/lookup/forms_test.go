package lookup

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/penstock-edge/penstock/cache/cachetest"
	"github.com/penstock-edge/penstock/cache/purge"
	"github.com/penstock-edge/penstock/edge"
)

// formsWorld is a cache before a target that encodes what it has, and a slow twin that has a list of all that
// was answered.
type formsWorld struct {
	t   interface{ Fatal(...any) }
	c   *Cache
	l   *Filter
	now int64 // milliseconds

	has     []string // codings of the target, the best one first
	vary    bool
	version int
	asked   int
	offer   string // of the latest request to the target

	// What the twin knows of one URL.
	forAll *formOfTwin            // the answer that is not told apart; nil: none
	slots  map[string]*formOfTwin // by coding, or by offer what fits nowhere
	plain  map[string]bool        // offers that were answered without a coding, once slots are told apart
	want   int
}

// formOfTwin is an answer.
type formOfTwin struct {
	coding, body string
	at           int64
}

// lifeOfForms is how long an answer is fresh, in milliseconds.
const lifeOfForms = 10_000

func (w *formsWorld) Pick(*edge.Exchange) (edge.Peer, *edge.Fault) { return w, nil }
func (w *formsWorld) Release(*edge.Exchange, *edge.Fault)          {}

func (w *formsWorld) RoundTrip(x *edge.Exchange) *edge.Fault {
	w.asked++
	w.offer = string(x.Req.Get("Accept-Encoding"))
	coding := w.choose(w.offer)
	head := "Cache-Control: max-age=10\r\n"
	if coding != "" {
		head += "Content-Encoding: " + coding + "\r\n"
	}
	if w.vary {
		head += "Vary: Accept-Encoding\r\n"
	}
	body := fmt.Sprint(coding, " version ", w.version)
	x.SetHead(200, nil, []byte(head))
	x.Out, x.OutLen = edge.NewBytesBody([]byte(body)), int64(len(body))
	return nil
}

// choose returns the coding in which the target answers; "always" is one that nobody is asked for.
func (w *formsWorld) choose(offer string) string {
	for _, c := range w.has {
		if c == "always" || strings.Contains(", "+offer+",", " "+c+",") {
			return c
		}
	}
	return ""
}

// expect returns the answer to a request that accepts what the target would be offered as offer.
func (w *formsWorld) expect(offer string, anew bool) string {
	accepts := map[string]bool{}
	for c := range strings.SplitSeq(offer, ", ") {
		accepts[c] = true
	}
	var best *formOfTwin
	take := func(f *formOfTwin) {
		if f != nil && w.now-f.at < lifeOfForms && (best == nil || f.at > best.at) {
			best = f
		}
	}
	if w.plain == nil {
		take(w.forAll)
	} else {
		for _, c := range []string{"zstd", "br", "gzip"} {
			if accepts[c] {
				take(w.slots[c])
			}
		}
		for answered := range w.plain {
			covers := true
			for c := range accepts {
				covers = covers && (c == "identity" || strings.Contains(answered, c))
			}
			if covers {
				take(w.slots[""])
			}
		}
		if best == nil {
			take(w.slots["for "+offer])
		}
	}
	if best != nil && !anew {
		return best.body
	}
	w.want++
	coding := w.choose(offer)
	f := &formOfTwin{coding, fmt.Sprint(coding, " version ", w.version), w.now}
	if coding == "" && !w.vary && w.plain == nil {
		w.forAll = f
		return f.body
	}
	if w.plain == nil {
		w.plain, w.slots, w.forAll = map[string]bool{}, map[string]*formOfTwin{}, nil
	}
	switch {
	case coding == "":
		w.plain[offer] = true
		w.slots[""] = f
	case accepts[coding]:
		w.slots[coding] = f
	default:
		w.slots["for "+offer] = f
	}
	return f.body
}

// stored returns how many answers the twin has that are not forgotten.
func (w *formsWorld) stored() (n int) {
	all := []*formOfTwin{w.forAll}
	for _, f := range w.slots {
		all = append(all, f)
	}
	for _, f := range all {
		if f != nil && w.now/1000 < f.at/1000+lifeOfForms/1000+1 {
			n++
		}
	}
	return n
}

// ask sends a request through the cache.
func (w *formsWorld) ask(accept string, anew bool) string {
	x := cachetest.Request("/", "Accept-Encoding: "+accept)
	if anew {
		x.Req.Set("Cache-Control", "no-cache")
	}
	x.MayWait, x.Plan, x.Conn = true, &edge.Plan{Upstream: w}, edge.Discard{}
	x.Times.Head = w.now * int64(time.Millisecond)
	if v := w.l.Run(x); v != edge.Answered || x.Fault != nil {
		w.t.Fatal(accept, v, x.Fault)
	}
	b, err := io.ReadAll(x.Out)
	if err != nil {
		w.t.Fatal(err)
	}
	_ = x.Out.Close() // a body in memory
	(&done{cache: w.c, route: uncounted}).Run(x)
	return string(b)
}

// accepted are ways to write what a client accepts, by what the target is offered for that.
var accepted = map[string][]string{
	"identity":       {"", "identity", "deflate", "gzip;q=0", "br;q=0.000, *;q=0", "gzip;q=x"},
	"gzip":           {"gzip", "GZIP ;q=0.1", "x-gzip, deflate", "gzip, br;q=0", "*;q=1, br;q=0, zstd;q=0.0"},
	"br":             {"br", "deflate,br;q=1.0"},
	"br, gzip":       {"gzip, br", "br , gzip ; q=0.001"},
	"zstd, gzip":     {"gzip, zstd", "*, br;q=0"},
	"zstd, br, gzip": {"gzip, deflate, br, zstd", "*", "zstd, *;q=0.5"},
}

// TestFormsAgainstTwin: while a target begins and ceases to encode, in one way or another, and to say so, each client
// is answered by what the twin says, and the target asked as often.
func TestFormsAgainstTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := newCache(t, "")
		w := &formsWorld{t: t, c: c, l: &Filter{Cache: c, Route: "r"}, now: 1_790_000_000_000}
		c.Tick = func() int64 { return w.now * int64(time.Millisecond) }
		c.WallAt = func(now int64) int64 { return now }
		offers := rapid.SampledFrom([]string{"identity", "gzip", "br", "br, gzip", "zstd, gzip", "zstd, br, gzip"})
		change := func() {
			w.version++
			w.vary = rapid.Bool().Draw(t, "vary")
			w.has = rapid.SampledFrom([][]string{nil, {"gzip"}, {"br", "gzip"}, {"gzip", "br"}, {"zstd"}, {"always"}}).Draw(t, "has")
		}
		change()
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			w.now += rapid.SampledFrom([]int64{1, 1, 1, 1000, 9999, 11_000}).Draw(t, "milliseconds")
			switch rapid.SampledFrom([]string{"ask", "ask", "ask", "ask", "ask", "change", "purge"}).Draw(t, "step") {
			case "ask":
				offer := offers.Draw(t, "offer")
				accept := rapid.SampledFrom(accepted[offer]).Draw(t, "accept")
				anew := rapid.IntRange(0, 5).Draw(t, "anew") == 0
				want := w.expect(offer, anew)
				before := w.asked
				got := w.ask(accept, anew)
				if got != want || w.asked != w.want || w.asked > before && w.offer != offer {
					t.Fatalf("%q: %q after %d requests, the last one for %q, want %q after %d for %q", accept, got, w.asked, w.offer,
						want, w.want, offer)
				}
				if coding, _, _ := strings.Cut(got, " "); coding != "" && coding != "always" && !strings.Contains(offer, coding) {
					t.Fatalf("%q: %q", accept, got)
				}
			case "change":
				change()
			case "purge":
				c.Store.At(w.now / 1000)
				if n, want := c.Purge(&purge.Order{Urls: [][]byte{[]byte("http://h.example/")}}, c.Flights.Scatter), w.stored(); n != want {
					t.Fatalf("purged %d, want %d", n, want)
				}
				w.forAll = nil
				clear(w.slots)
			}
		}
	})
}
