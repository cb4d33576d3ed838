package cache

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/penstock-edge/penstock/edge/e2e"
)

// TestCacheDisk: what is on disk is there after a restart, with its age, its variants and its purges.
func TestCacheDisk(t *testing.T) {
	o := e2e.NewScripted(t)
	dir := filepath.Join(t.TempDir(), "made", "here")
	g := e2e.Start(t, e2e.OnDisk(o.Addr, dir))
	g.Loaded()
	large := strings.Repeat("0123456789abcdef", 50_000)
	host := "Host: h.example" // the port may be another one
	ask := func(path string, more ...string) e2e.Got { return g.Ask("GET", path, append(more, host)...) }
	o.On("/small", 200, "small", "Cache-Control: max-age=1000", "Age: 100", "ETag: \"s\"")
	o.On("/large", 200, large, "Cache-Control: max-age=1000", "Surrogate-Key: big")
	o.On("/purged", 200, "purged", "Cache-Control: max-age=1000")
	o.On("/posted", 200, "posted", "Cache-Control: max-age=1000")
	o.On("/auth", 200, "auth", "Cache-Control: max-age=1000")
	o.Do("/vary", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=1000")
		w.Header().Set("Vary", "X-Lang")
		fmt.Fprint(w, r.Header.Get("X-Lang"))
	})
	o.Do("/query", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=1000")
		w.Header().Set("No-Vary-Search", `params=("utm")`)
		w.Header().Set("Vary", "X-Lang")
		fmt.Fprint(w, r.URL.RawQuery)
	})
	for _, path := range []string{"/small", "/large", "/purged", "/posted", "/query?id=1&utm=a"} {
		ask(path)
	}
	ask("/vary", "X-Lang: de")
	ask("/vary", "X-Lang: en")
	ask("/auth", "Authorization: Basic eA==")
	g.Purge("url=http://h.example/purged")
	g.Ask("POST", "/posted", host)
	e2e.Eventually(t, "all is on disk", func() bool { return g.Metric("penstock_cache_disk_entries{") >= 9 })
	g.Stop()
	g.Again()

	for range 2 {
		if a := ask("/small"); a.Body != "small" || !strings.Contains(a.Get("Cache-Status"), "hit") || !strings.HasPrefix(a.Get("Age"), "10") {
			t.Errorf("%+v", a)
		}
	}
	if a := ask("/small", "If-None-Match: \"s\""); a.Status != 304 {
		t.Errorf("%+v", a)
	}
	if a := ask("/large", "Range: bytes=16-31"); a.Status != 206 || a.Body != "0123456789abcdef" {
		t.Errorf("%d %q", a.Status, a.Body)
	}
	if a := g.Ask("HEAD", "/large", host); a.Get("Content-Length") != "800000" || !strings.Contains(a.Get("Cache-Status"), "hit") {
		t.Errorf("%+v", a)
	}
	for _, lang := range []string{"de", "en", "fr"} {
		if a := ask("/vary", "X-Lang: "+lang); a.Body != lang {
			t.Errorf("%s: %q", lang, a.Body)
		}
	}
	if a := ask("/query?utm=b&id=1"); a.Body != "id=1&utm=a" {
		t.Errorf("a query that says the same: %+v", a)
	}
	if a := ask("/query?id=2"); a.Body != "id=2" {
		t.Errorf("another query: %+v", a)
	}
	ask("/purged")
	ask("/posted")
	ask("/auth")
	for path, want := range map[string]int{"/small": 1, "/large": 1, "/vary": 3, "/query": 2, "/purged": 2, "/posted": 3, "/auth": 2} {
		if n := o.Count(path); n != want {
			t.Errorf("%s: the target was asked %d times, want %d", path, n, want)
		}
	}
	if n := g.Metric("penstock_cache_disk_hits_total{"); n < 4 {
		t.Errorf("%v objects were read from disk", n)
	}

	// Another size of the memory begins with what is on disk; a tag is purged there as well.
	g.Write(strings.Replace(e2e.OnDisk(o.Addr, dir), "16MiB", "32MiB", 1))
	if status, text := g.Reload(); status != 200 {
		t.Fatal(text)
	}
	if ask("/small"); o.Count("/small") != 1 {
		t.Error("what is on disk is not found after a reload")
	}
	g.Purge("tag=big")
	if ask("/large"); o.Count("/large") != 2 {
		t.Error("what is on disk was not purged by its tag")
	}
	// A folder that cannot be had is an error of the file, and the gateway goes on.
	g.Write(e2e.OnDisk(o.Addr, "/proc/no/folder"))
	if status, text := g.Reload(); status != 422 || !strings.Contains(text, "disk") {
		t.Error(status, text)
	}
	if a := ask("/small"); a.Status != 200 {
		t.Errorf("%+v", a)
	}
}

