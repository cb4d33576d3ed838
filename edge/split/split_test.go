package split

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/live"
	"github.com/penstock-edge/penstock/pool"
)

// named is an upstream, and its own peer, that only counts.
type named struct{ picked int }

func (n *named) Pick(*edge.Exchange) (edge.Peer, *edge.Fault) {
	n.picked++
	return n, nil
}
func (*named) RoundTrip(*edge.Exchange) *edge.Fault { return nil }
func (*named) Release(*edge.Exchange, *edge.Fault)  {}

// build1 builds a route over the pools a, b and c.
func build1(t testing.TB, keys string) (*live.Built, map[string]*named) {
	t.Helper()
	pools := map[string]*named{}
	b, err := check(keys, pools)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b, pools
}

func check(keys string, pools map[string]*named) (*live.Built, error) {
	offer := edge.Feature{Name: "pools", Answers: []string{"pool"}, New: func(h *edge.Host) *edge.Instance {
		for _, name := range []string{"a", "b", "c"} {
			pools[name] = &named{}
			h.Offer(name, pools[name])
		}
		return &edge.Instance{Route: func(r *edge.RouteSetup) {
			if r.Table.Has("pool") {
				r.Answers("pool")
			}
		}}
	}}
	text := "[[listener]]\naddress = \":8080\"\n[[route]]\nname = \"r\"\nprefix = \"/\"\n" + keys
	return live.Check("test.toml", []byte(text), []edge.Feature{offer, Feature})
}

func newExchange(b *live.Built) *edge.Exchange {
	x := new(edge.Exchange)
	x.Slot = make([]any, b.Slots)
	x.Plan = b.Plans[0]
	return x
}

func pick(t testing.TB, x *edge.Exchange) edge.Peer {
	t.Helper()
	p, f := x.Plan.Upstream.Pick(x)
	if f != nil {
		t.Fatal(f)
	}
	return p
}

func TestShares(t *testing.T) {
	b, pools := build1(t, `split = [{ pool = "a", weight = 70 }, { pool = "b", weight = 0 }, { pool = "c", weight = 30 }]`)
	if arms := b.Plans[0].Upstream.(*splitter).arms; len(arms) != 2 {
		t.Errorf("%d pools take part, want 2", len(arms))
	}
	const n = 20000
	for range n {
		pick(t, newExchange(b))
	}
	// Four standard deviations of a binomial distribution: fails once in 15,000 runs.
	want, slack := 0.7*n, 4*math.Sqrt(n*0.7*0.3)
	if got := float64(pools["a"].picked); math.Abs(got-want) > slack || pools["b"].picked != 0 {
		t.Errorf("a %v, b %d, c %d", got, pools["b"].picked, pools["c"].picked)
	}
}

func TestOnePoolAnExchange(t *testing.T) {
	b, _ := build1(t, `split = [{ pool = "a" }, { pool = "b" }]`)
	for range 50 {
		x := newExchange(b)
		first := pick(t, x)
		for range 10 {
			if pick(t, x) != first {
				t.Fatal("another attempt went to another pool")
			}
		}
	}
}

func TestSticky(t *testing.T) {
	f := func(sticky string, set func(x *edge.Exchange, client string), random bool) {
		t.Helper()
		b, pools := build1(t, "split = [{ pool = \"a\" }, { pool = \"b\" }]\nsticky = \""+sticky+"\"")
		for i := range 64 {
			client, first := strconv.Itoa(i), edge.Peer(nil)
			for range 8 {
				x := newExchange(b)
				set(x, client)
				p := pick(t, x)
				if first == nil {
					first = p
				}
				if p != first && !random {
					t.Fatalf("%s: client %d changed the pool", sticky, i)
				}
			}
		}
		if pools["a"].picked < 100 || pools["b"].picked < 100 {
			t.Errorf("%s: %d and %d of 512", sticky, pools["a"].picked, pools["b"].picked)
		}
	}
	f("ip", func(x *edge.Exchange, c string) { x.Client = netip.MustParseAddr("192.0.2." + c) }, false)
	f("header:x-user", func(x *edge.Exchange, c string) { x.Req.Set("X-User", c) }, false)
	f("header:x-user", func(*edge.Exchange, string) {}, true)
	f("cookie:id", func(x *edge.Exchange, c string) { x.Cookie = []byte("a=b; id=" + c + "; c") }, false)
	f("cookie:id", func(x *edge.Exchange, _ string) { x.Cookie = []byte("a=b; xid=1; id=") }, true)
}

