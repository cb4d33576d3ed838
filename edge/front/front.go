// Package front is the client's side of the gateway: listening sockets, limits of connections, the PROXY
// protocol and TLS. What clients speak is the business of a protocol, to which each connection is handed over
// (client); there is one so far, HTTP/1.1 (h1).
package front

import (
	"log/slog"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/front/client"
	"github.com/penstock-edge/penstock/edge/front/h1"
	"github.com/penstock-edge/penstock/edge/lib/descriptors"
	"github.com/penstock-edge/penstock/edge/lib/lanes"
	"github.com/penstock-edge/penstock/edge/lib/metric"
	"github.com/penstock-edge/penstock/edge/lib/poll"
)

// Front owns the listeners of the process.
type Front struct {
	inherited []*os.File // listening sockets handed in by the service manager
	lane      atomic.Uint32
	nloops    int
	loops     *poll.Loops // nil before the first listener is opened; made under mu
	group     client.Group
	http1     client.Protocol

	files   atomic.Pointer[descriptors.Budget] // never nil
	paused  descriptors.Notice                 // of accepting
	refused descriptors.Notice                 // accepting, by the system

	pauses       *lanes.Counter
	acceptErrors *lanes.Counter
	away         map[string]*lanes.Counter
	greetings    map[string]*lanes.Counter

	mu        sync.Mutex           // guards the fields below
	watching  chan struct{}        // closed to stop the watch over the last generation's certificates
	listeners map[string]*Listener // by configured address, those that accept
	leaving   []*Listener          // drained by a reload, still with connections
}

// drainGrace is longer than the think time of a busy client and shorter than people wait for a restart.
const drainGrace = 3 * time.Second

// New returns a front that serves the generations of current on sockets it opens, or takes from inherited.
// It waits for connections in as many loops; 0: as many as Go has processors.
func New(current *edge.Current, metrics *metric.Scope, inherited []*os.File, loops int) *Front {
	if loops == 0 {
		loops = runtime.GOMAXPROCS(0)
	}
	f := &Front{
		inherited: inherited, nloops: loops, listeners: make(map[string]*Listener),
		away: make(map[string]*lanes.Counter), greetings: make(map[string]*lanes.Counter),
	}
	f.group.DrainGrace.Store(int64(drainGrace))
	unbound, _ := descriptors.New() // does not fail
	f.files.Store(unbound)
	f.http1 = h1.New(current, metrics.Gauge("penstock_tunnels", "Upgraded connections that are open."))
	f.acceptErrors = metrics.Counter("penstock_accept_errors_total", "Connections that could not be accepted.")
	f.pauses = metrics.Counter("penstock_accept_pauses_total",
		"Connections that waited for a descriptor after they were accepted; nobody was accepted meanwhile.")
	f.group.Evicted = metrics.Counter("penstock_idle_connections_closed_total",
		"Idle client connections that were closed because there was no descriptor for another one.")
	for _, why := range []string{"listener_full", "address_full", "address_too_fast", "no_descriptors"} {
		f.away[why] = metrics.Counter("penstock_connections_refused_total",
			"Connections turned away at accept, by reason.", "reason", why)
	}
	for _, what := range []string{"proxy", "tls", "client_certificate"} {
		f.greetings[what] = metrics.Counter("penstock_bad_greetings_total",
			"Connections that failed before their first request: PROXY header, TLS handshake, or the client's "+
				"certificate.", "what", what)
	}
	return f
}

func (f *Front) turnedAway(why string) *lanes.Counter   { return f.away[why] }
func (f *Front) badGreeting(what string) *lanes.Counter { return f.greetings[what] }
func (f *Front) nextLane() uint32                       { return f.lane.Add(1) }

// Feature returns the front's place in the list of features.
func (f *Front) Feature() edge.Feature { return edge.Feature{Name: "listeners", New: f.build} }

// Close ends the front's own goroutines. Drain ends connections.
func (f *Front) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.watching != nil {
		close(f.watching)
		f.watching = nil
	}
	if f.loops != nil {
		f.loops.Close()
	}
}

// startLoops starts the loops if they have not been started.
func (f *Front) startLoops() (err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.loops == nil {
		f.loops, err = poll.Start(f.nloops)
	}
	return err
}

// Drain stops accepting everywhere and waits until the connections have ended; what is left after timeout is
// cut. It returns how many were cut.
func (f *Front) Drain(timeout time.Duration) (cut int64) {
	all := f.allListeners()
	f.group.DrainGrace.Store(int64(min(drainGrace, timeout/2)))
	until := time.Now().Add(timeout)
	for _, l := range all {
		l.drain()
	}
	for _, l := range all {
		if !l.waitEmpty(until) {
			cut += l.conns.Sum()
			l.cut()
			l.waitEmpty(until.Add(client.LingerTime))
		}
	}
	return cut
}

