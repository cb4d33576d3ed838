package discovery

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestCleanAddress(t *testing.T) {
	f := func(address, want string) {
		t.Helper()
		got, err := cleanAddress(address)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v; want %q", address, got, err, want)
		}
	}
	f("10.0.0.1:80", "10.0.0.1:80")
	f("[::1]:80", "[::1]:80")
	f("[2001:DB8:0:0::1]:80", "[2001:db8::1]:80")
	f("[::ffff:10.0.0.1]:80", "10.0.0.1:80")
	f("[fe80::1%eth0]:80", "[fe80::1%eth0]:80")
	f("Users.Example.:8080", "users.example:8080")
	f("a_b:65535", "a_b:65535")
	f("localhost:080", "localhost:80")
	for _, bad := range []string{"", "10.0.0.1", ":80", "10.0.0.1:0", "10.0.0.1:65536", "10.0.0.1:-1", "10.0.0.1:http",
		"::1:80", "0.0.0.0:80", "[::]:80", "224.0.0.1:80", "10.0.0:80", "a b:80", "a/b:80", "user@host:80", "-a:80", "a-:80",
		"a..b:80", ".:80", "unix:/x", "a\x00:80", strings.Repeat("a.", 130) + "a:80", strings.Repeat("a", 64) + ":80",
		"10.0.0.1:+80"} {
		f(bad, "")
	}
}

func TestSet(t *testing.T) {
	f := func(want string, list ...Endpoint) {
		t.Helper()
		a := &answer{}
		for _, e := range list {
			a.add(e)
		}
		set, err := a.set()
		got := text(set)
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s\nwant %s", got, want)
		}
	}
	f("the answer is empty: there is no target in it")
	f(`the answer is empty: there is no target in it that can be used, 2 cannot: "x" is not host:port`,
		Endpoint{Address: "x"}, Endpoint{Address: ":9"})
	f("a:1 b:1", Endpoint{Address: "b:1", Weight: 1}, Endpoint{Address: "x"}, Endpoint{Address: "a:1", Weight: 1})
	f("a:1*65535 b:1*0", Endpoint{Address: "a:1", Weight: 1 << 30}, Endpoint{Address: "b:1", Weight: -1})
	f("a:1/z b:1", Endpoint{Address: "a:1", Zone: "z", Weight: 1}, Endpoint{Address: "b:1", Zone: "z\n", Weight: 1})
	f("a:1*3", Endpoint{Address: "a:1", Backup: true, Weight: 9}, Endpoint{Address: "A:1", Weight: 2},
		Endpoint{Address: "a.:1", Weight: 3})
}

func TestTooMany(t *testing.T) {
	f := func(n int, good bool) {
		t.Helper()
		a := &answer{}
		for i := range n {
			a.add(Endpoint{Address: fmt.Sprintf("10.1.%d.%d:%d", i>>8&255, i&255, 1+i>>16)})
		}
		if set, err := a.set(); (err == nil) != good {
			t.Errorf("%d: %d, %v", n, len(set), err)
		}
	}
	f(MaxEndpoints, true)
	f(MaxEndpoints+1, false)
}

var errDown = errors.New("down")

// TestRun: a set is reported when it is new or follows an error, an error always.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		steps := []string{"a:1", "a:1", "b:1", "down", "b:1", "", "b:1", "down", "down", "c:1"}
		var log []string
		tell := func(set []Endpoint, err error) {
			if err != nil {
				log = append(log, err.Error())
			} else {
				log = append(log, text(set))
				set[0].Address = "spoilt" // the set is the callee's
			}
		}
		run(ctx, &teller{tell: tell, origin: &origin{}}, func(ctx context.Context, t *teller) error {
			if len(steps) == 0 {
				cancel()
				return errDown // the echo of the end
			}
			step := steps[0]
			steps = steps[1:]
			a := &answer{}
			switch step {
			case "down":
				return errDown
			case "":
				t.watched(ctx, a)
				return nil
			}
			a.add(Endpoint{Address: step, Weight: 1})
			return t.set(ctx, a)
		})
		const want = "a:1|b:1|down|b:1|the answer is empty: there is no target in it|b:1|down|down|c:1"
		if got := strings.Join(log, "|"); got != want {
			t.Errorf("%s\nwant %s", got, want)
		}
	})
}

// TestBackoff: pauses are anything up to a bound that doubles, to 30 s, and are short again after a session
// that went well for long.
func TestBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var last time.Time
		n, longest := 0, time.Duration(0)
		bound := func(n int) time.Duration { return min(minBackoff<<min(n-1, 10), maxBackoff) }
		run(ctx, &teller{tell: func([]Endpoint, error) {}, origin: &origin{}}, func(ctx context.Context, tl *teller) error {
			pause := time.Since(last)
			if n > 0 && n <= 40 && pause > bound(n)+time.Nanosecond {
				t.Errorf("pause %d took %s", n, pause)
			}
			if n > 8 {
				longest = max(longest, pause)
			}
			switch n++; n {
			case 41:
				tl.answered()
				wait(ctx, maxBackoff)
			case 42:
				if pause > minBackoff+time.Nanosecond {
					t.Errorf("after a good session the pause took %s", pause)
				}
				cancel()
			}
			last = time.Now()
			return errDown
		})
		if longest < maxBackoff/4 {
			t.Errorf("no pause was above %s", longest)
		}
	})
}
