// Package warm asks for URLs as a client would, so that what they answer is stored.
package warm

import (
	"bufio"
	"bytes"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/penstock-edge/penstock/edge"
)

// Queue asks for URLs as a client would, so that what they answer is stored. It goes on over reloads.
type Queue struct {
	Cache string
	Log   *slog.Logger

	mu      sync.Mutex
	queue   []string
	working int // goroutines
	begun   time.Time
	closed  bool

	Done, Failed atomic.Uint64
}

// MostWarm bounds how many URLs wait.
const MostWarm = 1 << 20

// Add has URLs asked for, by so many goroutines at once. It returns false when too many wait already.
func (w *Queue) Add(urls []string, workers int, current *edge.Current) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.queue)+len(urls) > MostWarm || w.closed {
		return false
	}
	if w.working == 0 {
		w.begun = time.Now()
	}
	w.queue = append(w.queue, urls...)
	for w.working < min(workers, len(w.queue)) {
		w.working++
		go w.work(current)
	}
	return true
}

// next returns the URL that is asked for next; false: there is none, and who asks is to end.
func (w *Queue) next() (string, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.queue) == 0 {
		if w.working--; w.working == 0 && !w.closed {
			w.Log.Info("cache warmed", "cache", w.Cache, "answered", w.Done.Load(), "failed", w.Failed.Load(),
				"seconds", time.Since(w.begun).Seconds())
		}
		return "", false
	}
	url := w.queue[0]
	w.queue = w.queue[1:]
	if n := w.Done.Load() + w.Failed.Load(); n%1000 == 999 {
		w.Log.Info("warming the cache", "cache", w.Cache, "asked", n+1, "waiting", len(w.queue))
	}
	return url, true
}

func (w *Queue) work(current *edge.Current) {
	for {
		url, ok := w.next()
		if !ok {
			return
		}
		g := w.pin(current)
		if g == nil {
			continue // the process ends, and so has the queue
		}
		status, why := get(g, url)
		g.Unpin(0)
		if status/100 == 2 || status/100 == 3 {
			w.Done.Add(1)
			continue
		}
		if w.Failed.Add(1) <= 10 { // of many that fail the first ones tell enough
			w.Log.Warn("a URL of the list cannot be had", "cache", w.Cache, "url", url, "status", status, "why", why)
		}
	}
}

// pin waits until there is a generation, which may not have begun to serve yet; nil: there will be none.
func (w *Queue) pin(current *edge.Current) *edge.Generation {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		if g := current.Pin(0); g != nil {
			return g
		}
		w.mu.Lock()
		closed := w.closed
		w.mu.Unlock()
		if closed {
			return nil
		}
		<-tick.C
	}
}

// get asks for a URL under generation g and returns the status of the answer.
func get(g *edge.Generation, url string) (status int, why string) {
	x := new(edge.Exchange)
	x.Reset()
	x.Conn, x.Listener = edge.Discard{}, "cache"
	x.Peer = netip.IPv6Loopback()
	x.Client = x.Peer
	refusal, err := x.Own("GET", url, nil, g.MergeSlashes)
	switch {
	case err != nil:
		return 0, err.Error()
	case refusal != "":
		return 400, refusal
	}
	edge.Serve(g, x, edge.Discard{}, true)
	if x.Fault != nil {
		why = x.Fault.Code
	}
	return x.Status(), why
}

// Close forgets what waits.
func (w *Queue) Close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.queue, w.closed = nil, true
}

// Waiting returns how many URLs are yet to be asked for.
func (w *Queue) Waiting() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.queue)
}

// ParseList returns the URLs of a list: one a line, without empty lines and those that begin with #.
func ParseList(b []byte) (urls []string, err error) {
	lines := bufio.NewScanner(bytes.NewReader(b))
	lines.Buffer(nil, 64<<10)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		if !strings.HasPrefix(line, "http://") && !strings.HasPrefix(line, "https://") {
			return nil, fmt.Errorf("line %d must be a URL like http://host/path, it is %.100q", n, line)
		}
		urls = append(urls, line)
	}
	return urls, lines.Err()
}