// cookies returns the Set-Cookie lines of the answer.
func cookies(x *edge.Exchange) (lines []string) {
	for k, v := range x.Resp.Each() {
		if string(k) == "Set-Cookie" {
			lines = append(lines, string(v))
		}
	}
	return lines
}

func TestCookie(t *testing.T) {
	b, _ := build1(t, "split = [{ pool = \"a\" }, { pool = \"b\" }]\nsticky = \"cookie:id\"")
	respond, log := b.Plans[0].Filters(edge.Respond)[0], b.Plans[0].Filters(edge.Log)[0]
	f := func(scheme, cookie string, local bool, want string) {
		t.Helper()
		x := newExchange(b)
		x.Scheme, x.Cookie, x.Local = scheme, []byte(cookie), local
		x.Resp.Add("Set-Cookie", "own=1")
		first := pick(t, x)
		respond.Run(x)
		lines := cookies(x)
		line := lines[len(lines)-1]
		log.Run(x)
		log.Run(x) // the memory is given back once
		if x.Slot[respond.(*setCookie).up.slot] != nil {
			t.Error("the exchange still holds what it gave back")
		}
		if want == "" {
			if line != "own=1" {
				t.Errorf("%q: %q", cookie, line)
			}
			return
		}
		if lines[0] != "own=1" {
			t.Errorf("the target's cookie has become %q", lines[0])
		}
		value, attributes, _ := strings.Cut(line, ";")
		if attributes != want || !strings.HasPrefix(value, "id=") || len(value) != 35 {
			t.Errorf("%q: %q", cookie, line)
		}
		// The client comes back with it: to the same pool, and it gets no other.
		y := newExchange(b)
		y.Cookie = []byte(value)
		if pick(t, y) != first {
			t.Error("the cookie leads to another pool")
		}
		respond.Run(y)
		if len(cookies(y)) != 0 {
			t.Error("a client that has a cookie got another")
		}
	}
	for range 20 {
		f("http", "", false, " Path=/; HttpOnly; SameSite=Lax")
		f("https", "a=b", false, " Path=/; HttpOnly; SameSite=Lax; Secure")
	}
	f("http", "id=x", false, "")
	f("http", "", true, "")
}

// TestMove: shifting weight between two pools moves clients in one direction, and only as many as it says.
func TestMove(t *testing.T) {
	arms := func(first, whole int) *splitter {
		s := &splitter{arms: []arm{{end: math.MaxUint64}, {end: math.MaxUint64}}}
		s.arms[0].end = threshold(first, whole)
		return s
	}
	rapid.Check(t, func(t *rapid.T) {
		whole := rapid.IntRange(3, 2000000).Draw(t, "whole")
		from := rapid.IntRange(2, whole-1).Draw(t, "from")
		to := rapid.IntRange(1, from-1).Draw(t, "to")
		before, after := arms(from, whole), arms(to, whole)
		hash := rapid.Uint64().Draw(t, "hash")
		if before.armOf(hash) == 1 && after.armOf(hash) == 0 {
			t.Fatal("a client went back to the pool that lost weight")
		}
		// A slow twin of threshold: the share of the hash in floating point.
		share := float64(hash) / math.MaxUint64
		if border := float64(from) / float64(whole); math.Abs(share-border) > 1e-9 {
			if want := 0; (share < border) != (before.armOf(hash) == want) {
				t.Fatalf("hash %x of %d/%d is in arm %d", hash, from, whole, before.armOf(hash))
			}
		}
	})
	moved, before, after := 0, arms(95, 100), arms(90, 100)
	for range 20000 {
		if h := rand.Uint64(); before.armOf(h) != after.armOf(h) {
			moved++
		}
	}
	if moved < 800 || moved > 1200 { // six standard deviations
		t.Errorf("%d of 20000 clients moved, want about 1000", moved)
	}
}

