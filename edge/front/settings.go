package front

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/config"
	"github.com/penstock-edge/penstock/edge/front/client"
	"github.com/penstock-edge/penstock/edge/front/clientauth"
	"github.com/penstock-edge/penstock/edge/lib/ip"
	"github.com/penstock-edge/penstock/edge/lib/lanes"
	"github.com/penstock-edge/penstock/edge/lib/poll"
	"github.com/penstock-edge/penstock/edge/lib/sockets"
	"github.com/penstock-edge/penstock/edge/lib/wire"
)

// compile turns a [[listener]] into settings; what is wrong is recorded on its table.
func compile(h *edge.Host, conf *config.Listener) *settings {
	set := &settings{
		Settings: client.Settings{
			Name:          conf.Name,
			HeaderTimeout: conf.HeaderTimeout,
			IdleTimeout:   conf.IdleTimeout,
			MinReceive:    int64(conf.MinReceiveRate),
			MinSend:       int64(conf.MinSendRate),
			MaxHead:       int(conf.MaxHeaderBytes),
			HeadBuffer:    int(conf.MaxHeaderBytes),
			MaxBody:       int64(conf.MaxBodyBytes),
			MergeSlashes:  h.Config.Server.MergeSlashes,
			Underscores:   underscores[conf.UnderscoreFields],
		},
		maxConns:      int64(conf.MaxConnections),
		maxPerIP:      conf.MaxConnectionsPerIP,
		ratePerIP:     conf.MaxConnectionRatePerIP,
		proxyProtocol: conf.ProxyProtocol,
		trusted:       ip.NewSet(h.Config.Server.TrustedProxies),
	}
	dropped := h.Metrics.Counters("penstock_fields_dropped_total",
		"Fields of requests that were left out for their names: "+
			"with an underscore, or like one of the gateway's.", "listener", "reason")
	set.Underscored, set.Alike = dropped.With(conf.Name, "underscore"), dropped.With(conf.Name, "look_alike")
	if len(conf.Certificates) > 0 {
		set.certificates = loadCertificates(conf)
		reloads := func(result string) *lanes.Counter {
			return h.Metrics.Counter("penstock_certificate_reloads_total",
				"Certificates whose files have changed, by what became of them.", "listener", set.Name, "result", result)
		}
		set.certificates.renewed, set.certificates.refused = reloads("ok"), reloads("error")
		set.tls = tlsConfig(conf.TLSMinVersion, set.certificates)
	}
	if set.ClientAuth = clientauth.New(conf, set.tls); set.ClientAuth != nil {
		set.certificates.clients, set.tls = set.ClientAuth, set.ClientAuth.TLS()
	}
	return set
}

var underscores = map[string]wire.Underscores{
	"drop": wire.DropUnderscores, "pass": wire.PassUnderscores, "refuse": wire.RefuseUnderscores,
}

// use makes set the listener's settings from the next request on.
func (l *Listener) use(set *settings) {
	l.settings.Store(set)
	l.Settings.Store(&set.Settings)
}

// open listens on the addresses of conf where the front does not yet. Clients can connect from now on, though
// nobody accepts before start: so all else in the file must be good.
func (p *part) open(conf *config.Config) {
	for i := range conf.Listeners {
		p.listen(&conf.Listeners[i])
	}
}

func (p *part) listen(conf *config.Listener) {
	p.f.mu.Lock()
	_, have := p.f.listeners[conf.Address]
	p.f.mu.Unlock()
	if have {
		return
	}
	socket, lent, err := p.f.listen(conf)
	if err == nil {
		err = p.f.startLoops()
	}
	var taken *poll.Listener
	if err == nil {
		taken, err = p.f.loops.Listen(socket, lent)
	}
	if err != nil {
		conf.Table.Errorf("address", "cannot listen on %q: %s", conf.Address, listenHint(err))
		return
	}
	l := newListener(p.f, conf.Address, taken)
	l.lent = lent
	p.opened[conf.Address] = l
}

func listenHint(err error) string {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		switch errno {
		case syscall.EADDRINUSE:
			return "another process uses it; find it with `ss -ltnp`"
		case syscall.EACCES:
			return "ports below 1024 need CAP_NET_BIND_SERVICE (AmbientCapabilities= in the unit)"
		case syscall.EADDRNOTAVAIL:
			return "this machine has no such address"
		}
	}
	return err.Error()
}

// listen takes the socket that the service manager handed in for conf, or opens one; lent tells which.
func (f *Front) listen(conf *config.Listener) (socket net.Listener, lent bool, err error) {
	for _, file := range f.inherited {
		l, err := net.FileListener(file) // duplicates the descriptor: a removed listener can come back
		if err != nil {
			continue // not a listening socket; said at start
		}
		if file.Name() == conf.Name || sameAddress(l.Addr(), conf.Address) {
			if u, ok := l.(*net.UnixListener); ok {
				u.SetUnlinkOnClose(false) // the path belongs to the service manager
			}
			return l, true, nil
		}
		_ = l.Close() // only a duplicate
	}
	var control sockets.Control
	if conf.ReusePort {
		control = reusePort
	}
	if path, ok := strings.CutPrefix(conf.Address, "unix:"); ok {
		removeStale(path)
		socket, err = sockets.Listen("unix", path, control)
		return socket, false, err
	}
	socket, err = sockets.Listen("tcp", conf.Address, control)
	return socket, false, err
}

func reusePort(_, _ string, c syscall.RawConn) error {
	var err error
	if cerr := c.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	}); cerr != nil {
		return cerr
	}
	if err != nil {
		return fmt.Errorf("cannot set SO_REUSEPORT: %w", err)
	}
	return nil
}

// removeStale removes a socket file that nobody listens on any more.
func removeStale(path string) {
	info, err := os.Lstat(path)
	if err != nil || info.Mode()&os.ModeSocket == 0 {
		return
	}
	c, err := net.Dial("unix", path)
	if err == nil {
		_ = c.Close() // somebody listens: the bind will say so
		return
	}
	_ = os.Remove(path) // the bind says when it is still in the way
}

func sameAddress(a net.Addr, configured string) bool {
	if path, ok := strings.CutPrefix(configured, "unix:"); ok {
		return a.Network() == "unix" && a.String() == path
	}
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return false
	}
	want, err := net.ResolveTCPAddr("tcp", configured)
	if err != nil || want.Port != t.Port {
		return false
	}
	wild := func(ip net.IP) bool { return len(ip) == 0 || ip.IsUnspecified() }
	return want.IP.Equal(t.IP) || (wild(want.IP) && wild(t.IP))
}

// tlsConfig allows TLS 1.3, and TLS 1.2 with forward secrecy and authenticated encryption only. There are no
// session tickets: crypto/tls gives each a life of seven days, and keeps the keys as long. Whoever reads them
// from memory reads a week of TLS 1.2 connections (RFC 5077 5.5).
func tlsConfig(minVersion string, c *certificates) *tls.Config {
	v := uint16(tls.VersionTLS12)
	if minVersion == "1.3" {
		v = tls.VersionTLS13
	}
	return &tls.Config{
		MinVersion:     v,
		GetCertificate: c.pick,
		NextProtos:     []string{"http/1.1"},

		SessionTicketsDisabled: true,
		CipherSuites: []uint16{
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		},
	}
}
