package overload

import (
	"context"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/metric"
	"github.com/penstock-edge/penstock/edge/live"
	"github.com/penstock-edge/penstock/pool"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestExample(t *testing.T) {
	text, err := os.ReadFile("../../configs/overload.toml")
	if err != nil {
		t.Fatal(err)
	}
	b, err := live.Check("overload.toml", text, []edge.Feature{Feature, pool.Feature})
	if err != nil {
		t.Fatal(err)
	}
	b.Close()
}

// plain is the part of a file that is not the matter.
const plain = `
[[listener]]
address = ":8080"
[pool.app]
targets = ["127.0.0.1:9000"]
[[route]]
prefix = "/"
pool = "app"
`

func TestBadFiles(t *testing.T) {
	f := func(text, complaint string) {
		t.Helper()
		b, err := live.Check("bad.toml", []byte(plain+text), []edge.Feature{Feature, pool.Feature})
		if err == nil {
			b.Close()
			t.Errorf("%q is taken", text)
		} else if !strings.Contains(err.Error(), complaint) {
			t.Errorf("%q: %v", text, err)
		}
	}
	f("priority_class = \"urgent\"", "priority_class")
	f("[overload]\nmemory_percent = 101", "memory_percent")
	f("[overload]\nmemory_percent = -1", "memory_percent")
	f("[overload]\nmemory_limit = \"much\"", "memory_limit")
	f("[overload]\ncpu_percent = 100", "cpu_percent")
	f("[overload]\npriority_header = \"X Priority\"", "not the name of a header field")
	f("[overload]\nmemory_percents = 90", "memory_percents")
}

// paper is a file that the test changes, and a log that it reads.
type paper struct {
	mu    sync.Mutex // guards what follows
	text  string
	lines strings.Builder

	wrote chan struct{} // a line has been written; holds one
}

func (p *paper) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case p.wrote <- struct{}{}:
	default:
	}
	return p.lines.Write(b)
}

func (p *paper) read() (string, []byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return "test.toml", []byte(p.text), nil
}

func (p *paper) set(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.text = text
}

func (p *paper) said(what string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Count(p.lines.String(), what)
}

// One gauge lives as long as a generation wants it; a reload changes its settings and not what it knows.
func TestReloads(t *testing.T) {
	t.Setenv("GOMEMLIMIT", "off")
	p, registry := &paper{wrote: make(chan struct{}, 1)}, metric.NewRegistry()
	l := live.New(live.Options{Text: p.read, Features: []edge.Feature{Feature, pool.Feature}, Registry: registry,
		Current: &edge.Current{}, Log: slog.New(slog.NewTextHandler(p, nil))})
	f := func(text, metric string) {
		t.Helper()
		p.set(text)
		if _, err := l.Load(); err != nil {
			t.Fatal(err)
		}
		for until := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
			var b strings.Builder
			if err := registry.Write(&b); err != nil {
				t.Fatal(err)
			}
			switch found := strings.Contains(b.String(), "penstock_overload_pressure"); {
			case metric == "" && !found, metric != "" && strings.Contains(b.String(), metric+"\n"):
				return
			case time.Now().After(until):
				t.Fatalf("no %q in\n%s", metric, b.String())
			}
		}
	}
	const full = `penstock_overload_pressure{resource="memory"} 1`
	const empty = `penstock_overload_pressure{resource="memory"} 0`
	f(plain, "")
	f(plain+"[overload]\nmemory_limit = \"4KiB\"", full)
	f(plain+"[overload]\nmemory_limit = \"8KiB\"", full)
	begins := func(want int) {
		t.Helper()
		// The gauge shows it before the line is written.
		for late := time.After(20 * time.Second); p.said("is overloaded") < want; {
			select {
			case <-p.wrote:
			case <-late:
				t.Fatalf("%d lines say that it begins, want %d", p.said("is overloaded"), want)
			}
		}
		if n := p.said("is overloaded"); n != want {
			t.Errorf("%d lines say that it begins, want %d", n, want)
		}
	}
	begins(1) // the reload has changed nothing
	f(plain+"[overload]\nmemory_percent = 0", empty)
	f(plain, "")
	f(plain+"[overload]\nmemory_limit = \"8KiB\"", full)
	begins(2) // the second gauge knows nothing of the first
	if err := l.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
}
