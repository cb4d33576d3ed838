package operation

import (
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/penstock-edge/penstock/edge/e2e"
)

// bigBytes is how much the transfers of these tests move: PENSTOCK_BIG_BYTES, else 256 MiB, and 32 MiB under the
// race detector, which is slow and has memory of its own.
func bigBytes(t testing.TB) int64 {
	t.Helper()
	text := os.Getenv("PENSTOCK_BIG_BYTES")
	switch {
	case text != "":
	case e2e.RaceEnabled:
		return 32 << 20
	default:
		return 256 << 20
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 1 {
		t.Fatalf("PENSTOCK_BIG_BYTES is %q, want whole bytes", text)
	}
	return n
}

// summed is a stream of n bytes that no compression shortens and no repetition fits into a window; what was read
// of it is summed.
type summed struct {
	left  int64
	block []byte
	at    int
	turn  byte
	sum   hash.Hash
}

func newSummed(n int64) *summed {
	s := &summed{left: n, block: make([]byte, 1<<20), sum: sha256.New()}
	seed := rand.NewPCG(3, 4)
	for i := 0; i < len(s.block); i += 8 {
		v := seed.Uint64()
		for j := range 8 {
			s.block[i+j] = byte(v >> (8 * j))
		}
	}
	return s
}

// Read implements io.Reader.
func (s *summed) Read(p []byte) (int, error) {
	if s.left == 0 {
		return 0, io.EOF
	}
	if int64(len(p)) > s.left {
		p = p[:s.left]
	}
	n := copy(p, s.block[s.at:])
	if s.at += n; s.at == len(s.block) {
		s.at = 0
		s.turn++
		s.block[s.turn] ^= 0x55 // no two megabytes are the same
	}
	s.sum.Write(p[:n])
	s.left -= int64(n)
	return n, nil
}

func hexSum(h hash.Hash) string { return fmt.Sprintf("%x", h.Sum(nil)) }

// store is an origin that takes uploads, which it answers with their sum, and gives downloads of ?n= bytes; it
// tells the sum of the last one in /sum.
func store() http.HandlerFunc {
	sums := make(chan string, 1)
	return func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.ParseInt(r.URL.Query().Get("n"), 10, 64) // 0 where it is not given
		switch r.URL.Path {
		case "/up":
			sum := sha256.New()
			if _, err := io.Copy(sum, r.Body); err != nil {
				panic(http.ErrAbortHandler)
			}
			io.WriteString(w, hexSum(sum))
		case "/down", "/down/chunked":
			if r.URL.Path == "/down" {
				w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
			}
			s := newSummed(n)
			io.Copy(w, onlyReader{s})
			sums <- hexSum(s.sum)
		case "/sum":
			io.WriteString(w, <-sums)
		}
	}
}

// onlyReader hides all other methods, for copies in user memory.
type onlyReader struct{ io.Reader }

// resetPeak has the kernel forget the highest RSS so far (proc(5), clear_refs).
func resetPeak(t testing.TB, pid int) {
	t.Helper()
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0o200); err != nil {
		t.Logf("the peak cannot be reset, it counts from the start of the process: %v", err)
	}
}

const maxGrowth = 8 << 20

