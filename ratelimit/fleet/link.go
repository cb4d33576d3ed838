package fleet

import (
	"context"
	"crypto/tls"
	"encoding/hex"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"

	"github.com/penstock-edge/penstock/edge/lib/chance"
	"github.com/penstock-edge/penstock/edge/lib/sockets"
)

// Link is the way to the server. It knows whether the server answers and how many gateways use it. Nothing
// waits for a connection but its own goroutines.
type Link struct {
	conf *Config
	id   string // of this process, among the gateways of the fleet
	log  *slog.Logger

	client  atomic.Pointer[rueidis.Client] // nil until the first connection
	up      atomic.Bool
	fails   atomic.Int32  // batches in a row without an answer
	nodes   atomic.Int64  // gateways seen when the server answered last, at least 1
	patient atomic.Int64  // nanoseconds within which the server must answer to count as up
	broken  atomic.Uint64 // how often the link went down

	asks  chan *Ask
	knock chan struct{} // asks for a heartbeat at once; of size 1

	mu       sync.Mutex // guards watchers; held while a change of up is noted
	watchers map[*Ledger]bool

	ctx    context.Context
	cancel context.CancelFunc
	once   sync.Once
	wg     sync.WaitGroup
}

const (
	beat      = time.Second            // between heartbeats
	eagerBeat = 100 * time.Millisecond // while the server does not answer
	nodeLife  = 5 * time.Second        // a gateway that was not heard of for so long does not count
	mostFails = 3                      // batches in a row after which the server is taken to be gone
)

// NewLink returns a link that is down until Start.
func NewLink(c *Config, log *slog.Logger) *Link {
	var raw [8]byte
	chance.Read(raw[:])
	l := &Link{conf: c, id: hex.EncodeToString(raw[:]), log: log, asks: make(chan *Ask, mostAsks),
		knock: make(chan struct{}, 1), watchers: map[*Ledger]bool{}}
	l.nodes.Store(1)
	l.patient.Store(int64(c.ConnectTimeout))
	l.ctx, l.cancel = context.WithCancel(context.Background())
	return l
}

// Start connects, and keeps at it until Close. Only the first call does something.
func (l *Link) Start() {
	l.once.Do(func() {
		l.wg.Go(l.beats)
		for range workers {
			l.wg.Go(l.work)
		}
	})
}

// Close ends the link and says goodbye to the other gateways.
func (l *Link) Close() {
	l.cancel()
	l.wg.Wait()
	if c := l.client.Load(); c != nil {
		ctx, cancel := context.WithTimeout(context.Background(), l.conf.ConnectTimeout)
		if l.up.Load() {
			// If it does not arrive, the others miss this gateway some seconds later.
			_ = (*c).Do(ctx, (*c).B().Zrem().Key(l.conf.Prefix+"nodes").Member(l.id).Build()).Error()
		}
		cancel()
		(*c).Close()
	}
	l.up.Store(false)
}

// Up reports whether the server answers.
func (l *Link) Up() bool { return l.up.Load() }

// Nodes returns how many gateways used the server when it answered last, at least 1.
func (l *Link) Nodes() int64 { return l.nodes.Load() }

// Broken returns how often the server has ceased to answer.
func (l *Link) Broken() uint64 { return l.broken.Load() }

// SetPatience sets within how much time the server must answer a heartbeat to be asked at all.
func (l *Link) SetPatience(d time.Duration) { l.patient.Store(int64(d)) }

// beats connects, and then asks again and again whether the server is there.
func (l *Link) beats() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-l.ctx.Done():
			return
		case <-timer.C:
		case <-l.knock:
		}
		err := l.heartbeat()
		l.turn(err)
		every := beat
		if err != nil {
			every = eagerBeat
		}
		timer.Reset(every)
	}
}

// heartbeat connects if need be, and tells the server that this gateway is alive. What takes longer than
// a request would wait is an error.
func (l *Link) heartbeat() error {
	c := l.client.Load()
	if c == nil {
		fresh, err := rueidis.NewClient(l.options())
		if err != nil {
			return err
		}
		c = &fresh
		l.client.Store(c)
	}
	ctx, cancel := context.WithTimeout(l.ctx, l.conf.ConnectTimeout)
	defer cancel()
	began := time.Now()
	n, err := countNodes(ctx, *c, l.conf.Prefix+"nodes", l.id)
	if err != nil {
		return err
	}
	if took, most := time.Since(began), time.Duration(l.patient.Load()); took > most && !l.up.Load() {
		return slowError{took, most}
	}
	l.nodes.Store(max(n, 1))
	return nil
}

