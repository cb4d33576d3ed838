package admin

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/penstock-edge/penstock/edge/lib/descriptors"
)

// socketMode lets the owner of the process and its group call the API over a Unix socket, and nobody else.
const socketMode = 0o660

// Listen returns a listener on "host:port", ":port" or "unix:/path". A Unix socket gets mode 0660 before
// anybody can connect to it; one that a dead process left at its path is replaced, one that answers is an
// error. Closing the listener removes the socket.
func Listen(address string) (net.Listener, error) {
	path, isUnix := strings.CutPrefix(address, "unix:")
	if !isUnix {
		l, err := net.Listen("tcp", address)
		if err != nil {
			return nil, fmt.Errorf("admin API cannot listen on %s: %w", address, err)
		}
		return l, nil
	}
	l, err := listenUnix(path)
	if err != nil {
		return nil, fmt.Errorf("admin API cannot listen on %s: %w", address, err)
	}
	return l, nil
}

// listenUnix binds a name of its own, sets its mode and moves it to path in one step.
func listenUnix(path string) (net.Listener, error) {
	if err := checkSocket(path); err != nil {
		return nil, err
	}
	temporary, l, err := bindUnix(path)
	if err != nil {
		return nil, err
	}
	return moveUnix(l, temporary, path)
}

// bindUnix listens beside path, under a name that nobody knows.
func bindUnix(path string) (temporary string, l net.Listener, err error) {
	temporary = path + "." + strconv.Itoa(os.Getpid())
	_ = os.Remove(temporary) // of a dead process that had our number
	if l, err = net.Listen("unix", temporary); err != nil {
		return "", nil, err
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false) // it will not be there any more
	if err = os.Chmod(temporary, socketMode); err != nil {
		_, _ = l.Close(), os.Remove(temporary)
		return "", nil, err
	}
	return temporary, l, nil
}

// moveUnix gives the socket of l the name by which it is known.
func moveUnix(l net.Listener, temporary, path string) (net.Listener, error) {
	err := os.Rename(temporary, path)
	var made os.FileInfo
	if err == nil {
		made, err = os.Lstat(path)
	}
	if err != nil {
		_, _ = l.Close(), os.Remove(temporary)
		return nil, err
	}
	return &unixListener{Listener: l, path: path, made: made}, nil
}

// checkSocket returns an error unless path is free, or a socket that nobody listens on.
func checkSocket(path string) error {
	info, err := os.Lstat(path)
	switch {
	case os.IsNotExist(err):
		return nil
	case err != nil:
		return err
	case info.Mode()&os.ModeSocket == 0:
		return fmt.Errorf("%s exists and is no socket", path)
	}
	c, err := net.DialTimeout("unix", path, time.Second)
	if err != nil {
		return nil //nolint:nilerr // nobody answers: it is left over
	}
	_ = c.Close()
	return fmt.Errorf("another process listens on %s", path)
}

// unixListener removes its socket when it is closed, unless somebody else's is there by then.
type unixListener struct {
	net.Listener
	path string
	made os.FileInfo
	once sync.Once
}

// Addr returns the address that clients know.
func (l *unixListener) Addr() net.Addr { return &net.UnixAddr{Name: l.path, Net: "unix"} }

// Close implements net.Listener.
func (l *unixListener) Close() error {
	l.once.Do(func() {
		if now, err := os.Lstat(l.path); err == nil && os.SameFile(now, l.made) {
			_ = os.Remove(l.path)
		}
	})
	return l.Listener.Close()
}

// steady is a listener whose Accept fails only when it is closed: a server takes any other failure for its
// end, but descriptors and memory come back.
type steady struct {
	net.Listener
	log    *slog.Logger
	failed descriptors.Notice
}

// Accept implements net.Listener.
func (l *steady) Accept() (net.Conn, error) {
	for pause := 5 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		c, err := l.Listener.Accept()
		if err == nil || errors.Is(err, net.ErrClosed) {
			return c, err
		}
		if n, due := l.failed.Due(); due {
			l.log.Error("admin API cannot accept a connection; it is tried again", "address", l.Addr().String(),
				"error", err, "count", n)
		}
		time.Sleep(pause)
	}
}
