package mirror

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/metric"
	"github.com/penstock-edge/penstock/edge/live"
	"github.com/penstock-edge/penstock/pool"
	"github.com/penstock-edge/penstock/pool/status"
)

// TestPool mirrors to a real pool: the copies arrive whole, and every connection is given back.
func TestPool(t *testing.T) {
	arrived := make(chan string, 100)
	handler := func(name string) *httptest.Server {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			_, _ = io.WriteString(w, strings.Repeat("answer", 1000))
			if name == "shadow" {
				arrived <- r.Method + " " + r.RequestURI + " " + r.Header.Get("X-Penstock-Mirror") + " " + string(body)
			}
			if err != nil {
				t.Error(err)
			}
		}))
		t.Cleanup(s.Close)
		return s
	}
	app, shadow := handler("app"), handler("shadow")
	b := &bench{t: t, registry: metric.NewRegistry()}
	var pools *edge.Instance
	text := "[[listener]]\naddress = \":8080\"\n[pool.app]\ntargets = [\"" + app.Listener.Addr().String() +
		"\"]\n[pool.shadow]\ntargets = [\"" + shadow.Listener.Addr().String() + "\"]\n" +
		"[[route]]\nprefix = \"/\"\npool = \"app\"\nmirror = { pool = \"shadow\", max_in_flight = 1 }\n"
	var err error
	b.built, err = live.Check("test.toml", []byte(text), []edge.Feature{
		{Name: "pools", Answers: []string{"pool"}, New: func(h *edge.Host) *edge.Instance {
			pools = pool.Feature.New(h)
			return pools
		}},
		{Name: "mirror", New: func(h *edge.Host) *edge.Instance {
			b.instance = build(h)
			return b.instance
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	b.gen = edge.NewGeneration(1, func() {})
	b.gen.Routes, b.gen.Plans, b.gen.Nowhere = b.built.Routes, b.built.Plans, b.built.Nowhere
	b.gen.Early, b.gen.Slots = b.built.Early, b.built.Slots
	b.instance.Start()
	for range 20 {
		for _, in := range []*stream{{pieces: []string{"body"}}, {pieces: []string{"bo", "dy"}}} {
			if status := b.serve(in, 4); status != 200 {
				t.Fatalf("status %d", status)
			}
			if got := <-arrived; got != "POST /search?q=1 1 body" {
				t.Fatalf("%q arrived", got)
			}
		}
		b.serve(&stream{pieces: []string{"bo", "dy"}}, -1)
		if got := <-arrived; got != "POST /search?q=1 1 body" {
			t.Fatalf("%q arrived", got)
		}
	}
	b.stop()
	if b.counts() != "60 0 0 0 0" {
		t.Errorf("counts %s", b.counts())
	}
	for _, s := range pools.Status().([]status.Pool) {
		if target := s.Targets[0]; target.InFlight != 0 || target.Connections != 1 {
			t.Errorf("%s: %+v", s.Name, target)
		}
	}
}
