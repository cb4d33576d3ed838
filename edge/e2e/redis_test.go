package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// redisServer is a real redis-server, or one that watches others as a sentinel.
type redisServer struct {
	t      testing.TB
	addr   string
	dir    string
	args   []string
	cmd    *exec.Cmd
	exited chan struct{}
	log    *lockedBuffer
}

// startRedis starts a server with more arguments than address and folder. It keeps nothing on disk, unless the
// arguments say otherwise.
func startRedis(t testing.TB, args ...string) *redisServer {
	t.Helper()
	r := newRedis(t, args...)
	r.start()
	return r
}

// newRedis is startRedis for who starts it later.
func newRedis(t testing.TB, args ...string) *redisServer {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Skip("redis-server is not installed: make deps")
	}
	r := &redisServer{t: t, addr: freeAddr(t), dir: t.TempDir(), args: args}
	t.Cleanup(r.kill)
	return r
}

func (r *redisServer) port() string { _, p, _ := net.SplitHostPort(r.addr); return p }

func (r *redisServer) start() {
	r.t.Helper()
	r.log = &lockedBuffer{}
	r.cmd = exec.Command("redis-server", append([]string{"--port", r.port(), "--bind", "127.0.0.1", "--dir", r.dir, "--save", "",
		"--daemonize", "no"}, r.args...)...)
	r.launch()
}

func (r *redisServer) launch() {
	r.t.Helper()
	r.cmd.Stdout, r.cmd.Stderr = r.log, r.log
	if err := r.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	r.exited = make(chan struct{})
	go func() {
		_ = r.cmd.Wait() // a killed server ends with an error
		close(r.exited)
	}()
	eventually(r.t, "redis-server accepts connections", func() bool {
		c, err := net.Dial("tcp", r.addr)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

func (r *redisServer) signal(s syscall.Signal) {
	r.t.Helper()
	if err := r.cmd.Process.Signal(s); err != nil {
		r.t.Error(err)
	}
}

// kill ends the server as kill -9 does.
func (r *redisServer) kill() {
	if r.cmd == nil {
		return // it was never started
	}
	_ = r.cmd.Process.Kill() // it may have ended already
	<-r.exited
}

// do runs one command and returns its answer, a line for each part.
func (r *redisServer) do(args ...string) string {
	r.t.Helper()
	c, err := net.DialTimeout("tcp", r.addr, time.Second)
	if err != nil {
		return err.Error()
	}
	defer c.Close()
	send(c, args...)
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second)) // a server that hangs fails the test by what is missing
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

// startSentinel watches a master. One is enough to decide.
func startSentinel(t testing.TB, master *redisServer) *redisServer {
	t.Helper()
	s := &redisServer{t: t, addr: freeAddr(t), dir: t.TempDir(), log: &lockedBuffer{}}
	file := filepath.Join(s.dir, "sentinel.conf")
	conf := "port " + s.port() + "\nbind 127.0.0.1\ndir " + s.dir + "\nsentinel monitor main 127.0.0.1 " + master.port() + " 1\n" +
		"sentinel down-after-milliseconds main 500\nsentinel failover-timeout main 3000\n"
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil { // the sentinel writes what it learns into it
		t.Fatal(err)
	}
	s.cmd = exec.Command("redis-server", file, "--sentinel")
	s.launch()
	t.Cleanup(s.kill)
	return s
}

// slowly relays connections to an address, and passes each piece of data on after a delay.
func slowly(t testing.TB, to string, delay *atomic.Int64) string {
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
	return origin(t, func(c net.Conn) {
		s, err := net.Dial("tcp", to)
		if err != nil {
			return
		}
		go pass(s, c)
		pass(c, s)
	})
}
