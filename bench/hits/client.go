package hits

import (
	"bufio"
	"fmt"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// client asks for a sequence of objects over some connections, each of which takes the next one when it has
// an answer.
type client struct {
	addr     string
	conns    int
	rate     float64 // requests a second; 0: as fast as they are answered
	sequence []int32
	sizes    []int32 // of the objects' bodies
	folder   string  // the first segment of the path

	taken, failed atomic.Int64
	mu            sync.Mutex
	why           error // the first failure
}

// run asks for all, and gives the requests that failed and the first failure. progress is called each second.
func (c *client) run(progress func(done int)) (int, error) {
	var all sync.WaitGroup
	begin := time.Now()
	for range c.conns {
		all.Go(func() { c.ask(begin) })
	}
	over := make(chan struct{})
	go func() { all.Wait(); close(over) }()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-over:
			return int(c.failed.Load()), c.why
		case <-tick.C:
			progress(min(int(c.taken.Load()), len(c.sequence)))
		}
	}
}

func (c *client) ask(begin time.Time) {
	w := worker{addr: c.addr}
	defer w.close()
	for {
		i := int(c.taken.Add(1)) - 1
		if i >= len(c.sequence) {
			return
		}
		if c.rate > 0 {
			time.Sleep(time.Until(begin.Add(time.Duration(float64(i) / c.rate * 1e9)))) // until it is due
		}
		object := c.sequence[i]
		if err := w.get(c.folder, int(object), int(c.sizes[object])); err != nil {
			c.failed.Add(1)
			c.mu.Lock()
			if c.why == nil {
				c.why = err
			}
			c.mu.Unlock()
		}
	}
}

// worker is one connection, opened again after a failure.
type worker struct {
	addr   string
	conn   net.Conn
	in     *bufio.Reader
	out    []byte
	answer fasthttp.Response
}

func (w *worker) get(folder string, object, size int) error {
	if w.conn == nil {
		conn, err := net.DialTimeout("tcp", w.addr, 10*time.Second)
		if err != nil {
			return err
		}
		w.conn, w.in = conn, bufio.NewReaderSize(conn, 16<<10)
	}
	err := w.exchange(folder, object, size)
	if err != nil {
		w.close()
	}
	return err
}

func (w *worker) exchange(folder string, object, size int) error {
	if err := w.conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return err
	}
	w.out = append(append(append(w.out[:0], "GET /"...), folder...), '/')
	w.out = append(strconv.AppendInt(w.out, int64(object), 10), '/')
	w.out = strconv.AppendInt(w.out, int64(size), 10)
	w.out = append(w.out, " HTTP/1.1\r\nHost: bench.example.com\r\n\r\n"...)
	if _, err := w.conn.Write(w.out); err != nil {
		return err
	}
	if err := w.answer.Read(w.in); err != nil {
		return err
	}
	if got := len(w.answer.Body()); w.answer.StatusCode() != fasthttp.StatusOK || got != size {
		return fmt.Errorf("object %d: status %d with %d bytes instead of %d", object, w.answer.StatusCode(), got,
			size)
	}
	if w.answer.ConnectionClose() {
		w.close()
	}
	return nil
}

func (w *worker) close() {
	if w.conn != nil {
		_ = w.conn.Close() // only read from
		w.conn = nil
	}
}
