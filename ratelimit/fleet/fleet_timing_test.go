package fleet

import (
	"log/slog"
	"net"
	"os/exec"
	"testing"
	"time"

	"github.com/penstock-edge/penstock/edge/lib/clock"
	"github.com/penstock-edge/penstock/ratelimit/bucket"
)

// BenchmarkTake is what a fast limit costs a request: one key, and one key on all cores.
func BenchmarkTake(b *testing.B) {
	link := NewLink(&Config{}, slog.New(slog.DiscardHandler))
	link.up.Store(true)
	w := NewLedger(link, "x", NewGCRA(1e9, time.Second, 1e9), 1000, 1e9, time.Second)
	k := bucket.Key{1, 2}
	b.Run("hot", func(b *testing.B) {
		now := int64(1)
		for b.Loop() {
			now += 100
			w.TryCharge(k, now, 1)
		}
	})
	b.Run("all cores", func(b *testing.B) {
		b.RunParallel(func(pb *testing.PB) {
			now := int64(1)
			for pb.Next() {
				now += 100
				w.TryCharge(k, now, 1)
			}
		})
	})
}

// BenchmarkHashKey is what a key costs that is the same on all gateways.
func BenchmarkHashKey(b *testing.B) {
	text := []byte("\x04\x00\x00\x00\xc0\x00\x02\x01")
	for b.Loop() {
		HashKey(text)
	}
}

// BenchmarkAsk asks a real server about one limit, alone and from many requests at once.
func BenchmarkAsk(b *testing.B) {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		b.Skip("redis-server is not installed: make deps")
	}
	const address = "127.0.0.1:16379"
	server := exec.Command(path, "--port", "16379", "--save", "", "--bind", "127.0.0.1")
	if err := server.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() {
		_ = server.Process.Kill() // it is ours
		_ = server.Wait()         // killed
	}()
	for {
		c, err := net.Dial("tcp", address)
		if err == nil {
			c.Close()
			break
		}
	}
	link := newLink(b, address)
	link.Start()
	for !link.Up() {
		time.Sleep(time.Millisecond)
	}
	w := NewLedger(link, "x", NewGCRA(1e6, time.Second, 1e6), 1000, 1000, time.Second)
	ask := func(b *testing.B) {
		a := AcquireAsk()
		a.Questions = append(a.Questions, Question{Ledger: w, Key: bucket.Key{uint64(clock.Now()), 1}, Cost: 1})
		if err := link.Do(a, 5*time.Second, stays{}); err != nil {
			b.Error(err)
			return
		}
		ReleaseAsk(a)
	}
	b.Run("alone", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			ask(b)
		}
	})
	b.Run("64 at once", func(b *testing.B) {
		b.ReportAllocs()
		b.SetParallelism(32)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				ask(b)
			}
		})
	})
}
