package h1

import (
	"io"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/penstock-edge/penstock/edge/lib/clock"
)

// scripted is a connection that gives one byte and then ends, and whose writes fail with failure.
type scripted struct {
	net.Conn
	failure error
	reads   int
	closed  atomic.Bool
}

func (s *scripted) Read(b []byte) (int, error) {
	if s.reads++; s.reads > 1 {
		return 0, io.EOF
	}
	b[0] = 'x'
	return 1, nil
}

func (s *scripted) Write(b []byte) (int, error) {
	if s.failure != nil {
		return 0, s.failure
	}
	return len(b), nil
}

func (s *scripted) Close() error                     { s.closed.Store(true); return nil }
func (s *scripted) CloseWrite() error                { return nil }
func (s *scripted) SetReadDeadline(time.Time) error  { return nil }
func (s *scripted) SetWriteDeadline(time.Time) error { return nil }

// TestTunnelLosesNothingUnnoticed: a write that failed ends the tunnel, also when the other direction is
// alive.
func TestTunnelLosesNothingUnnoticed(t *testing.T) {
	f := func(failure error, ends bool) {
		t.Helper()
		src, dst := &scripted{}, &scripted{failure: failure}
		tn := &switched{socket: src, up: dst, idle: int64(time.Hour)}
		tn.last.Store(clock.Now())
		tn.carry(dst, src, nil, &tn.In)
		if src.closed.Load() != ends || dst.closed.Load() != ends {
			t.Fatalf("write error %v: closed %v and %v, want %v", failure, src.closed.Load(), dst.closed.Load(), ends)
		}
	}
	f(nil, false) // the end is passed on, the other direction goes on
	f(os.ErrDeadlineExceeded, true)
	f(io.ErrClosedPipe, true)
}
