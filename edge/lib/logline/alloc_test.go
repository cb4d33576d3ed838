//go:build !race

package logline

import (
	"io"
	"math"
	"testing"
	"time"
)

func TestNoAllocations(t *testing.T) {
	f := func(name string, work func()) {
		t.Helper()
		if n := testing.AllocsPerRun(1000, work); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
	b, at, agent := make([]byte, 0, 4096), time.Now(), []byte("curl/8 \xff\"\n")
	f("a line", func() { appendLine(b, at, "/v1/users/17?x=\u2028", agent) })
	f("AppendCLF", func() { AppendCLF(b, agent) })
	f("AppendTimeCLF", func() { AppendTimeCLF(b, at) })
	f("AppendFloat6", func() { AppendFloat6(b, math.Pi) })
	f("AppendFloat3", func() { AppendFloat3(b, -math.Pi*1e20) })

	s := newSink(t, Stream(io.Discard), 0)
	defer closeSink(t, s)
	line := appendLine(b, at, "/v1/users/17", agent)
	write := func() { s.Write(1, line) }
	for range 10_000 { // until the chunks have been round once
		write()
	}
	f("Sink.Write", write)
}
