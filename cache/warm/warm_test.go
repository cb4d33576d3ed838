package warm

import (
	"bytes"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/penstock-edge/penstock/edge"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// gateway answers the requests of a queue, and holds each one until it is let go on.
type gateway struct {
	edge.Current
	hold chan struct{} // nil: nothing is held

	mu       sync.Mutex
	asked    []string
	at, most int // how many are answered at once, and were
}

// Run implements edge.Filter: the status is what the path ends with.
func (w *gateway) Run(x *edge.Exchange) edge.Verdict {
	w.mu.Lock()
	w.at++
	w.most = max(w.most, w.at)
	w.asked = append(w.asked, fmt.Sprintf("%s %s://%s%s", x.Method, x.Scheme, x.Host, x.Path))
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		w.at--
		w.mu.Unlock()
	}()
	if w.hold != nil {
		<-w.hold
	}
	var status int
	path := string(x.Path)
	if strings.HasSuffix(path, "/panic") {
		panic("a test")
	}
	if _, err := fmt.Sscanf(path[strings.LastIndexByte(path, '/')+1:], "%d", &status); err != nil {
		status = 200
	}
	x.SetHead(status, nil, nil)
	return edge.Answered
}

// generation returns one whose requests the gateway answers.
func (w *gateway) generation(id uint64, closed func()) *edge.Generation {
	g := edge.NewGeneration(id, closed)
	g.Nowhere, g.Early = &edge.Plan{Name: "none"}, []edge.Filter{w}
	return g
}

func newQueue(log *bytes.Buffer) *Queue {
	handler := slog.DiscardHandler
	if log != nil {
		handler = slog.NewTextHandler(log, nil)
	}
	return &Queue{Cache: "main", Log: slog.New(handler)}
}

func urls(n int) (list []string) {
	for i := range n {
		list = append(list, fmt.Sprint("http://h.example/", i, "/200"))
	}
	return list
}

// TestQueue: each URL is asked for once, by no more at once than there may be, and the end is written to the log.
func TestQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, log := &gateway{hold: make(chan struct{})}, &bytes.Buffer{}
		w.Swap(w.generation(1, func() {}))
		q := newQueue(log)
		list := urls(20)
		if !q.Add(list, 3, &w.Current) {
			t.Fatal("not added")
		}
		synctest.Wait()
		if w.at != 3 || q.Waiting() != 17 {
			t.Errorf("%d are asked for at once, %d wait", w.at, q.Waiting())
		}
		if !q.Add([]string{"https://H.example:8443/more"}, 3, &w.Current) {
			t.Fatal("not added")
		}
		synctest.Wait()
		for range 21 {
			w.hold <- struct{}{}
		}
		synctest.Wait()
		want := []string{"GET https://h.example/more"}
		for _, u := range list {
			want = append(want, "GET "+u)
		}
		slices.Sort(want)
		slices.Sort(w.asked)
		if !slices.Equal(w.asked, want) || w.most != 3 || q.Done.Load() != 21 || q.Failed.Load() != 0 || q.Waiting() != 0 {
			t.Errorf("%d done, %d failed, %d at once, %q", q.Done.Load(), q.Failed.Load(), w.most, w.asked)
		}
		if n := strings.Count(log.String(), "cache warmed"); n != 1 {
			t.Errorf("%s", log)
		}
	})
}

// TestFewer: no more goroutines are begun than there are URLs.
func TestFewer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &gateway{hold: make(chan struct{})}
		w.Swap(w.generation(1, func() {}))
		q := newQueue(nil)
		q.Add(urls(2), 100, &w.Current)
		synctest.Wait()
		if q.working > 2 || w.at != 2 {
			t.Errorf("%d goroutines, %d are asked for", q.working, w.at)
		}
		close(w.hold)
		synctest.Wait()
		if q.working != 0 {
			t.Errorf("%d goroutines are left", q.working)
		}
	})
}

// TestFailures: what cannot be had is counted; of many the first ten are written to the log, with the reason.
func TestFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, log := &gateway{}, &bytes.Buffer{}
		w.Swap(w.generation(1, func() {}))
		q := newQueue(log)
		q.Add([]string{"http://h/204", "http://h/304", "http://h/404", "http://h/503", "http://h/panic", "http://h/a b", "http://h/%zz",
			"http:///a", "http://h/%00"}, 1, &w.Current)
		synctest.Wait()
		if q.Done.Load() != 2 || q.Failed.Load() != 7 {
			t.Errorf("%d done, %d failed\n%s", q.Done.Load(), q.Failed.Load(), log)
		}
		for _, want := range []string{"status=404", "status=503", "why=internal"} {
			if !strings.Contains(log.String(), want) {
				t.Errorf("no %s in\n%s", want, log)
			}
		}
		for range 20 {
			q.Add([]string{"http://h/500"}, 1, &w.Current)
			synctest.Wait()
		}
		if n := strings.Count(log.String(), "cannot be had"); n != 10 {
			t.Errorf("%d failures are in the log", n)
		}
	})
}

