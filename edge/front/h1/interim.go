package h1

import "github.com/penstock-edge/penstock/edge"

// mostEarly bounds the interim answers that wait for the client, in bytes.
const mostEarly = 64 << 10

// Interim implements edge.InterimConn. What the client does not take at once in a loop is sent ahead of the
// final answer; when that is much, further ones are dropped.
func (c *conn) Interim(head []byte) {
	c.sendMu.Lock()
	defer c.sendMu.Unlock()
	r := c.request
	if r == nil || r.begun || len(r.early)+len(head) > mostEarly {
		return
	}
	waiting := len(r.early) > 0
	r.early = append(r.early, head...)
	switch {
	case c.state == blocking:
		_ = c.writeEarly() // the final answer will fail likewise
	case !waiting:
		n, _ := c.TryWriteBoth(r.early, nil) // as above
		r.early = r.early[:copy(r.early, r.early[n:])]
	}
}

// writeEarly sends the interim answers that wait. sendMu must be held.
func (c *conn) writeEarly() error {
	r := c.request
	if len(r.early) == 0 {
		return nil
	}
	err := c.Write(r.early)
	r.early = r.early[:0]
	return err
}

// sendContinue tells a waiting client to send its body, unless the final answer has begun.
func (c *conn) sendContinue() error {
	c.sendMu.Lock()
	defer c.sendMu.Unlock()
	if c.request.begun {
		return edge.ClientGone
	}
	if err := c.writeEarly(); err != nil {
		return err
	}
	return c.Write(continueLine)
}

var continueLine = []byte("HTTP/1.1 100 Continue\r\n\r\n")
