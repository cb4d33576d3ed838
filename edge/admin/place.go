package admin

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Place is an address that is taken and not listened on yet. A shared one may be that of another process,
// which serves there until TakeOver.
type Place struct {
	address string
	l       net.Listener // listens already; nil: file is bound, and does not
	file    *os.File
	hidden  string // where l listens until TakeOver; empty: at address
}

// Reserve takes an address in one of the forms of Listen. With shared set it succeeds too when a process
// has the address that shares it likewise.
func Reserve(address string, shared bool) (*Place, error) {
	p := &Place{address: address}
	var err error
	path, isUnix := strings.CutPrefix(address, "unix:")
	switch {
	case !shared:
		p.l, err = Listen(address)
		return p, err
	case isUnix:
		p.hidden, p.l, err = bindUnix(path)
	default:
		p.file, err = bindShared(address)
	}
	if err != nil {
		return nil, fmt.Errorf("admin API cannot listen on %s: %w", address, err)
	}
	return p, nil
}

// bindShared binds without listening: connections go to the listener.
func bindShared(address string) (*os.File, error) {
	at, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return nil, err
	}
	if at.IP == nil {
		if f, err := bind(unix.AF_INET6, &unix.SockaddrInet6{Port: at.Port}); err == nil {
			return f, nil
		}
		at.IP = net.IPv4zero // there is no IPv6 here
	}
	if four := at.IP.To4(); four != nil {
		return bind(unix.AF_INET, &unix.SockaddrInet4{Port: at.Port, Addr: [4]byte(four)})
	}
	return bind(unix.AF_INET6, &unix.SockaddrInet6{Port: at.Port, Addr: [16]byte(at.IP)})
}

func bind(family int, at unix.Sockaddr) (*os.File, error) {
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	f := os.NewFile(uintptr(fd), "admin")
	for _, option := range []int{unix.SO_REUSEADDR, unix.SO_REUSEPORT} {
		err = errors.Join(err, os.NewSyscallError("setsockopt", unix.SetsockoptInt(fd, unix.SOL_SOCKET, option, 1)))
	}
	if err = errors.Join(err, os.NewSyscallError("bind", unix.Bind(fd, at))); err != nil {
		_ = f.Close() // no client has it
		return nil, err
	}
	return f, nil
}

// Occupied reports whether another process serves at the address.
func (p *Place) Occupied() bool {
	c := p.dial()
	if c != nil {
		_ = c.Close() // it was only to see whether anyone accepts
	}
	return c != nil
}

// dial connects to the process that serves at the address; nil: there is none.
func (p *Place) dial() net.Conn {
	if p.file == nil && p.hidden == "" {
		return nil // it is our own
	}
	network, address := "tcp", p.address
	if path, isUnix := strings.CutPrefix(address, "unix:"); isUnix {
		network, address = "unix", path
	}
	c, err := net.DialTimeout(network, address, patience)
	if err != nil {
		return nil
	}
	return c
}

// patience is how long another process may take to hand an address over.
const patience = 2 * time.Second

// TakeOver listens at the address, and makes a process that served there leave it. The address accepts at
// every moment.
func (p *Place) TakeOver() (net.Listener, error) {
	old := p.dial() // before anybody else listens there
	if old != nil {
		defer old.Close()
	}
	if err := p.listen(); err != nil {
		return nil, fmt.Errorf("admin API cannot listen on %s: %w", p.address, err)
	}
	if old == nil {
		return p.l, nil
	}
	if err := relieve(old); err != nil {
		return p.l, fmt.Errorf("another process does not hand the admin address %s over: %w", p.address, err)
	}
	return p.l, nil
}

func (p *Place) listen() (err error) {
	switch {
	case p.file != nil:
		defer p.file.Close() // the listener has a duplicate
		if err = unix.Listen(int(p.file.Fd()), unix.SOMAXCONN); err == nil {
			p.l, err = net.FileListener(p.file)
		}
		p.file = nil
		return err
	case p.hidden != "":
		path := strings.TrimPrefix(p.address, "unix:")
		l := p.l
		p.l, err = moveUnix(l, p.hidden, path)
		p.hidden = ""
		return err
	}
	return nil
}

// relieve asks the process behind c to leave its address.
func relieve(c net.Conn) error {
	_ = c.SetDeadline(time.Now().Add(patience)) // fails only on a closed connection
	_, err := io.WriteString(c, "POST /handover HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n"+
		"Connection: close\r\n\r\n")
	if err != nil {
		return err
	}
	status, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		return err
	}
	if !strings.HasPrefix(status, "HTTP/1.1 200 ") {
		return errors.New("it answers " + strconv.Quote(strings.TrimSpace(status)))
	}
	return nil
}

// Close gives the address back when it is not to be taken.
func (p *Place) Close() {
	if p.file != nil {
		_ = p.file.Close() // nobody was served there
	}
	if p.l != nil {
		_ = p.l.Close() // as above
	}
	if p.hidden != "" {
		_ = os.Remove(p.hidden)
	}
}