// TestCacheWarm: the URLs of a list are stored before anybody asks, at the start and when the admin interface is told
// to.
func TestCacheWarm(t *testing.T) {
	o := e2e.NewScripted(t)
	list := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(list, []byte("# pages\nhttp://h.example/a\n\nhttp://h.example/b?c=1\nhttp://h.example/none\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/a", "/b", "/c"} {
		o.On(path, 200, strings.Repeat(path, 50_000), "Cache-Control: max-age=100")
	}
	g := e2e.Start(t, e2e.Cached(o.Addr, fmt.Sprintf("warm = %q\n", list)))
	e2e.Eventually(t, "the list has been asked for", func() bool {
		return g.Metric(`penstock_cache_warm_total{cache="main",result="answered"}`) == 2 &&
			g.Metric(`penstock_cache_warm_total{cache="main",result="failed"}`) == 1
	})
	g.Write(e2e.Cached(o.Addr, fmt.Sprintf("warm = %q\nmax_object = \"1MiB\"\n", list)))
	g.Reload()
	post := func(body string) int {
		resp, err := http.Post("http://"+g.Admin+"/cache/main/warm", "text/plain", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	if s := post("http://h.example/c\n"); s != 202 {
		t.Error(s)
	}
	for _, wrong := range []string{"", "/c", "ftp://h.example/c"} {
		if s := post(wrong); s != 400 {
			t.Errorf("%q: %d", wrong, s)
		}
	}
	e2e.Eventually(t, "it has been asked for", func() bool {
		return g.Metric(`penstock_cache_warm_total{cache="main",result="answered"}`) == 3
	})
	for _, path := range []string{"/a", "/b?c=1", "/c"} {
		if a := g.Ask("GET", path, "Host: h.example"); !strings.Contains(a.Get("Cache-Status"), "; hit") {
			t.Errorf("%s: %s", path, a.Get("Cache-Status"))
		}
		if n := o.Count(path[:2]); n != 1 {
			t.Errorf("%s: asked %d times", path, n)
		}
	}
}

// versioned is an origin whose bodies tell their path and version, and can be checked from the first to the last byte.
type versioned struct {
	of [200]atomic.Int64
}

// body returns what there is at a path in a version.
func (*versioned) body(n int, version int64) []byte {
	size := []int{10, 500, 3000, 20_000, 70_000, 300_000}[n%6] + n
	b := fmt.Appendf(nil, "%d %d\n", n, version)
	r := rand.NewPCG(uint64(n), uint64(version))
	for len(b) < size {
		b = strconv.AppendUint(b, r.Uint64(), 36)
	}
	return b
}

func (v *versioned) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.Atoi(r.URL.Path[1:])
	if err != nil || n >= len(v.of) {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Cache-Control", "max-age=1000")
	_, _ = w.Write(v.body(n, v.of[n].Load())) // the gateway may have gone
}

// check asks for a path and reports whether the answer is from the cache. It fails the test when a byte is wrong, or the
// answer older than oldest.
func (v *versioned) check(t *testing.T, addr string, n int, oldest int64) (hit bool, err error) {
	req, err := http.NewRequest("GET", fmt.Sprintf("http://%s/%d", addr, n), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "h.example"
	resp, err := e2e.PlainTransport.RoundTrip(req)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 {
		return false, fmt.Errorf("%d, %w", resp.StatusCode, err)
	}
	var path int
	var version int64
	if _, err := fmt.Sscanf(string(b), "%d %d\n", &path, &version); err != nil || path != n || version < oldest {
		t.Errorf("/%d: version %d of /%d, want at least %d (%v)", n, version, path, oldest, err)
	} else if !bytes.Equal(b, v.body(n, version)) {
		t.Errorf("/%d: a wrong byte among %d", n, len(b))
	}
	return strings.Contains(resp.Header.Get("Cache-Status"), "; hit"), nil
}

// TestCacheDiskKill kills the gateway in the middle of its work, again and again. No byte of what is served is wrong,
// nothing comes back that was purged, and what was on disk is found again.
func TestCacheDiskKill(t *testing.T) {
	v := &versioned{}
	target := strings.TrimPrefix(e2e.HTTPOrigin(t, v.ServeHTTP), "http://")
	dir := t.TempDir()
	g := e2e.Start(t, e2e.OnDisk(target, dir, "max_object = \"1MiB\""))
	g.Loaded()
	end, rounds := time.Now(), 4
	if s, err := strconv.Atoi(os.Getenv("PENSTOCK_LOAD_SECONDS")); err == nil {
		end = end.Add(time.Duration(s) * time.Second)
	}
	hits, kills := 0, 0
	var purged [len(v.of)]atomic.Int64 // no version before this one may be served
	for kills < rounds || time.Now().Before(end) {
		var asked atomic.Int64
		ended := make(chan struct{})
		most := 300 + rand.Int64N(1500)
		if e2e.RaceEnabled {
			most /= 5
		}
		var wg sync.WaitGroup
		for w := range 4 {
			wg.Go(func() {
				for i := 0; ; i++ {
					select {
					case <-ended:
						return
					default:
					}
					n := rand.IntN(len(v.of))
					if w == 0 && i%8 == 7 {
						now := v.of[n].Add(1)
						resp, err := http.Post(fmt.Sprintf("http://%s/cache/main/purge?url=http://h.example/%d", g.Admin, n), "", nil)
						if err == nil {
							resp.Body.Close()
							purged[n].Store(now)
						}
						continue
					}
					_, _ = v.check(t, g.Addr, n, purged[n].Load()) // the gateway may have gone
					asked.Add(1)
				}
			})
		}
		e2e.Eventually(t, "enough has been asked", func() bool { return asked.Load() > most })
		if err := g.Cmd.Process.Signal(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		<-g.Exited
		close(ended)
		wg.Wait()
		kills++
		g.Again()
		for n := range v.of {
			hit, err := v.check(t, g.Addr, n, purged[n].Load())
			if err != nil {
				t.Fatal(err)
			}
			if hit {
				hits++
			}
		}
		if t.Failed() {
			break
		}
	}
	t.Logf("%d kills, after each of them %d paths were asked for: %d answers were on disk, %v bytes in files", kills, len(v.of), hits,
		g.Metric("penstock_cache_disk_bytes{"))
	if hits < kills*len(v.of)/10 {
		t.Errorf("%d answers were found on disk after %d kills", hits, kills)
	}
}

// TestCacheDiskFull: a file system without room is no reason to fail.
func TestCacheDiskFull(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=3m"); err != nil {
		t.Skip("needs the right to mount a small file system:", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	o := e2e.NewScripted(t)
	g := e2e.Start(t, e2e.OnDisk(o.Addr, dir))
	g.Loaded()
	body := strings.Repeat("x", 500_000)
	for i := range 10 {
		path := fmt.Sprint("/", i)
		o.On(path, 200, body, "Cache-Control: max-age=1000")
		for range 2 {
			if a := g.Ask("GET", path); a.Status != 200 || a.Body != body {
				t.Errorf("%s: %d, %d bytes", path, a.Status, len(a.Body))
			}
		}
		if o.Count(path) != 1 {
			t.Errorf("%s: it was not kept in memory", path)
		}
	}
	e2e.Eventually(t, "the failures are counted", func() bool { return g.Metric("penstock_cache_disk_errors_total{") > 0 })
	if n := g.Metric("penstock_cache_disk_entries{"); n < 1 || n > 6 {
		t.Errorf("%v objects on disk", n)
	}
	g.Purge("url=http://" + g.Addr + "/1") // it need not fit either
	if g.Ask("GET", "/1"); o.Count("/1") != 2 {
		t.Error("not purged")
	}
	if !strings.Contains(g.Log.String(), "no space left") {
		t.Error("the log does not say so")
	}
}
