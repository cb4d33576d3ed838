package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// RedisServer is a real redis-server, or one that watches others as a sentinel.
type RedisServer struct {
	T      testing.TB
	Addr   string
	Dir    string
	Args   []string
	Cmd    *exec.Cmd
	exited chan struct{}
	Log    *LockedBuffer
}

// StartRedis starts a server with more arguments than address and folder. It keeps nothing on disk, unless
// the arguments say otherwise.
func StartRedis(t testing.TB, args ...string) *RedisServer {
	t.Helper()
	r := NewRedis(t, args...)
	r.Start()
	return r
}

// NewRedis returns a server that Start starts.
func NewRedis(t testing.TB, args ...string) *RedisServer {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Skip("redis-server is not installed: make deps")
	}
	r := &RedisServer{T: t, Addr: FreeAddr(t), Dir: t.TempDir(), Args: args}
	t.Cleanup(r.Kill)
	return r
}

// Port returns the port of its address.
func (r *RedisServer) Port() string { _, p, _ := net.SplitHostPort(r.Addr); return p }

// Start starts the server, also after Kill.
func (r *RedisServer) Start() {
	r.T.Helper()
	r.Log = &LockedBuffer{}
	r.Cmd = exec.Command("redis-server", append([]string{"--port", r.Port(), "--bind", "127.0.0.1",
		"--dir", r.Dir, "--save", "", "--daemonize", "no"}, r.Args...)...)
	r.Launch()
}

// Launch starts the process that Cmd describes.
func (r *RedisServer) Launch() {
	r.T.Helper()
	r.Cmd.Stdout, r.Cmd.Stderr = r.Log, r.Log
	if err := r.Cmd.Start(); err != nil {
		r.T.Fatal(err)
	}
	r.exited = make(chan struct{})
	go func() {
		_ = r.Cmd.Wait() // a killed server ends with an error
		close(r.exited)
	}()
	Eventually(r.T, "redis-server accepts connections", func() bool {
		c, err := net.Dial("tcp", r.Addr)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

// Signal sends a signal to the process.
func (r *RedisServer) Signal(s syscall.Signal) {
	r.T.Helper()
	if err := r.Cmd.Process.Signal(s); err != nil {
		r.T.Error(err)
	}
}

// Kill ends the server as kill -9 does.
func (r *RedisServer) Kill() {
	if r.Cmd == nil {
		return // it was never started
	}
	_ = r.Cmd.Process.Kill() // it may have ended already
	<-r.exited
}

// Do runs one command and returns its answer, a line for each part.
func (r *RedisServer) Do(args ...string) string {
	r.T.Helper()
	c, err := net.DialTimeout("tcp", r.Addr, time.Second)
	if err != nil {
		return err.Error()
	}
	defer c.Close()
	send(c, args...)
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second)) // one that hangs shows by what is missing
	br := bufio.NewReader(c)
	var out []string
	for n := 1; n > 0; n-- {
		line, err := br.ReadString('\n')
		if err != nil {
			return err.Error()
		}
		line = strings.TrimRight(line, "\r\n")
		switch line[0] {
		case '*':
			more := 0
			fmt.Sscan(line[1:], &more)
			n += more
		case '$':
			size := 0
			if fmt.Sscan(line[1:], &size); size < 0 {
				continue
			}
			text := make([]byte, size+2)
			if _, err := io.ReadFull(br, text); err != nil {
				return err.Error()
			}
			out = append(out, string(text[:size]))
		default:
			out = append(out, line)
		}
	}
	return strings.Join(out, "\n")
}

func send(c net.Conn, args ...string) {
	fmt.Fprintf(c, "*%d\r\n", len(args))
	for _, a := range args {
		fmt.Fprintf(c, "$%d\r\n%s\r\n", len(a), a)
	}
}

// Slowly relays connections to an address, and passes each piece of data on after a delay.
func Slowly(t testing.TB, to string, delay *atomic.Int64) string {
	t.Helper()
	pass := func(dst, src net.Conn) {
		defer dst.Close()
		type piece struct {
			at   time.Time
			text []byte
		}
		pieces := make(chan piece, 1000)
		go func() {
			defer close(pieces)
			for {
				b := make([]byte, 32<<10)
				n, err := src.Read(b)
				pieces <- piece{time.Now().Add(time.Duration(delay.Load())), b[:n]}
				if err != nil {
					return
				}
			}
		}()
		for p := range pieces {
			time.Sleep(time.Until(p.at)) // the delay is what this is for
			if _, err := dst.Write(p.text); err != nil {
				_ = src.Close() // ends the reader
			}
		}
	}
	return Origin(t, func(c net.Conn) {
		s, err := net.Dial("tcp", to)
		if err != nil {
			return
		}
		go pass(s, c)
		pass(c, s)
	})
}
