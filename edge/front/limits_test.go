package front

import (
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/penstock-edge/penstock/edge/config"
	"github.com/penstock-edge/penstock/edge/front/client"
	"github.com/penstock-edge/penstock/edge/lib/descriptors"
	"github.com/penstock-edge/penstock/edge/lib/ip"
	"github.com/penstock-edge/penstock/edge/lib/splice"
)

// TestConnectionLimits: a connection beyond a limit is turned away and counted, and there is room again when
// another one ends. Trusted proxies have no limit of their own.
func TestConnectionLimits(t *testing.T) {
	hour := config.Rate{Count: 2, Per: time.Hour}
	for _, c := range []struct {
		name    string
		set     settings
		allowed int
		reason  string // empty: no limit is met
		again   bool   // there is room when one has ended
	}{
		{"listener", settings{maxConns: 2}, 2, "listener_full", true},
		{"address", settings{maxPerIP: 3}, 3, "address_full", true},
		{"rate", settings{ratePerIP: hour}, 1, "address_too_fast", false},
		{"trusted", settings{maxPerIP: 1, ratePerIP: hour, trusted: loopback}, 8, "", true},
		{"no limits", settings{}, 8, "", true},
		{"the listener goes first", settings{maxConns: 1, maxPerIP: 1}, 1, "listener_full", true},
	} {
		l := newSite(t, &c.set)
		var open []net.Conn
		for i := range c.allowed {
			far := l.dial(t)
			if got, err := ask(far); !strings.HasPrefix(got, "http ") {
				t.Fatalf("%s: connection %d got %q %v", c.name, i, got, err)
			}
			open = append(open, far)
		}
		if c.reason == "" {
			continue
		}
		for i := range 3 {
			far := l.dial(t)
			if got, err := read(far); !strings.Contains(got, `"too_many_connections"`) {
				t.Errorf("%s: one too many got %q %v", c.name, got, err)
			}
			if n := l.front.turnedAway(c.reason).Sum(); n != uint64(i+1) {
				t.Errorf("%s: %d are counted, want %d", c.name, n, i+1)
			}
		}
		open[0].Close()
		for until := time.Now().Add(time.Minute); l.conns.Sum() == int64(c.allowed) && time.Now().Before(until); {
		}
		far := l.dial(t)
		if got, err := ask(far); strings.HasPrefix(got, "http ") != c.again {
			t.Errorf("%s: after one has ended: %q %v", c.name, got, err)
		}
	}
}

// TestLimitsMeetGreetings: a connection that would greet is turned away without an answer.
func TestLimitsMeetGreetings(t *testing.T) {
	for name, set := range map[string]*settings{
		"tls": {tls: serverTLS(t), maxConns: 1}, "proxy": {proxyProtocol: true, trusted: loopback, maxConns: 1},
	} {
		l := newSite(t, set)
		first := l.dial(t)
		for until := time.Now().Add(time.Minute); l.conns.Sum() == 0 && time.Now().Before(until); {
		}
		if !ended(l.dial(t)) {
			t.Errorf("%s: one too many goes on", name)
		}
		first.Close()
		if !l.waitNone() {
			t.Errorf("%s: %d connections are left", name, l.conns.Sum())
		}
	}
}

// TestRoom: when no descriptor is left, the connections that have been idle for longest make room for new ones, and
// those that are in use stay.
func TestRoom(t *testing.T) {
	l := newSite(t, &settings{})
	budget, err := descriptors.New()
	if err != nil {
		t.Fatal(err)
	}
	budget.Fill(1, 0) // as few as there can be
	t.Cleanup(func() { splice.Bound(0) })
	most := int(budget.Clients.Most())
	if most == 0 || most > 200 {
		t.Fatalf("%d descriptors for clients", most)
	}
	t.Log(most)
	l.front.listeners[l.Key] = l
	l.front.files.Store(budget)
	var far []net.Conn
	for range most {
		c := l.dial(t)
		if got, err := ask(c); err != nil {
			t.Fatalf("%q %v", got, err)
		}
		far = append(far, c)
	}
	for i := range 3 {
		if got, err := ask(l.dial(t)); err != nil {
			t.Errorf("new connection %d: %q %v", i, got, err)
		}
	}
	if n := l.front.group.Evicted.Sum(); n < 3 || l.front.pauses.Sum() == 0 {
		t.Errorf("%d were closed to make room, accepting paused %d times", n, l.front.pauses.Sum())
	}
	if !ended(far[0]) {
		t.Error("the one that has been idle for longest is open")
	}
	if n := budget.Clients.Used(); n > int64(most) {
		t.Errorf("%d descriptors of %d are in use", n, most)
	}
}

