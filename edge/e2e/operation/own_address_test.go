//go:build !race

package operation

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/penstock-edge/penstock/edge/e2e"
)

// TestOwnAddressesAreNoTargets: a gateway does not ask itself, whatever names its addresses.
func TestOwnAddressesAreNoTargets(t *testing.T) {
	o := e2e.NewScripted(t)
	o.On("/a", 200, "good")
	list := filepath.Join(t.TempDir(), "targets.toml")
	found := func(addresses ...string) {
		t.Helper()
		text := fmt.Sprintf("targets = [%q]\n", addresses)
		text = strings.ReplaceAll(text, `[[`, `[`)
		text = strings.ReplaceAll(strings.ReplaceAll(text, `]]`, `]`), `" "`, `", "`)
		if err := os.WriteFile(list, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	conf := "[pool.found.discover]\nfile = \"" + list + "\"\n[[route]]\nprefix = \"/f\"\npool = \"found\"\n" +
		"strip_prefix = \"/f\"\n"
	found(o.Addr)
	g := e2e.Start(t, e2e.Simple(o.Addr)+conf)
	_, port, _ := strings.Cut(g.Admin, ":")
	for _, own := range []string{g.Admin, g.Addr, "localhost:" + port, "0.0.0.0:" + port, "[::]:" + port} {
		g.Write(e2e.Simple(own) + conf)
		if status, text := g.Reload(); status != 422 || !strings.Contains(text, "targets[1]: \""+own+"\" is the ") ||
			strings.Count(text, "\n") != 1 {
			t.Errorf("%s as a target: %d %s", own, status, text)
		}
	}
	g.Write(e2e.Simple(o.Addr) + conf)
	found(g.Admin, g.Addr, o.Addr)
	g.Counted(`penstock_pool_own_targets_total{pool="found"}`, 2)
	g.Counted(`penstock_pool_targets{pool="found"}`, 1)
	if got := g.Ask("GET", "/f/a"); got.Body != "good" {
		t.Errorf("%d %q", got.Status, got.Body)
	}
	found(g.Admin)
	g.Counted(`penstock_pool_targets{pool="found"}`, 0)
	if got := g.Ask("POST", "/f/drain"); got.Status != 503 {
		t.Errorf("a way to the admin API: %d %q", got.Status, got.Body)
	}
	if !strings.Contains(g.Log.String(), "a target is left out: it is an address of this gateway") {
		t.Error("the log says nothing of it")
	}
}

// TestAdminOfStrangers: the admin API answers neither what came through a proxy nor pages of other sites.
func TestAdminOfStrangers(t *testing.T) {
	o := e2e.NewScripted(t)
	g := e2e.Start(t, e2e.Simple(o.Addr))
	f := func(method, path string, want int, text, name, value string) {
		t.Helper()
		req, err := http.NewRequest(method, "http://"+g.Admin+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if name != "" {
			req.Header.Set(name, value)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body) // a cut answer shows in the comparison
		if resp.StatusCode != want || !strings.Contains(string(b), text) {
			t.Errorf("%s %s with %s: %s: %d %.200s", method, path, name, value, resp.StatusCode, b)
		}
	}
	for _, name := range []string{"Via", "Forwarded", "X-Forwarded-For", "X-Forwarded-Host"} {
		f("POST", "/drain", 403, "came through a proxy", name, "1.1 penstock")
		f("GET", "/status", 403, "came through a proxy", name, "1.1 penstock")
	}
	f("GET", "/debug/pprof/heap?gc=1", 403, "other sites", "Sec-Fetch-Site", "cross-site")
	f("GET", "/status", 403, "other sites", "Sec-Fetch-Site", "cross-site")
	f("GET", "/metrics", 403, "other sites", "Origin", "https://evil.example")
	f("GET", "/debug/pprof/heap?gc=1", 403, "browser", "User-Agent", "Mozilla/5.0")
	f("GET", "/debug/pprof/heap?gc=1", 200, "", "Sec-Fetch-Site", "same-origin")
	f("POST", "/debug/pprof/heap?gc=1", 200, "", "", "")
	f("GET", "/readyz", 200, "ready", "", "")
}
