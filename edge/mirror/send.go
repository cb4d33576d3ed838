package mirror

import (
	"errors"
	"io"

	"github.com/penstock-edge/penstock/edge"
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
	f := m.send(d, buf)
	if f == nil {
		m.outcomes[sent].Inc(lane)
	} else {
		m.outcomes[failed].Inc(lane)
	}
	if f != edge.Internal {
		d.release() // else it may still be held somewhere: it is left to the garbage collector
	}
}

// send asks for d and reads the answer. A copy must never end the process.
func (m *mirror) send(d *duplicate, buf []byte) (f *edge.Fault) {
	defer edge.Contain(&f)
	x := &d.x
	x.Begin(m.timeout)
	if len(d.body) > 0 {
		d.in = *edge.NewBytesBody(d.body)
		x.In, x.InLen = &d.in, int64(len(d.body))
	}
	if f = edge.Fetch(x); f == nil {
		f = discard(x.Out, buf)
	}
	x.Finish(f)
	return f
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
