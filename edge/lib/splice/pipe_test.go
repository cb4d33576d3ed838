package splice

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"
)

// pair returns the two ends of a TCP connection.
func pair(t *testing.T) (*net.TCPConn, *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	b, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	return a.(*net.TCPConn), b.(*net.TCPConn)
}

func rawOf(t *testing.T, c *net.TCPConn) syscall.RawConn {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestPipeMovesAll(t *testing.T) {
	in, from := pair(t)
	to, out := pair(t)
	want := make([]byte, 5<<20)
	rand.Read(want)
	go func() {
		in.Write(want)
		in.CloseWrite()
	}()
	got := make(chan []byte)
	go func() {
		b, _ := io.ReadAll(out)
		got <- b
	}()
	p, err := Acquire()
	if err != nil {
		t.Fatal(err)
	}
	defer p.Release()
	src, dst := rawOf(t, from), rawOf(t, to)
	for {
		_, err := p.Fill(src, 1<<20)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Drain(dst); err != nil || p.Len() != 0 {
			t.Fatalf("%d bytes left, error %v", p.Len(), err)
		}
	}
	to.CloseWrite()
	if !bytes.Equal(<-got, want) {
		t.Fatal("what came out is not what went in")
	}
}

// TestDeadlineLosesNothing lets the writing side's deadline pass again and again: no byte may be lost.
func TestDeadlineLosesNothing(t *testing.T) {
	in, from := pair(t)
	to, out := pair(t)
	to.SetWriteBuffer(4 << 10)
	out.SetReadBuffer(4 << 10)
	want := make([]byte, 128<<10)
	rand.Read(want)
	go func() {
		in.Write(want)
		in.CloseWrite()
	}()
	p, err := Acquire()
	if err != nil {
		t.Fatal(err)
	}
	defer p.Release()
	src, dst := rawOf(t, from), rawOf(t, to)
	var got bytes.Buffer
	buf := make([]byte, 10_000)
	late := 0
	for {
		_, err := p.Fill(src, 1<<20)
		if errors.Is(err, io.EOF) {
			break
		}
		for p.Len() > 0 {
			to.SetWriteDeadline(time.Now().Add(time.Millisecond))
			_, err := p.Drain(dst)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				late++
				n, _ := out.Read(buf)
				got.Write(buf[:n])
			} else if err != nil {
				t.Fatal(err)
			}
		}
	}
	to.CloseWrite()
	rest, _ := io.ReadAll(out)
	got.Write(rest)
	if !bytes.Equal(got.Bytes(), want) {
		t.Fatalf("%d of %d bytes came after %d deadlines", got.Len(), len(want), late)
	}
	if late == 0 {
		t.Fatal("no deadline passed: the test shows nothing")
	}
}

func TestFillWaitsUnderTheDeadline(t *testing.T) {
	_, from := pair(t)
	p, err := Acquire()
	if err != nil {
		t.Fatal(err)
	}
	defer p.Release()
	from.SetReadDeadline(time.Now().Add(time.Millisecond))
	if n, err := p.Fill(rawOf(t, from), 100); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("%d bytes, error %v", n, err)
	}
}

func TestReleaseDropsAFullPipe(t *testing.T) {
	in, from := pair(t)
	in.Write([]byte("secret"))
	p, err := Acquire()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Fill(rawOf(t, from), 100); err != nil {
		t.Fatal(err)
	}
	p.Release()
	q, err := Acquire()
	if err != nil {
		t.Fatal(err)
	}
	defer q.Release()
	if q == p || q.Len() != 0 {
		t.Fatal("a pipe with bytes inside was given out again")
	}
}
