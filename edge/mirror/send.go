package mirror

import (
	"errors"
	"fmt"
	"io"
	"net"
	"runtime/debug"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/clock"
)

// maxAnswer is how many bytes of an answer are read so that the connection can be used again. Of a longer one
// the connection is closed.
const maxAnswer = 1 << 20

func (m *mirror) start() {
	m.running.Add(m.workers)
	for range m.workers {
		go m.work()
	}
}

// wait returns when the workers have ended; copies that none has taken up are dropped.
func (m *mirror) wait() {
	m.running.Wait()
	for {
		select {
		case d := <-m.queue:
			m.outcomes[dropped].Inc(d.x.Lane)
		default:
			return
		}
	}
}

// work sends copies, one after the other, until the mirror stops.
func (m *mirror) work() {
	defer m.running.Done()
	buf := make([]byte, 8<<10)
	for {
		select {
		case <-m.stop:
			return
		case d := <-m.queue:
			m.busy.Add(1)
			m.serve(d, buf)
			m.busy.Add(-1)
		}
	}
}

// serve sends one copy and counts how it went.
func (m *mirror) serve(d *duplicate, buf []byte) {
	lane := d.x.Lane
	// The flow's own recover does not reach these goroutines, and a copy must never end the process. After a
	// panic d is left to the garbage collector: nobody knows who still holds it.
	defer func() {
		if p := recover(); p != nil {
			m.outcomes[failed].Inc(lane)
			m.log.Error("panic while mirroring", "panic", fmt.Sprint(p), "route", m.route,
				"stack", string(debug.Stack()))
		}
	}()
	f := m.send(d, buf)
	if f == nil {
		m.outcomes[sent].Inc(lane)
	} else {
		m.outcomes[failed].Inc(lane)
	}
	d.release()
}

// send makes the attempts for d: a second one only when the first met a connection that was dead already.
func (m *mirror) send(d *duplicate, buf []byte) *edge.Fault {
	x := &d.x
	x.MayWait = true
	defer x.End()
	defer d.letGo(edge.Internal) // nothing is left to let go of unless there was a panic
	x.Times.Start = clock.Now()
	x.Times.Head = x.Times.Start
	x.Deadline = x.Times.Start + int64(m.timeout)
	if len(d.body) > 0 {
		d.in = *edge.NewBytesBody(d.body)
		x.In, x.InLen = &d.in, int64(len(d.body))
	}
	for {
		peer, f := m.pool.Pick(x)
		if f != nil {
			return f
		}
		x.Attempts++
		d.peer = peer
		if f = peer.RoundTrip(x); f == nil {
			f = discard(x.Out, buf)
			d.letGo(f)
			return f
		}
		d.letGo(f)
		if f.Retry != edge.RetryReused || x.Fresh {
			return f
		}
		x.Fresh = true
		x.ResetHead()
	}
}

// letGo closes the answer's body and releases the peer, once an attempt.
func (d *duplicate) letGo(f *edge.Fault) {
	x := &d.x
	if x.Out != nil {
		_ = x.Out.Close() // nobody waits for what is left of it
		x.Out = nil
	}
	if p := d.peer; p != nil {
		d.peer = nil
		p.Release(x, f)
	}
}

// discard reads an answer's body to its end, up to a limit.
func discard(body io.Reader, buf []byte) *edge.Fault {
	if body == nil {
		return nil
	}
	for total := 0; total < maxAnswer; {
		n, err := body.Read(buf)
		total += n
		var f *edge.Fault
		switch {
		case err == nil:
		case err == io.EOF:
			return nil
		case errors.As(err, &f):
			return f
		default:
			return edge.UpstreamTruncated
		}
	}
	return nil
}

// nobody is the client of a copy: it neither leaves nor waits.
type nobody struct{}

// Gone implements edge.ClientConn.
func (nobody) Gone() bool { return false }

// Abort implements edge.ClientConn. The body of a copy is in memory: no read of it blocks.
func (nobody) Abort() {}

// NetConn implements edge.ClientConn.
func (nobody) NetConn() *net.TCPConn { return nil }