// Connections returns how many client connections are open.
func (f *Front) Connections() (n int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, l := range f.listeners {
		n += l.conns.Sum()
	}
	for _, l := range f.leaving {
		n += l.conns.Sum()
	}
	return n
}

// part is the front in one generation.
type part struct {
	f       *Front
	set     []*settings
	addr    []string
	files   *descriptors.Budget
	opened  map[string]*Listener // by this build, not yet accepting
	started bool
}

func (f *Front) build(h *edge.Host) *edge.Instance {
	p := &part{f: f, opened: make(map[string]*Listener)}
	p.files, _ = edge.Keep(h.State, descriptors.Key, descriptors.New, nil) // New does not fail
	for i := range h.Config.Listeners {
		conf := &h.Config.Listeners[i]
		set := compile(h, conf)
		p.set = append(p.set, set)
		p.addr = append(p.addr, conf.Address)
		name := set.Name
		h.Metrics.GaugeFunc("penstock_connections", "Client connections that are open.", func() float64 {
			return float64(f.openOn(conf.Address))
		}, "listener", name)
	}
	return &edge.Instance{Open: func() { p.open(h.Config) }, Start: p.start, Close: p.close, Status: f.status}
}

func (f *Front) openOn(addr string) int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	if l := f.listeners[addr]; l != nil {
		return l.conns.Sum()
	}
	return 0
}

// start makes the generation's listeners those of the process. When it returns, the sockets of removed
// listeners are closed, so that the next generation may listen there again.
func (p *part) start() {
	for _, l := range p.takeOver() {
		l.accepts.Wait()
	}
}

// takeOver replaces the listeners of the process and returns those that were removed.
func (p *part) takeOver() (gone []*Listener) {
	p.started = true
	f := p.f
	f.files.Store(p.files) // the same one in every generation; the one that New made has not been used
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.watching != nil {
		close(f.watching)
	}
	f.watching = make(chan struct{})
	for i, addr := range p.addr {
		l := p.opened[addr]
		if l != nil {
			f.listeners[addr] = l
		} else {
			l = f.listeners[addr]
		}
		l.use(p.set[i])
		go p.set[i].logDropped(f.watching)
		if c := p.set[i].certificates; c != nil {
			go c.watch(f.watching)
		}
		l.start()
	}
	wanted := make(map[string]bool)
	for _, addr := range p.addr {
		wanted[addr] = true
	}
	for addr, l := range f.listeners {
		if !wanted[addr] {
			slog.Info("listener removed; its connections end with their next answer", "listener", addr)
			l.drain()
			delete(f.listeners, addr)
			f.leaving = append(f.leaving, l)
			gone = append(gone, l)
		}
	}
	f.dropEmpty()
	return gone
}

// dropEmpty forgets drained listeners that have no connections and will get none. f.mu must be held.
func (f *Front) dropEmpty() {
	kept := f.leaving[:0]
	for _, l := range f.leaving {
		if !l.shut.Load() || l.conns.Sum() > 0 {
			kept = append(kept, l)
		}
	}
	clear(f.leaving[len(kept):])
	f.leaving = kept
}

// close ends the generation's part: a build that was never started closes the sockets it opened.
func (p *part) close() {
	if p.started {
		return
	}
	for _, l := range p.opened {
		_ = l.socket.Close() // nothing was accepted on it
	}
}

// ListenerStatus is a listener as /status shows it.
type ListenerStatus struct {
	Name        string   `json:"name"`
	Address     string   `json:"address"`
	TLS         bool     `json:"tls"`
	ClientAuth  string   `json:"client_auth,omitempty"` // require or request: clients are asked for certificates
	Connections int64    `json:"connections"`
	Leaving     bool     `json:"leaving,omitempty"`
	Tunnels     []Tunnel `json:"tunnels"`
}

func (f *Front) status() any {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dropEmpty()
	list := []ListenerStatus{}
	for _, l := range f.listeners {
		list = append(list, l.status(false))
	}
	for _, l := range f.leaving {
		list = append(list, l.status(true))
	}
	slices.SortFunc(list, func(a, b ListenerStatus) int { return strings.Compare(a.Address, b.Address) })
	return list
}

func (l *Listener) status(leaving bool) ListenerStatus {
	set := l.settings.Load()
	return ListenerStatus{
		Name: set.Name, Address: l.socket.Addr().String(), TLS: set.tls != nil, ClientAuth: set.ClientAuth.Asks(),
		Connections: l.conns.Sum(), Leaving: leaving, Tunnels: l.tunnelList(),
	}
}
