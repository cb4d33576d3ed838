package logline

import (
	"io"
	"sync/atomic"
	"testing"
	"time"
)

func BenchmarkLine(b *testing.B) {
	b.ReportAllocs()
	buf, at, agent := make([]byte, 0, 4096), time.Now(), []byte("Mozilla/5.0 (X11; Linux x86_64)")
	for b.Loop() {
		buf = appendLine(buf[:0], at, "/v1/users/17", agent)
	}
	b.SetBytes(int64(len(buf)))
}

func BenchmarkAppend(b *testing.B) {
	buf, at := make([]byte, 0, 4096), time.Now()
	f := func(name string, work func()) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				work()
			}
		})
	}
	f("time RFC 3339", func() { AppendTimeRFC3339Milli(buf, at) })
	f("time RFC 3339 by package time", func() { at.UTC().AppendFormat(buf, "2006-01-02T15:04:05.000Z07:00") })
	f("time CLF", func() { AppendTimeCLF(buf, at) })
	f("string", func() { AppendString(buf, "/v1/users/17?expand=address,orders") })
	f("string with escapes", func() { AppendString(buf, "/v1/\"users\"/\x00\x1b\xff/grüße") })
	f("CLF", func() { AppendCLF(buf, []byte("GET /v1/users/17 HTTP/1.1")) })
	f("seconds", func() { AppendSeconds(buf, 1234567) })
	f("float6", func() { AppendFloat6(buf, 12.345678) })
}

// BenchmarkSinkWrite hands lines over faster than any log takes them; what does not
// fit is dropped, as it would be.
func BenchmarkSinkWrite(b *testing.B) {
	b.ReportAllocs()
	s, err := NewSink(Stream(io.Discard), 0)
	if err != nil {
		b.Fatal(err)
	}
	line := appendLine(nil, time.Now(), "/v1/users/17", []byte("Mozilla/5.0 (X11; Linux x86_64)"))
	var next atomic.Uint32
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		lane := next.Add(1)
		for pb.Next() {
			s.Write(lane, line)
		}
	})
	b.StopTimer()
	if err := s.Close(); err != nil {
		b.Error(err)
	}
	b.ReportMetric(100*float64(s.Dropped())/float64(s.Dropped()+s.Written()), "%dropped")
}
