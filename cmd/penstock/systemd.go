package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"

	"github.com/penstock-edge/penstock/edge/front"
)

// inheritedFiles takes over the sockets of the socket units, named by FileDescriptorName=.
func inheritedFiles() []*os.File { return activation.Files(true) }

// notify tells the service manager; nothing happens without one.
func (p *process) notify(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		p.log.Warn("cannot notify the service manager", "error", err)
	}
}

// extendTimeout asks the service manager for so much time from now, whatever its unit says.
func extendTimeout(d time.Duration) string {
	return "EXTEND_TIMEOUT_USEC=" + strconv.FormatInt(d.Microseconds(), 10)
}

// monotonic is the clock that RELOADING needs beside it, in microseconds.
func monotonic() string {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		panic("BUG: no monotonic clock: " + err.Error())
	}
	return strconv.FormatInt(t.Nano()/1000, 10)
}

// statusLine is what `systemctl status` shows.
func (p *process) statusLine() string {
	g := p.current.Load()
	if g == nil {
		return "Not serving"
	}
	return fmt.Sprintf("Generation %d, %d routes", g.ID, len(g.Plans))
}

// warnIdleSockets names the sockets of socket units that no listener has taken.
func (p *process) warnIdleSockets() {
	listeners := p.listeners()
	for _, f := range p.inherited {
		l, err := net.FileListener(f)
		if err != nil {
			p.log.Warn("a socket of the service manager is not one to listen on", "name", f.Name(), "error", err)
			continue
		}
		at := l.Addr().String()
		_ = l.Close() // only a duplicate
		if !slices.ContainsFunc(listeners, func(s front.ListenerStatus) bool { return s.Address == at }) {
			p.log.Warn("no listener takes this socket of the service manager: connections to it hang",
				"name", f.Name(), "address", at,
				"hint", "give a [[listener]] its address, or its FileDescriptorName= as name")
		}
	}
}

// watchdog tells the service manager twice an interval that requests are served, as long as they are.
func (p *process) watchdog() {
	interval, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		p.log.Warn("cannot feed the watchdog", "error", err)
	}
	if err != nil || interval == 0 {
		return
	}
	tick := time.NewTicker(interval / 2)
	defer tick.Stop()
	for {
		if err := p.selfCheck(interval / 4); err != nil {
			p.log.Error("the self-check failed, the watchdog is not fed", "error", err)
		} else {
			p.notify("WATCHDOG=1")
		}
		select {
		case <-p.stop:
			return
		case <-tick.C:
		}
	}
}

// selfCheck makes a request of its own to one listener: through the socket, the head's check and the flow,
// which answers `OPTIONS *` itself. Any reaction counts, a refused connection behind a full listener too:
// what must not be is silence. While draining nothing is accepted any more, and the process is alive as
// long as it drains.
func (p *process) selfCheck(timeout time.Duration) error {
	if p.draining.Load() {
		return nil
	}
	list := p.listeners()
	conf := p.conf.Load()
	i := slices.IndexFunc(list, func(l front.ListenerStatus) bool {
		return !l.Leaving && !l.TLS && !conf.proxied[l.Name]
	})
	if i < 0 {
		i = slices.IndexFunc(list, func(l front.ListenerStatus) bool { return !l.Leaving })
	}
	if i < 0 {
		return nil // all were removed by the reload that runs now
	}
	return probe(list[i], conf, timeout)
}

const probeRequest = "OPTIONS * HTTP/1.1\r\nHost: localhost\r\nUser-Agent: penstock-watchdog\r\n" +
	"Connection: close\r\n\r\n"

// probe asks one listener.
func probe(l front.ListenerStatus, conf *settings, timeout time.Duration) error {
	address := l.Address
	if strings.HasPrefix(address, "/") {
		address = "unix:" + address
	}
	c, err := dial(address, timeout)
	if err != nil {
		return fmt.Errorf("cannot connect to listener %s: %w", l.Name, err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(timeout)); err != nil {
		return fmt.Errorf("cannot bound the self-check: %w", err)
	}
	if conf.proxied[l.Name] && conf.trusts(c.LocalAddr()) {
		_, _ = io.WriteString(c, "PROXY UNKNOWN\r\n") // a failure shows in the answer
	}
	if l.TLS {
		// It speaks to itself, and only wants to hear something.
		c = tls.Client(c, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // see above
	}
	_, _ = io.WriteString(c, probeRequest) // as above
	var answer [64]byte
	if _, err = c.Read(answer[:]); isTimeout(err) {
		return fmt.Errorf("listener %s is silent: %w", l.Name, err)
	}
	return nil
}

func isTimeout(err error) bool {
	var t net.Error
	return errors.As(err, &t) && t.Timeout()
}

// trusts tells whether a PROXY header from a is believed; a unix socket has no address and is.
func (s *settings) trusts(a net.Addr) bool {
	t, ok := a.(*net.TCPAddr)
	return !ok || slices.ContainsFunc(s.trusted, func(n netip.Prefix) bool {
		return n.Contains(t.AddrPort().Addr().Unmap())
	})
}
