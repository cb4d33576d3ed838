package storm

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/penstock-edge/penstock/bench/rig"
)

// serve starts an origin, which lasts as long as the tests.
func serve(t *testing.T) string {
	t.Helper()
	addr, err := rig.FreeAddr()
	if err != nil {
		t.Fatal(err)
	}
	go Serve(addr)
	if err := rig.Answers(addr, 10*time.Second); err != nil {
		t.Fatal(err)
	}
	return addr
}

func tallyOf(t *testing.T, addr string) (seen Tally) {
	t.Helper()
	resp, err := http.Get("http://" + addr + "/tally")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&seen); err != nil {
		t.Fatal(err)
	}
	return seen
}

// All that was due is sent, and the origin has seen as many.
func TestFlood(t *testing.T) {
	addr := serve(t)
	s := Pour(Options{Addr: addr, Workers: 20, Rate: func(at time.Duration) float64 {
		if at < 300*time.Millisecond {
			return 100
		}
		return 1000
	}})
	for s.Ended() < 100 {
		s.Wait(s.Since() + 10*time.Millisecond)
	}
	shots := s.Stop()
	if again := s.Stop(); len(again) != len(shots) {
		t.Errorf("a second Stop returns %d requests, not %d", len(again), len(shots))
	}
	if seen := tallyOf(t, addr); seen.Requests != int64(len(shots)) || seen.Posts != 0 {
		t.Errorf("%d requests were sent, the origin has seen %+v", len(shots), seen)
	}
	before, after := Between(shots, 0, 300*time.Millisecond), Between(shots, 300*time.Millisecond, time.Hour)
	if before.N != 30 || after.N < 70 {
		t.Errorf("%d due in the first part, %d in the second", before.N, after.N)
	}
	if before.Bad+after.Bad != 0 {
		t.Errorf("%v %v", before, after)
	}
}

func TestBehaviour(t *testing.T) {
	addr := serve(t)
	f := func(b Behaviour, status int) {
		t.Helper()
		if err := Behave(addr, b); err != nil {
			t.Fatal(err)
		}
		s := Pour(Options{Addr: addr, Workers: 10, Rate: Steady(200), Request: func(int) string {
			return "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\na"
		}})
		for s.Ended() < 10 {
			s.Wait(s.Since() + 10*time.Millisecond)
		}
		all := Between(s.Stop(), 0, time.Hour)
		if all.Statuses[strconv.Itoa(status)] != all.N || (status == 200) != (all.Bad == 0) {
			t.Errorf("%+v: %v", b, all)
		}
		if least := time.Duration(b.DelayMS) * time.Millisecond; all.P50 < least {
			t.Errorf("%+v: half of the answers came within %v", b, all.P50)
		}
	}
	f(Behaviour{}, 200)
	f(Behaviour{DelayMS: 20}, 200)
	f(Behaviour{DelayMS: 20, Workers: 1}, 200)
	f(Behaviour{SlowMS: 20, SlowPart: 1}, 200)
	f(Behaviour{FailPart: 1}, 500)
	f(Behaviour{FailPart: 1, FailWith: 503}, 503)
	if seen := tallyOf(t, addr); seen.Posts != seen.Requests || seen.Bodies["a"] != int(seen.Posts) {
		t.Errorf("%+v", seen)
	}
	if Behave("127.0.0.1:1", Behaviour{}) == nil {
		t.Error("nobody is there, and it is no error")
	}
}

// Requests that have waited too long for a connection are not sent any more.
func TestPatience(t *testing.T) {
	addr := serve(t)
	if err := Behave(addr, Behaviour{DelayMS: 50}); err != nil {
		t.Fatal(err)
	}
	s := Pour(Options{Addr: addr, Workers: 1, Rate: Steady(500), Patience: 20 * time.Millisecond})
	for s.Ended() < 50 {
		s.Wait(s.Since() + 10*time.Millisecond)
	}
	all := Between(s.Stop(), 0, time.Hour)
	if gaveUp := all.Statuses[ErrGaveUp.Error()]; gaveUp == 0 || gaveUp != all.Bad || all.Statuses["200"] == 0 {
		t.Errorf("%v", all)
	}
}

func TestFigures(t *testing.T) {
	var shots []Shot
	for i := range 100 {
		shots = append(shots, Shot{Due: time.Duration(i) * time.Second, Took: time.Duration(i) * time.Millisecond, Status: 200})
	}
	shots[50].Status = 503
	shots[60].Status, shots[60].Err = 0, ErrGaveUp
	f := Between(shots, 0, time.Hour)
	if f.N != 100 || f.Bad != 2 || f.P50 != 50*time.Millisecond || f.P99 != 99*time.Millisecond || f.Statuses["503"] != 1 {
		t.Errorf("%+v", f)
	}
	if g := Goodput(shots, 50*time.Second, 70*time.Second, 65*time.Millisecond); g != 13.0/20 {
		t.Errorf("goodput %v, want 13 of 20 seconds", g)
	}
	if f := Between(nil, 0, time.Hour); f.N != 0 || f.String() == "" {
		t.Errorf("%v", f)
	}
}

func TestPlot(t *testing.T) {
	p := &Plot{Title: "T", X: "x", Y: "y", Ticks: []Tick{{0, "0"}, {10, "10"}}, High: 100,
		Curves: []Curve{{"c", "#123", [][2]float64{{0, 0}, {5, 200}, {10, 100}}}}, Levels: []Level{{50, "half"}}}
	want := `d="M70.0 300.0L405.0 44.0L740.0 44.0"` // what is above the picture is at its edge
	if svg := p.SVG(); !strings.Contains(svg, want) || !strings.Contains(svg, "H740") || !strings.HasSuffix(svg, "</svg>\n") {
		t.Errorf("%s", svg)
	}
	p.Log, p.Low = true, 25
	if svg := p.SVG(); !strings.Contains(svg, `d="M70.0 300.0L405.0 44.0L740.0 44.0"`) || strings.Contains(svg, "NaN") {
		t.Errorf("%s", svg)
	}
}
