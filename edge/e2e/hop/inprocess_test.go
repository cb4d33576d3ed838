package hop

import (
	"context"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/answer"
	"github.com/penstock-edge/penstock/edge/bodylimit"
	"github.com/penstock-edge/penstock/edge/deadline"
	"github.com/penstock-edge/penstock/edge/e2e"
	"github.com/penstock-edge/penstock/edge/forwarded"
	"github.com/penstock-edge/penstock/edge/front"
	"github.com/penstock-edge/penstock/edge/lib/metric"
	"github.com/penstock-edge/penstock/edge/live"
	"github.com/penstock-edge/penstock/edge/observe"
	"github.com/penstock-edge/penstock/edge/overload"
	"github.com/penstock-edge/penstock/edge/requestid"
	"github.com/penstock-edge/penstock/edge/rewrite"
	"github.com/penstock-edge/penstock/pool"
	"github.com/penstock-edge/penstock/ratelimit"
)

// inProcess serves conf inside the test's process, where allocations can be counted, with the features that
// every gateway has and an access log to a file. It returns the address of {{addr}}.
func inProcess(t testing.TB, conf string) string {
	t.Helper()
	addr := e2e.FreeAddr(t)
	conf = strings.ReplaceAll(conf, "{{addr}}", addr) +
		"\n[log.access]\noutput = \"" + filepath.Join(t.TempDir(), "access.log") + "\"\n"
	registry, current := metric.NewRegistry(), &edge.Current{}
	f := front.New(current, registry.Scope(), nil, 0)
	l := live.New(live.Options{
		Text:     func() (string, []byte, error) { return "test.toml", []byte(conf), nil },
		Registry: registry, Current: current, Log: slog.Default(),
		Features: []edge.Feature{forwarded.Feature, requestid.Feature, observe.Feature, f.Feature(), pool.Feature,
			overload.Feature, ratelimit.Feature, deadline.Feature, bodylimit.Feature, rewrite.Feature, answer.Feature},
	})
	if _, err := l.Load(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		f.Drain(time.Second)
		f.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := l.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return addr
}
