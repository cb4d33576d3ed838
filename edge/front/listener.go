package front

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/penstock-edge/penstock/edge/config"
	"github.com/penstock-edge/penstock/edge/front/client"
	"github.com/penstock-edge/penstock/edge/lib/clock"
	"github.com/penstock-edge/penstock/edge/lib/ip"
	"github.com/penstock-edge/penstock/edge/lib/lanes"
	"github.com/penstock-edge/penstock/edge/lib/poll"
)

// settings are what a reload may change of a listener. A connection uses new ones from its next request on.
type settings struct {
	client.Settings
	maxConns      int64
	maxPerIP      int // 0: no cap
	ratePerIP     config.Rate
	proxyProtocol bool
	trusted       *ip.Set
	certificates  *certificates // nil: plain
	tls           *tls.Config
}

// Listener is one listening socket with its connections; it outlives generations.
type Listener struct {
	client.Listener
	front    *Front
	socket   *poll.Listener
	lent     bool                     // the service manager holds the socket too
	settings atomic.Pointer[settings] // those of the embedded Listener are a part of them
	shut     atomic.Bool              // accepts nobody any more
	started  sync.Once
	accepts  sync.WaitGroup
	conns    *lanes.Gauge
	perIP    perIP
	arrivals arrivals // the accepting goroutine's

	mu   sync.Mutex // guards open
	open map[*conn]struct{}
}

func newListener(f *Front, key string, socket *poll.Listener) *Listener {
	l := &Listener{front: f, socket: socket, conns: lanes.NewGauge(), open: make(map[*conn]struct{})}
	l.Group, l.Key = &f.group, key
	if t, ok := socket.Addr().(*net.TCPAddr); ok {
		l.Addr = t.AddrPort()
	}
	return l
}

// start begins to accept; later calls do nothing.
func (l *Listener) start() {
	l.started.Do(func() {
		l.accepts.Add(1)
		go l.accept()
	})
}

func (l *Listener) accept() {
	defer l.accepts.Done()
	defer l.shut.Store(true)
	pause := acceptPause
	for {
		a, err := l.socket.Accept()
		if err == nil {
			pause = acceptPause
			l.admit(a)
			continue
		}
		if l.Draining() || errors.Is(err, net.ErrClosed) {
			_ = l.socket.Close() // all who had connected have been taken in
			return
		}
		// Out of files or memory: the socket stays readable, so accepting again at once would spin.
		if n, due := l.front.refused.Due(); due {
			slog.Error("cannot accept a connection", "listener", l.Key, "error", err, "count", n,
				"hint", acceptHint(err))
		}
		l.front.acceptErrors.Inc(0)
		time.Sleep(pause)
		pause = min(2*pause, time.Second)
	}
}

const acceptPause = 5 * time.Millisecond

func acceptHint(err error) string {
	if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
		return descriptorHint
	}
	return "the connection was lost before it was accepted, or the system is short of memory"
}

// admit starts a connection, or turns it away when the listener or its address has enough.
func (l *Listener) admit(a poll.Accepted) {
	set := l.settings.Load()
	peer := client.AddressOf(a.Remote)
	if l.conns.Sum() >= set.maxConns {
		l.turnAway(a, "listener_full", set)
		return
	}
	// Behind a trusted proxy all connections share its address: the cap would be on the proxy.
	trusted := (set.maxPerIP > 0 || set.ratePerIP.Count > 0) && set.trusted.Contains(peer)
	if !trusted && !l.arrivals.allow(clock.Now(), peer, set.ratePerIP) {
		l.turnAway(a, "address_too_fast", set)
		return
	}
	counted := set.maxPerIP > 0 && !trusted
	if counted && !l.perIP.enter(peer, set.maxPerIP) {
		l.turnAway(a, "address_full", set)
		return
	}
	if !l.room() {
		if counted {
			l.perIP.leave(peer)
		}
		l.turnAway(a, "no_descriptors", set)
		return
	}
	l.newConn(a, peer, counted)
}

// turnAway answers 503 on a plain connection, without waiting, and closes it.
func (l *Listener) turnAway(a poll.Accepted, why string, set *settings) {
	l.front.turnedAway(why).Inc(0)
	if set.tls == nil && !set.proxyProtocol {
		a.TurnAway(fullAnswer)
	} else {
		a.TurnAway(nil)
	}
}

var fullAnswer = []byte("HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\n" +
	"Retry-After: 1\r\nConnection: close\r\nContent-Length: 95\r\n\r\n" +
	`{"type":"about:blank","title":"Service Unavailable","status":503,"code":"too_many_connections"}`)

// enter makes a connection known.
func (l *Listener) enter(c *conn) {
	l.conns.Add(c.Lane, 1)
	l.mu.Lock()
	l.open[c] = struct{}{}
	l.mu.Unlock()
}

// forget is called when a connection has ended.
func (l *Listener) forget(c *conn) {
	if c.counted {
		l.perIP.leave(client.AddressOf(c.Socket.Remote()))
	}
	l.conns.Add(c.Lane, -1)
	l.mu.Lock()
	delete(l.open, c)
	l.mu.Unlock()
	l.front.files.Load().Clients.Give()
}

// each calls f for every connection, under the listener's lock.
func (l *Listener) each(f func(*conn)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range inOrder(l.open) {
		f(c)
	}
}

// drain stops accepting, as soon as all who have connected are taken in, and lets connections end with
// their next answer. It does not wait; l.accepts does.
func (l *Listener) drain() {
	if l.Drains.Swap(true) {
		return
	}
	l.leave()
	l.each(func(c *conn) {
		if _, waits := c.Waits(0); waits {
			c.LastCall()
		}
	})
}

// cut closes what is left.
func (l *Listener) cut() { l.each((*conn).cut) }

// waitEmpty returns when no connection is left or the time is over; true: none is left.
func (l *Listener) waitEmpty(until time.Time) bool {
	l.accepts.Wait()
	for l.conns.Sum() > 0 {
		if time.Now().After(until) {
			return false
		}
		time.Sleep(5 * time.Millisecond)
	}
	return true
}

// perIP counts connections by address, those of IPv6 by /64 as arrivals does.
type perIP struct {
	mu sync.Mutex // guards n
	n  map[netip.Addr]int
}

func (p *perIP) enter(a netip.Addr, limit int) bool {
	a = network(a)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.n == nil {
		p.n = make(map[netip.Addr]int)
	}
	if p.n[a] >= limit {
		return false
	}
	p.n[a]++
	return true
}

func (p *perIP) leave(a netip.Addr) {
	a = network(a)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.n[a]--; p.n[a] <= 0 {
		delete(p.n, a)
	}
}

// Tunnel is a switched connection as /status shows it.
type Tunnel struct {
	Listener string  `json:"listener"`
	Client   string  `json:"client"`
	Route    string  `json:"route"`
	Pool     string  `json:"pool"`
	Target   string  `json:"target"`
	Seconds  float64 `json:"seconds"`
	InBytes  int64   `json:"in_bytes"`
	OutBytes int64   `json:"out_bytes"`
}

// tunnels lists the switched connections of the listener.
func (l *Listener) tunnelList() []Tunnel {
	list := []Tunnel{}
	l.each(func(c *conn) {
		if t := c.Tunnel(); t != nil {
			list = append(list, Tunnel{l.Key, c.Peer.String(), t.Route, t.Pool, t.Target,
				float64(clock.Now()-t.Began) / 1e9, t.In.Load(), t.Out.Load()})
		}
	})
	return list
}
