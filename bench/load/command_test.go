package load

import (
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
)

// ask has a loader do some lines, and gives an answer for each.
func ask(t *testing.T, addr string, lines ...string) []Result {
	t.Helper()
	var out strings.Builder
	opt := Options{Addr: addr, Paths: []string{"/128"}}
	if err := Serve(opt, strings.NewReader(strings.Join(lines, "\n")+"\n"), &out); err != nil {
		t.Fatal(err)
	}
	var all []Result
	for d := json.NewDecoder(strings.NewReader(out.String())); ; {
		var r Result
		if err := d.Decode(&r); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("%v in %s", err, out.String())
		}
		all = append(all, r)
	}
	if len(all) != len(lines) {
		t.Fatalf("%d answers to %d lines: %s", len(all), len(lines), out.String())
	}
	return all
}

func TestServe(t *testing.T) {
	r := ask(t, startOrigin(t), "run conns=2 rate=1000 seconds=0.03", "run conns=2 seconds=0.02", "idle conns=7",
		"burst", "drop", "burst")
	f := func(i, sent int) {
		t.Helper()
		if r[i].Sent != sent || r[i].Done != sent || r[i].Error != "" {
			t.Errorf("answer %d: %+v, want %d requests", i, r[i], sent)
		}
	}
	f(0, 30)
	clean(t, r[1])
	f(2, 7)
	f(3, 7)
	f(4, 0)
	f(5, 0)
}

// A line that cannot be done says so, and the next is done all the same.
func TestServeRefuses(t *testing.T) {
	addr := startOrigin(t)
	f := func(line, want string) {
		t.Helper()
		r := ask(t, addr, line, "idle conns=1")
		if !strings.Contains(r[0].Error, want) || r[0].Sent != 0 {
			t.Errorf("%q: %+v, want an error with %q", line, r[0], want)
		}
		if r[1].Error != "" || r[1].Done != 1 {
			t.Errorf("behind %q: %+v", line, r[1])
		}
	}
	f("", "unknown command")
	f("stop", "unknown command")
	f("run conns=x", "conns")
	f("run conns", "conns")
	f("run seconds=1s", "seconds")
	f("run seconds=0", "some time")
	f("run seconds=-1", "out of range")
	f("run seconds=NaN", "out of range")
	f("run rate=+Inf", "out of range")
	f("run rate=-1", "out of range")
	f("run conns=0", "at least one")
	f("idle conns=-3", "out of range")
	f("idle conns=1e12", "out of range")
	f("run speed=3", "unknown")
}

func TestServeCannotStart(t *testing.T) {
	if err := Serve(Options{Addr: "nowhere", Paths: []string{"/"}}, strings.NewReader("drop\n"), io.Discard); err == nil {
		t.Error("an address without a port was taken")
	}
}