// TestReload: settings that a reload changes hold from a connection's next request on.
func TestReload(t *testing.T) {
	l := newSite(t, &settings{})
	far := l.dial(t)
	if got, err := ask(far); err != nil {
		t.Fatalf("%q %v", got, err)
	}
	changed := l.Settings.Load()
	l.use(&settings{Settings: client.Settings{Name: changed.Name, MaxHead: 10, HeadBuffer: 4 << 10,
		HeaderTimeout: time.Hour, IdleTimeout: time.Hour}, trusted: ip.NewSet(nil), maxConns: 1000})
	if got, err := ask(far); err != nil || !strings.Contains(got, "head_too_large") {
		t.Errorf("%q %v", got, err)
	}
}

// TestDrainServes: a listener that drains answers what has been sent, ends idle connections, and takes in nobody.
func TestDrainServes(t *testing.T) {
	l := newSite(t, &settings{})
	l.front.group.DrainGrace.Store(int64(time.Millisecond))
	idle := l.dial(t)
	if got, err := ask(idle); err != nil {
		t.Fatalf("%q %v", got, err)
	}
	half := l.dial(t)
	if _, err := io.WriteString(half, "GET /x HTTP/1.1\r\n"); err != nil {
		t.Fatal(err)
	}
	for until := time.Now().Add(time.Minute); busy(l) == 0 && time.Now().Before(until); {
	}
	l.drain()
	l.drain() // once more does nothing
	if !ended(idle) {
		t.Error("an idle connection goes on")
	}
	if _, err := io.WriteString(half, "Host: a\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if got, err := read(half); !strings.HasPrefix(got, "http ") {
		t.Errorf("%q %v", got, err)
	}
	if !l.waitEmpty(time.Now().Add(time.Minute)) {
		t.Errorf("%d connections are left", l.conns.Sum())
	}
	if far, err := net.Dial("tcp", l.socket.Addr().String()); err == nil {
		far.Close()
		t.Error("a connection after the drain")
	}
}

// busy counts the connections that serve a request.
func busy(l *Listener) (n int) {
	l.each(func(c *conn) {
		if _, waits := c.Waits(0); !waits {
			n++
		}
	})
	return n
}

// TestCut: connections of every kind end when the listener is cut, greeting ones too.
func TestCut(t *testing.T) {
	for name, set := range map[string]*settings{
		"plain": {}, "tls": {tls: serverTLS(t)}, "proxy": {proxyProtocol: true, trusted: loopback},
	} {
		l := newSite(t, set)
		far := l.dial(t)
		_, _ = io.WriteString(far, "\r\n") // the begin of something in each of them
		for until := time.Now().Add(time.Minute); l.conns.Sum() == 0 && time.Now().Before(until); {
		}
		l.drain()
		l.cut()
		far.Close()
		if !l.waitEmpty(time.Now().Add(time.Minute)) {
			t.Errorf("%s: %d connections are left", name, l.conns.Sum())
		}
	}
}

// TestManyConnections: clients that come and go at the same time, some of them without a word, are all served and
// all forgotten.
func TestManyConnections(t *testing.T) {
	l := newSite(t, &settings{maxPerIP: 1000})
	var all sync.WaitGroup
	for n := range 30 {
		all.Go(func() {
			for i := range 10 {
				far, err := net.Dial("tcp", l.socket.Addr().String())
				if err != nil {
					t.Error(err)
					return
				}
				if (n+i)%3 > 0 {
					if got, err := ask(far); got != fmt.Sprintf("http %s /x", far.LocalAddr()) {
						t.Errorf("%q %v", got, err)
					}
				}
				far.Close()
			}
		})
	}
	all.Wait()
	if !l.waitNone() {
		t.Errorf("%d connections are left", l.conns.Sum())
	}
	l.perIP.mu.Lock()
	defer l.perIP.mu.Unlock()
	if len(l.perIP.n) > 0 {
		t.Errorf("addresses without connections are counted: %v", l.perIP.n)
	}
}