// TestMemoryOfTransfers moves large bodies both ways, with and without a known length, plain and through TLS: they
// arrive as they left, and the memory does not grow with them.
func TestMemoryOfTransfers(t *testing.T) {
	n := bigBytes(t)
	dir, ca := t.TempDir(), e2e.NewAuthority(t, "test authority")
	ca.Write(dir, "one", ca.Issue(false, "127.0.0.1"))
	secured := e2e.FreeAddr(t)
	conf := strings.Replace(e2e.Simple(e2e.HTTPOrigin(t, store())), `name = "main"`,
		fmt.Sprintf("name = \"main\"\nmax_body_bytes = \"%dB\"", n), 1)
	conf += strings.NewReplacer("{{addr}}", secured, `"main"`, fmt.Sprintf("\"tls\"\nmax_body_bytes = \"%dB\"", n)).
		Replace(e2e.SecureListener(dir, "one"))
	g := e2e.Start(t, conf)
	pid := g.Cmd.Process.Pid
	transport := &http.Transport{TLSClientConfig: e2e.TlsTrust(ca), DisableKeepAlives: true}
	client := http.Client{Transport: transport}
	f := func(what string, transfer func() (sent, got string)) {
		t.Helper()
		resetPeak(t, pid)
		before := e2e.MemoryOf(t, pid)
		began := time.Now()
		sent, got := transfer()
		took := time.Since(began)
		if sent != got {
			t.Errorf("%s: %s was sent, %s has arrived", what, sent, got)
		}
		after := e2e.MemoryOf(t, pid)
		grown := after.Peak - before.RSS
		t.Logf("%s: %s in %v, SHA-256 %.16s… at both ends, RSS %s, peak %s: %s over idle", what, e2e.MiB(n),
			took.Round(time.Millisecond), got, e2e.MiB(before.RSS), e2e.MiB(after.Peak), e2e.MiB(grown))
		if grown > maxGrowth && !e2e.RaceEnabled { // the race detector has memory of its own
			t.Errorf("%s: memory has grown by %s, want less than %s", what, e2e.MiB(grown), e2e.MiB(maxGrowth))
		}
	}
	up := func(base string, length int64) func() (string, string) {
		return func() (string, string) {
			s := newSummed(n)
			req, err := http.NewRequest("POST", base+"/up", onlyReader{s})
			if err != nil {
				t.Fatal(err)
			}
			req.ContentLength = length
			return hexSumAfter(s, body(t, &client, req))
		}
	}
	down := func(base, path string) func() (string, string) {
		return func() (string, string) {
			resp, err := client.Get(fmt.Sprint(base, path, "?n=", n))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			sum := sha256.New()
			if _, err := io.Copy(sum, resp.Body); err != nil {
				t.Fatal(err)
			}
			req, err := http.NewRequest("GET", base+"/sum", nil)
			if err != nil {
				t.Fatal(err)
			}
			return body(t, &client, req), hexSum(sum)
		}
	}
	plain, tls := "http://"+g.Addr, "https://"+secured
	warm := n
	n = 1 << 20 // the buffers of a first transfer are what every gateway has
	up(plain, n)()
	up(tls, n)()
	n = warm
	f("upload", up(plain, n))
	f("upload, chunked", up(plain, -1))
	f("download", down(plain, "/down"))
	f("download, chunked", down(plain, "/down/chunked"))
	if os.Getenv("PENSTOCK_BIG_BYTES") == "" {
		n /= 4 // encrypting is slow
	}
	f("upload through TLS", up(tls, n))
	f("download through TLS, chunked", down(tls, "/down/chunked"))
}

func hexSumAfter(s *summed, answer string) (sent, got string) { return hexSum(s.sum), answer }

// body makes a request that must be answered with 200 and returns the body of the answer.
func body(t testing.TB, c *http.Client, req *http.Request) string {
	t.Helper()
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("%s: %d %.100q %v", req.URL, resp.StatusCode, b, err)
	}
	return string(b)
}

// TestMemoryOfSlowClients: a thousand clients that hold a request each cost no more than their buffers.
func TestMemoryOfSlowClients(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	g := e2e.Start(t, strings.Replace(e2e.Simple(e2e.HTTPOrigin(t, slowOrigin(release))), "[pool.app]",
		"[pool.app]\nmax_connections = 2000\nconnect_timeout = \"1m\"", 1))
	before := e2e.MemoryOf(t, g.Cmd.Process.Pid)
	n := e2e.Attackers(t) * 9 / 10 // each has a connection to the target too
	hello := []byte("POST /hang HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat("x", 1000))
	list := e2e.Crowd(t, g.Addr, n, func(int) []byte { return hello })
	e2e.Eventually(t, "all have a connection to the target", func() bool {
		return g.Metric("penstock_connections{") == float64(n)
	})
	after := e2e.MemoryOf(t, g.Cmd.Process.Pid)
	grown := after.RSS - before.RSS
	t.Logf("%d slow uploads: RSS %s, then %s: %d bytes each", n, e2e.MiB(before.RSS), e2e.MiB(after.RSS), grown/int64(n))
	// 32 KiB to upload with, a head on each side, two stacks.
	if grown > int64(n)*128<<10 && !e2e.RaceEnabled {
		t.Errorf("%d slow clients cost %s", n, e2e.MiB(grown))
	}
	close(release)
	for _, c := range list {
		c.Close()
	}
	e2e.Eventually(t, "all are gone", func() bool { return g.Metric("penstock_connections{") == 0 })
}
