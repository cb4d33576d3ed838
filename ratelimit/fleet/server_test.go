package fleet

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/penstock-edge/penstock/ratelimit/bucket"
)

// strange is a server that speaks the protocol and answers scripts as a test wants.
type strange struct {
	net.Listener
	// script answers EVALSHA and SCRIPT; "" closes the connection.
	script func(command []string) string

	mu    sync.Mutex
	conns []net.Conn
	wg    sync.WaitGroup
}

func newStrange(t *testing.T, script func(command []string) string) *strange {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &strange{Listener: l, script: script}
	s.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns = append(s.conns, c)
			s.mu.Unlock()
			s.wg.Go(func() { s.serve(c) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		s.hangUp()
		s.wg.Wait()
	})
	return s
}

// hangUp closes all connections.
func (s *strange) hangUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		_ = c.Close()
	}
}

func (s *strange) serve(c net.Conn) {
	defer func() { _ = c.Close() }()
	r := bufio.NewReader(c)
	for {
		command, err := readCommand(r)
		if err != nil {
			return
		}
		answer := "+OK\r\n"
		switch command[0] {
		case "HELLO":
			answer = "%2\r\n$7\r\nversion\r\n$5\r\n7.0.0\r\n$5\r\nproto\r\n:3\r\n"
		case "PING":
			answer = "+PONG\r\n"
		case "EVALSHA", "EVAL", "SCRIPT":
			answer = s.script(command)
		}
		if _, err := io.WriteString(c, answer); err != nil || answer == "" {
			return
		}
	}
}

// readCommand reads an array of strings.
func readCommand(r *bufio.Reader) ([]string, error) {
	n, err := readNumber(r, '*')
	if err != nil {
		return nil, err
	}
	all := make([]string, n)
	for i := range all {
		size, err := readNumber(r, '$')
		if err != nil {
			return nil, err
		}
		b := make([]byte, size+2)
		if _, err := io.ReadFull(r, b); err != nil {
			return nil, err
		}
		all[i] = string(b[:size])
	}
	return all, nil
}

func readNumber(r *bufio.Reader, kind byte) (int, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return 0, err
	}
	if line[0] != kind {
		return 0, fmt.Errorf("%q does not begin with %c", line, kind)
	}
	return strconv.Atoi(strings.TrimSpace(line[1:]))
}

// numbers is an array of integers.
func numbers(list ...int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(list))
	for _, n := range list {
		fmt.Fprintf(&b, ":%d\r\n", n)
	}
	return b.String()
}

// put has a link send one question, and returns what came of it.
func put(l *Link, questions ...Question) (*Ask, error) {
	a := AcquireAsk()
	a.Questions = append(a.Questions, questions...)
	l.send([]*Ask{a})
	return a, <-a.answer
}

// TestStrangeAnswers: what is no answer of the script is an error, and charges nothing here.
func TestStrangeAnswers(t *testing.T) {
	f := func(answer, want string) {
		t.Helper()
		s := newStrange(t, func([]string) string { return answer })
		l := connected(t, s.Addr().String())
		w := NewLedger(l, "x", NewGCRA(1, time.Hour, 10), 100, 5, time.Minute)
		q := Question{Ledger: w, Key: bucket.Key{1, 2}, Cost: 3}
		a, err := put(l, q)
		if want == "ok" {
			if r := a.Questions[0].Result; err != nil || !r.OK || r.Remaining != 7 || r.Reset != time.Hour {
				t.Errorf("%q: %v, %+v", answer, err, r)
			}
			return
		}
		if err == nil || !strings.Contains(err.Error(), want) || l.fails.Load() != 1 {
			t.Errorf("%q: %v, want %q; %d failures", answer, err, want, l.fails.Load())
		}
		if len(w.collect(1)) > 0 || w.Keys(1) != 0 {
			t.Errorf("%q: something is known of the key", answer)
		}
		w.TryCharge(q.Key, 1, 3)
		if err := w.sync(w.collect(1)); err == nil {
			t.Errorf("%q: it was told", answer)
		}
		if b := w.collect(1); len(b) != 1 || b[0].used != 3 {
			t.Errorf("%q: %v is to be told again, want 3", answer, b)
		}
	}
	f(numbers(1, 7_000_000, 277, 3_600_000_000, -1), "ok")
	f(numbers(1, 7_000_000, 277, 3_600_000_000), "4 numbers for 1 limits")
	f(numbers(1, 7_000_000, 277, 3_600_000_000, -1, 1), "6 numbers for 1 limits")
	f(numbers(), "0 numbers")
	f(":1\r\n", "is not a")
	f("$5\r\nhello\r\n", "is not a")
	f("*5\r\n:1\r\n$3\r\nabc\r\n:1\r\n:1\r\n:1\r\n", "abc")
	f("-ERR user_script:3: out of luck\r\n", "out of luck")
	f("-NOSCRIPT No matching script. Please use EVAL.\r\n", "does not keep the script")
	f("-LOADING it is\r\n", "LOADING")
	f("_\r\n", "nil")
	f("", "")
}

// TestSilentServer: a batch ends when its time is over, a late answer to it is nobody's, and three in a row are enough
// to take the server to be gone.
func TestSilentServer(t *testing.T) {
	release := make(chan bool)
	s := newStrange(t, func([]string) string {
		<-release
		return numbers(1, 7_000_000, 277, 3_600_000_000, -1)
	})
	l := connected(t, s.Addr().String())
	defer close(release)
	l.conf.ConnectTimeout = time.Millisecond
	w := NewLedger(l, "x", NewGCRA(1, time.Hour, 10), 100, 5, time.Millisecond)
	q := Question{Ledger: w, Key: bucket.Key{1, 2}, Cost: 3}
	for i := range mostFails {
		if !l.Up() || l.Broken() != 0 {
			t.Errorf("gone after %d", i)
		}
		_, err := put(l, q)
		if late, ok := errors.AsType[net.Error](err); !ok || !late.Timeout() { // of the batch, or of a new connection
			t.Errorf("%d: %v", i, err)
		}
	}
	if l.Up() || l.Broken() != 1 || len(l.knock) != 1 {
		t.Errorf("up %v, lost %d times, %d heartbeats wanted", l.Up(), l.Broken(), len(l.knock))
	}
	l.failed(ErrLate)
	if l.Broken() != 1 {
		t.Errorf("lost once, and %d times counted", l.Broken())
	}
}

// TestHangUp: a server that closes its connections in the middle of everything is connected to again.
func TestHangUp(t *testing.T) {
	var s *strange
	n := 0
	s = newStrange(t, func([]string) string {
		if n++; n%2 == 1 {
			return ""
		}
		return numbers(1, 7_000_000, 277, 3_600_000_000, -1)
	})
	l := connected(t, s.Addr().String())
	w := NewLedger(l, "x", NewGCRA(1, time.Hour, 10), 100, 5, time.Minute)
	for i := range 6 {
		_, err := put(l, Question{Ledger: w, Key: bucket.Key{1, 2}, Cost: 3})
		if (err == nil) != (i%2 == 1) {
			t.Errorf("%d: %v", i, err)
		}
		if got, want := l.fails.Load(), int32(1-i%2); got != want && i%2 == 0 {
			t.Errorf("%d: %d failures in a row, want %d", i, got, want)
		}
		l.fails.Store(0)
	}
}

// spin blocks until something that goroutines do is done.
func spin(done func() bool) {
	for !done() {
		runtime.Gosched()
	}
}