func TestNotes(t *testing.T) {
	b, _ := build1(t, "split = [{ pool = \"a\", weight = 2 }, { pool = \"b\" }]\nsticky = \"ip\"")
	want := []edge.Note{{Key: "split", Value: "a 66.67%"}, {Key: "split", Value: "b 33.33%"}, {Key: "sticky", Value: "ip"}}
	if got := b.Plans[0].Notes; !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
}

func TestMistakes(t *testing.T) {
	f := func(keys, want string) {
		t.Helper()
		_, err := check(keys, map[string]*named{})
		if err == nil || strings.Count(err.Error(), "\n") > 0 || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", keys, err, want)
		}
	}
	two := "split = [{ pool = \"a\" }, { pool = \"b\" }]\n"
	f(`split = [{ pool = "a" }, { pool = "bb" }]`, `test.toml:6:35: route[1].split[2].pool: no pool named "bb"`)
	f(`split = [{ pool = "a" }, { pool = "a" }]`, `"a" is in this split already`)
	f(`split = [{ pool = "a", weight = 0 }]`, "one weight at least that is not 0")
	f(`split = []`, "needs 1 to 256 pools")
	f(`split = [{ weight = 1 }, { pool = "a" }]`, "pool: is required")
	f(`split = [{ pool = "a", weight = -1 }]`, "must be between 0 and 1000000")
	f(two+`pool = "a"`, `is answered by "pool" already`)
	f(two+`sticky = "random"`, `must be "ip", "cookie:NAME" or "header:NAME"`)
	f(two+`sticky = "cookie:"`, `"" is not the name of a cookie`)
	f(two+`sticky = "header:a b"`, `"a b" is not the name of a header`)
	f("pool = \"a\"\nsticky = \"ip\"", "means nothing without split")
}

func TestExample(t *testing.T) {
	text, err := os.ReadFile("../../configs/split.toml")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("README.md")
	if err != nil || !bytes.Contains(readme, text) {
		t.Errorf("README.md does not show the example (%v)", err)
	}
	b, err := live.Check("split.toml", text, []edge.Feature{pool.Feature, Feature})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	f := func(i int, by by, name string, log int) {
		t.Helper()
		s := b.Plans[i].Upstream.(*splitter)
		if s.by != by || s.field+string(s.name) != name || len(s.arms) != 2 || len(b.Plans[i].Filters(edge.Log)) != log {
			t.Errorf("route %d: %+v", i, s)
		}
	}
	f(0, byCookie, "release", 1)
	f(1, byHeader, "X-Api-Key", 0)
}

// TestRepeatedKeys: a client's share is found by every value of the field or cookie, and an empty line hides none.
func TestRepeatedKeys(t *testing.T) {
	f := func(sticky string, cookie func(user string) string, lines func(user string) []string) {
		t.Helper()
		b, _ := build1(t, "split = [{ pool = \"a\" }, { pool = \"b\" }]\nsticky = \""+sticky+"\"\n")
		for i := range 40 {
			user := fmt.Sprint("user", i)
			one, other := newExchange(b), newExchange(b)
			one.Req.Set("X-User", user)
			one.Cookie = []byte("id=" + user)
			for _, v := range lines(user) {
				other.Req.Add("X-User", v)
			}
			other.Cookie = []byte(cookie(user))
			if pick(t, one) != pick(t, other) {
				t.Errorf("%s, %s: another pool", sticky, user)
			}
		}
	}
	f("header:X-User", func(string) string { return "" }, func(user string) []string { return []string{"", user, user} })
	f("cookie:id", func(user string) string { return "id=; a=1; id=" + user }, func(string) []string { return nil })
}