type slowError struct{ took, most time.Duration }

func (e slowError) Error() string {
	return "it answers after " + e.took.Round(time.Millisecond).String() + ", and requests wait for " +
		e.most.String() + " (fleet_timeout)"
}

// turn notes whether the server answers, and writes one line when that has changed. Lines stand in the order
// of the changes, whichever goroutine has found them.
func (l *Link) turn(err error) {
	if l.ctx.Err() != nil {
		return
	}
	if err == nil {
		l.fails.Store(0)
		if l.up.Load() {
			return
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		if l.up.Swap(true) {
			return
		}
		l.log.Info("redis answers: limits of the fleet are shared", "address", l.conf.Address, "nodes", l.Nodes())
		for w := range l.watchers {
			w.returned()
		}
		return
	}
	if l.up.Swap(false) || l.broken.Load() == 0 {
		l.broken.Add(1)
		l.log.Warn("redis does not answer: each limit of the fleet goes by its on_failure",
			"address", l.conf.Address, "nodes_last_seen", l.Nodes(), "error", err)
	}
}

// failed notes a batch without an answer. Some in a row, and the server is taken to be gone, until it
// answers a heartbeat.
func (l *Link) failed(err error) {
	if l.fails.Add(1) >= mostFails {
		l.lost(err)
	}
}

// lost takes the server to be gone, until it answers a heartbeat.
func (l *Link) lost(err error) {
	if l.up.Load() {
		l.turn(err)
		ring(l.knock)
	}
}

// forget removes a value from the server, and returns how many were there.
func (l *Link) forget(name string) (int64, error) {
	c := l.client.Load()
	if c == nil {
		return 0, ErrDown
	}
	ctx, cancel := context.WithTimeout(l.ctx, l.conf.ConnectTimeout)
	defer cancel()
	return (*c).Do(ctx, (*c).B().Del().Key(name).Build()).AsInt64()
}

// watch notifies the ledger when the server is there again.
func (l *Link) watch(w *Ledger, on bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if on {
		l.watchers[w] = true
	} else {
		delete(l.watchers, w)
	}
}

// options returns how to connect. Commands are always pipelined, since otherwise one that comes too late
// costs its connection, and never sent twice.
func (l *Link) options() rueidis.ClientOption {
	c := l.conf
	o := rueidis.ClientOption{
		InitAddress: c.Address, Username: c.Username, Password: c.Password.Reveal(), SelectDB: c.Database,
		ClientName: "penstock", ForceSingleClient: !c.Cluster && c.Sentinel == nil,
		Dialer:           net.Dialer{Timeout: c.ConnectTimeout, KeepAlive: time.Second},
		DialCtxFn:        l.dial,
		ConnWriteTimeout: max(c.ConnectTimeout, time.Second), DisableRetry: true, DisableCache: true,
		AlwaysPipelining: true, PipelineMultiplex: wires,
		ReadBufferEachConn: 64 << 10, WriteBufferEachConn: 64 << 10,
		ClusterOption: rueidis.ClusterOption{ShardsRefreshInterval: 5 * time.Second, MaxMovedRedirections: 3},
	}
	if s := c.Sentinel; s != nil {
		o.Sentinel = rueidis.SentinelOption{
			MasterSet: s.Master, Username: s.Username, Password: s.Password.Reveal(), ClientName: "penstock",
			Dialer: o.Dialer, TopologyRefreshInterval: time.Second,
		}
	}
	return o
}

func (l *Link) dial(ctx context.Context, to string, d *net.Dialer, _ *tls.Config) (net.Conn, error) {
	kind := "tcp"
	if socket, ok := strings.CutPrefix(to, "unix:"); ok {
		kind, to = "unix", socket
	}
	if !l.conf.TLS.Enabled {
		return sockets.Dial(ctx, d, kind, to)
	}
	return (&tls.Dialer{NetDialer: d, Config: l.conf.TLS.For(to)}).DialContext(ctx, kind, to)
}
