//go:build !race

package ratelimit

import (
	"net/netip"
	"testing"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/config"
	"github.com/penstock-edge/penstock/edge/lib/clock"
	"github.com/penstock-edge/penstock/edge/lib/lanes"
	"github.com/penstock-edge/penstock/edge/lib/wire"
)

// TestAllocations: whatever a limit is asked for, a request costs no allocation, nor does a refusal.
func TestAllocations(t *testing.T) {
	f := func(what, keys string, status int, fields string, request func(x *edge.Exchange)) {
		t.Helper()
		file := config.Parse("test.toml", []byte("[rate_limit.main]\n"+keys), config.Options{})
		c := readConfig(file.Root.Children("rate_limit")[0])
		if errs := file.Finish(); len(errs) > 0 {
			t.Fatalf("%s: %v", what, errs)
		}
		l := &limit{name: "main", conf: c, kept: newState(c), counted: c.counted}
		l.meter = l.kept.meter
		for i := range l.decisions {
			l.decisions[i] = lanes.NewCounter()
		}
		l.fallbacks, l.missing, l.badCosts = lanes.NewCounter(), lanes.NewCounter(), lanes.NewCounter()
		l.describe()
		g := &gate{route: "r", cost: -1}
		g.add(l)
		say, end, answer := &addFields{costs: g.costs}, done{}, own{}
		x := &edge.Exchange{}
		x.Slot = make([]any, 1)
		x.Client = netip.MustParseAddr("192.0.2.7")
		request(x)
		head := []byte("HTTP/1.1 200 OK\r\nDate: Thu, 26 Nov 2026 10:00:00 GMT\r\n" + fields + "\r\n")
		came := &wire.Response{Status: status, Fields: len("HTTP/1.1 200 OK\r\n")}
		once := func() {
			x.Times.Head = clock.Now()
			x.Fault = nil
			if g.Run(x) == edge.Next {
				x.TakeHead(came, head)
			} else if answer.Run(x) == edge.Next {
				x.Answer(x.Fault.Status, "", nil)
			}
			say.Run(x)
			end.Run(x)
			x.ResetHead()
		}
		once() // buffers are there now
		if n := testing.AllocsPerRun(200, once); n != 0 {
			t.Errorf("%s: %v allocations", what, n)
		}
	}
	const plenty, once = "rate = \"1000000000/s\"\n", "rate = \"1/h\"\nburst = 1\n"
	nothing := func(*edge.Exchange) {}
	keyed := func(x *edge.Exchange) {
		x.Req.Add("X-Key", "a")
		x.Req.Add("X-Key", "b")
		x.Cookie, x.Query = []byte("a=1; id=7"), []byte("k=1")
	}
	f("plain", plenty, 200, "", nothing)
	f("list of keys", plenty+"key = [\"header:X-Key\", \"cookie:id\", \"query:k\"]\n", 200, "", keyed)
	f("missing", plenty+"key = [\"header:X-Key\", \"cookie:id\"]\n", 200, "", nothing)
	f("missing, by address", plenty+"key = \"header:X-Key\"\nmissing = \"ip\"\n", 200, "", nothing)
	f("missing, skipped", once+"key = \"header:X-Key\"\nmissing = \"skip\"\n", 200, "", nothing)
	f("missing, refused", once+"key = \"header:X-Key\"\nmissing = \"refuse\"\n", 200, "", nothing)
	f("exempt", once+"key = [\"ip\", \"header:X-Key\"]\nexempt = [[\"10.0.0.0/8\", \"*\"], [\"192.0.2.0/24\", \"*\"]]\n", 200, "", keyed)
	f("x_headers", plenty+"x_headers = true\n", 200, "", nothing)
	f("refused", once+"x_headers = true\n", 200, "", nothing)
	f("refused with an answer", once+"answer = { status = 503, body = \"no\", headers = { X-A = \"b\", Content-Type = \"text/plain\" } }\n", 200, "", nothing)
	f("counted", plenty+"count = \"200-299\"\n", 204, "", nothing)
	f("not counted", once+"count = \"401,403\"\n", 204, "", nothing)
	f("cost of the answer", plenty+"cost_header = \"X-Cost\"\n", 200, "X-Cost: 3\r\nX-Cost: 5, x\r\n", nothing)
}
