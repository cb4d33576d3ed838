package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"

	"github.com/penstock-edge/penstock/edge/front"
)

// inheritedFiles takes over the sockets of the socket units, named by FileDescriptorName=.
func inheritedFiles() []*os.File { return activation.Files(true) }

// supervisor is the way to the service manager. It is opened once: later there may be no descriptor for it.
type supervisor struct {
	mu   sync.Mutex    // guards conn
	conn *net.UnixConn // nil: there is no service manager, or it could not be reached
}

func (m *supervisor) dial() error {
	name := os.Getenv("NOTIFY_SOCKET")
	if name == "" {
		return nil
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: name, Net: "unixgram"})
	if err == nil {
		m.conn = c
	}
	return err
}

// send sends state. A manager that was started anew has another socket.
func (m *supervisor) send(state string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.conn != nil {
		_ = m.conn.SetWriteDeadline(time.Now().Add(notifyTimeout)) // fails only on a closed socket
		_, err := m.conn.Write([]byte(state))
		if err == nil {
			return nil
		}
		_ = m.conn.Close() // another one takes its place
		m.conn = nil
	}
	if err := m.dial(); err != nil || m.conn == nil {
		return err
	}
	_, err := m.conn.Write([]byte(state))
	return err
}

// notifyTimeout bounds how long a service manager that does not read is waited for.
const notifyTimeout = time.Second

// notify sends state to the service manager; nothing happens without one.
func (p *process) notify(state string) {
	if err := p.manager.send(state); err != nil {
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

// watchdog reports to the service manager, twice an interval, that connections are looked after, as long as
// they are.
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

// selfCheck reports whether requests would be looked after: every loop turns, and no lock on their way is
// kept. It asks from within, past limits, logs and counters, and needs no descriptor: a gateway that has
// none left serves the connections it has. While draining the process is alive as long as it drains.
func (p *process) selfCheck(timeout time.Duration) error {
	if p.draining.Load() {
		return nil
	}
	done := make(chan error, 1)
	go func() { done <- p.front.Turn(timeout) }()
	select {
	case err := <-done:
		if p.draining.Load() {
			return nil // loops end then
		}
		return err
	case <-time.After(2 * timeout):
		return errors.New("somebody keeps the lock of the listeners")
	}
}