// TestProgress: with many URLs the log says how far it has come.
func TestProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, log := &gateway{}, &bytes.Buffer{}
		w.Swap(w.generation(1, func() {}))
		q := newQueue(log)
		q.Add(urls(2500), 1, &w.Current)
		synctest.Wait()
		if n := strings.Count(log.String(), "warming the cache"); n != 2 || q.Done.Load() != 2500 {
			t.Errorf("%d done\n%s", q.Done.Load(), log)
		}
	})
}

// TestBeforeServing: what is added before there is a generation waits for it.
func TestBeforeServing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &gateway{}
		q := newQueue(nil)
		q.Add(urls(5), 2, &w.Current)
		time.Sleep(time.Minute) // of the bubble
		synctest.Wait()
		if len(w.asked) != 0 || q.Done.Load()+q.Failed.Load() != 0 {
			t.Fatal(w.asked)
		}
		w.Swap(w.generation(1, func() {}))
		time.Sleep(time.Second) // of the bubble
		synctest.Wait()
		if q.Done.Load() != 5 {
			t.Errorf("%d done", q.Done.Load())
		}
	})
}

// TestCloseBeforeServing: a queue that is closed before there is a generation has no goroutine left.
func TestCloseBeforeServing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &gateway{}
		q := newQueue(nil)
		q.Add(urls(5), 2, &w.Current)
		synctest.Wait()
		q.Close()
		time.Sleep(time.Second) // of the bubble
		synctest.Wait()
		if q.working != 0 || len(w.asked) != 0 || q.Add(urls(1), 1, &w.Current) {
			t.Errorf("%d goroutines, %q", q.working, w.asked)
		}
	})
}

// TestClose: what waits is forgotten, what is under way ends, and nothing is added any more.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, log := &gateway{hold: make(chan struct{})}, &bytes.Buffer{}
		closed := false
		w.Swap(w.generation(1, func() { closed = true }))
		q := newQueue(log)
		q.Add(urls(10), 2, &w.Current)
		synctest.Wait()
		q.Close()
		if q.Waiting() != 0 || q.Add(urls(1), 1, &w.Current) {
			t.Error("it goes on")
		}
		w.Swap(w.generation(2, func() {}))
		if closed {
			t.Error("a generation has ended under its requests")
		}
		close(w.hold)
		synctest.Wait()
		if len(w.asked) != 2 || q.Done.Load() != 2 || q.working != 0 || !closed {
			t.Errorf("%q, %d done, %d goroutines, closed %v", w.asked, q.Done.Load(), q.working, closed)
		}
		if strings.Contains(log.String(), "cache warmed") {
			t.Errorf("%s", log)
		}
	})
}

// TestOverReloads: what waits is asked for under the generation that runs then.
func TestOverReloads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before, after := &gateway{hold: make(chan struct{})}, &gateway{}
		before.Swap(before.generation(1, func() {}))
		q := newQueue(nil)
		q.Add(urls(6), 1, &before.Current)
		synctest.Wait()
		before.Swap(after.generation(2, func() {}))
		close(before.hold)
		synctest.Wait()
		if len(before.asked) != 1 || len(after.asked) != 5 || q.Done.Load() != 6 {
			t.Errorf("%q, and after that %q", before.asked, after.asked)
		}
	})
}

// TestTooMany: with more than there may be nothing is added, and what waits goes on.
func TestTooMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &gateway{hold: make(chan struct{})}
		w.Swap(w.generation(1, func() {}))
		q := newQueue(nil)
		q.Add(urls(3), 1, &w.Current)
		synctest.Wait()
		if q.Add(make([]string, MostWarm-1), 1, &w.Current) || q.Waiting() != 2 {
			t.Errorf("%d wait", q.Waiting())
		}
		q.mu.Lock()
		q.queue = append(q.queue, urls(1)...)
		q.mu.Unlock()
		close(w.hold)
		synctest.Wait()
		if q.Done.Load() != 4 {
			t.Errorf("%d done", q.Done.Load())
		}
	})
}

// TestParseList: one URL a line; what is none is an error that names the line.
func TestParseList(t *testing.T) {
	f := func(text string, want ...string) {
		t.Helper()
		if got, err := ParseList([]byte(text)); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %q %v, want %q", text, got, err, want)
		}
	}
	f("")
	f("\n \n\t\r\n# all\n  # some\n")
	f("http://h/a", "http://h/a")
	f("http://h/a\nhttps://h/b?c=d#e\n", "http://h/a", "https://h/b?c=d#e")
	f(" http://h/a \r\n\r\n\thttp://h/a\r\n", "http://h/a", "http://h/a")
	f("http://h/a # b", "http://h/a # b") // which no request can be for
	long := "http://h/" + strings.Repeat("a", 60_000)
	f(long+"\n"+long, long, long)
	g := func(text, want string) {
		t.Helper()
		if got, err := ParseList([]byte(text)); err == nil || !strings.Contains(err.Error(), want) || got != nil && want != "too long" {
			t.Errorf("%q: %q %v, want %q", text[:min(len(text), 50)], got, err, want)
		}
	}
	g("/a", "line 1")
	g("http://h/a\n\n# b\nh/a", "line 4")
	g("ftp://h/a", "ftp://h/a")
	g("http:/h/a", "line 1")
	g("\x00", "line 1")
	g("//"+strings.Repeat("x", 1000), strings.Repeat("x", 90)) // not all of it
	g("http://h/"+strings.Repeat("a", 70_000), "too long")
}
