package hits

import (
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
)

// stage builds Penstock.
func stage(t *testing.T) *Stage {
	t.Helper()
	if runtime.NumCPU() < 2 {
		t.Skip("the cache needs a core of its own")
	}
	for _, program := range []string{"taskset", "nice"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip(program, " is not installed")
		}
	}
	s := &Stage{Ours: filepath.Join(t.TempDir(), "penstock"), Dir: t.TempDir(), Log: io.Discard}
	build := exec.Command("go", "build", "-pgo=off", "-buildvcs=false", "-o", s.Ours,
		"github.com/penstock-edge/penstock/cmd/penstock")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("cannot build the gateway: %v\n%s", err, out)
	}
	return s
}

// distinct gives the number of objects that were asked for.
func distinct(r Ratio) int64 {
	asked := map[int32]bool{}
	for _, object := range NewZipf(r.Objects, r.Plan.Exponent).Sequence(r.Warm+r.Plan.Requests, r.Plan.Seed) {
		asked[object] = true
	}
	return int64(len(asked))
}

func TestRatio(t *testing.T) {
	s := stage(t)
	f := func(t *testing.T, peer string, p Plan) (Ratio, Row) {
		t.Helper()
		p.Peers, p.Memory, p.Exponent, p.Requests, p.Conns, p.Seed = []string{peer}, 4<<20, 1, 3000, 4, 1
		r, err := s.Ratio(p)
		if err != nil {
			t.Fatal(err)
		}
		row := r.Rows[0]
		if row.Missing != "" && peer == "varnish" {
			t.Skip(row.Missing)
		}
		if row.Missing != "" || row.Failed > 0 || row.Pss <= 0 || row.Idle <= 0 || row.Rate <= 0 {
			t.Errorf("%+v", row)
		}
		return r, row
	}
	// When all fits, the first request for each object alone reaches the origin, whoever keeps it.
	fits := func(t *testing.T, peer string) {
		r, row := f(t, peer, Plan{Times: .25, Body: 1000, Warm: .1})
		if math.Abs(row.Hits-r.LRU) > 1e-9 || r.Warm == 0 {
			t.Errorf("%s: %.4f hits, want %.4f", peer, row.Hits, r.LRU)
		}
		if n := distinct(r); row.Fetches != n {
			t.Errorf("%s: %d fetches of %d objects", peer, row.Fetches, n)
		}
	}
	t.Run("penstock", func(t *testing.T) { fits(t, "penstock") })
	t.Run("varnish", func(t *testing.T) { fits(t, "varnish") })
	// When not all fits, some objects are fetched again, and some are not.
	t.Run("forgetful", func(t *testing.T) {
		r, row := f(t, "penstock", Plan{Times: 10, Body: 1000, Warm: 2})
		if n := distinct(r); row.Fetches <= n || row.Hits <= 0 || r.LRU <= 0 {
			t.Errorf("%d fetches of %d objects; %.4f hits, %.4f by LRU", row.Fetches, n, row.Hits, r.LRU)
		}
	})
	t.Run("none", func(t *testing.T) {
		r, err := s.Ratio(Plan{Peers: []string{"none"}, Memory: 4 << 20, Times: 1, Body: 1000, Requests: 1})
		if err != nil || r.Rows[0].Missing == "" {
			t.Errorf("%+v, %v", r, err)
		}
	})
}

// The client asks for each once, and tells what was not as it should be.
func TestClient(t *testing.T) {
	o, err := startOrigin()
	if err != nil {
		t.Fatal(err)
	}
	defer o.stop()
	f := func(addr string, rate float64, sequence []int32, failed int, asked int64) {
		t.Helper()
		before := o.asked.Load()
		c := client{addr: addr, conns: 3, rate: rate, sequence: sequence, folder: "o",
			sizes: []int32{0, 1, MaxBody, MaxBody + 100}}
		got, err := c.run(func(int) {})
		if got != failed || (err != nil) != (failed > 0) || o.asked.Load()-before != asked {
			t.Errorf("%v: %d failed, %v; %d reached the origin; want %d, %d", sequence, got, err,
				o.asked.Load()-before, failed, asked)
		}
	}
	f(o.addr, 0, nil, 0, 0)
	f(o.addr, 0, []int32{0, 1, 2, 2, 1, 0, 1}, 0, 7)
	f(o.addr, 1e5, []int32{0, 1, 2, 2, 1, 0, 1}, 0, 7)
	f(o.addr, 0, []int32{0, 3, 1, 3, 2}, 2, 5) // object 3 is larger than the origin gives
	f("127.0.0.1:1", 0, []int32{0, 1}, 2, 0)   // nobody there
}
