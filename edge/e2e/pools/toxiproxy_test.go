package pools

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/penstock-edge/penstock/edge/e2e"
)

// toxiproxy builds and starts Shopify's toxiproxy server, a separate program so that its modules stay out of
// ours; it returns the address of its API.
func toxiproxy(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	install := exec.CommandContext(ctx, "go", "install", "github.com/Shopify/toxiproxy/v2/cmd/server@v2.5.0")
	install.Env = append(os.Environ(), "GOBIN="+dir, "GOFLAGS=")
	if out, err := install.CombinedOutput(); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("cannot build toxiproxy: %v\n%s", err, out)
		}
		t.Skipf("toxiproxy cannot be built (the Go module proxy is needed once): %v", err)
	}
	addr := e2e.FreeAddr(t)
	host, port, _ := strings.Cut(addr, ":")
	cmd := exec.Command(filepath.Join(dir, "server"), "-host", host, "-port", port)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	e2e.Eventually(t, "toxiproxy answers", func() bool {
		resp, err := http.Get("http://" + addr + "/version")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == 200
	})
	return addr
}

// toxic calls toxiproxy's API.
func toxic(t *testing.T, api, method, path, body string) {
	t.Helper()
	req, err := http.NewRequest(method, "http://"+api+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		b, _ := io.ReadAll(resp.Body) // only for the message
		t.Fatalf("%s %s: %s %s", method, path, resp.Status, b)
	}
}

// TestToxicTargets puts toxiproxy between the gateway and a target and spoils the line in every way it knows:
// an answer is whole and right, or the client learns that it is not.
func TestToxicTargets(t *testing.T) {
	t.Parallel()
	payload := bytes.Repeat([]byte("0123456789abcdef"), 64<<10/16)
	target := e2e.HTTPOrigin(t, func(w http.ResponseWriter, r *http.Request) { w.Write(payload) })
	api := toxiproxy(t)
	line := e2e.FreeAddr(t)
	toxic(t, api, "POST", "/proxies", fmt.Sprintf(`{"name":"app","listen":%q,"upstream":%q,"enabled":true}`, line, target))
	g := e2e.Start(t, strings.Replace(e2e.Simple(line), "targets =", "response_timeout = \"1s\"\nconnect_timeout = \"1s\"\ntargets =", 1))

	f := func(name, kind, stream, attributes string) {
		t.Helper()
		toxic(t, api, "POST", "/proxies/app/toxics",
			fmt.Sprintf(`{"name":"t","type":%q,"stream":%q,"toxicity":1,"attributes":%s}`, kind, stream, attributes))
		defer toxic(t, api, "DELETE", "/proxies/app/toxics/t", "")
		whole, cut := 0, 0
		for range 5 {
			resp, err := http.Get("http://" + g.Addr + "/")
			if err != nil {
				t.Fatalf("%s: the gateway did not answer: %v", name, err)
			}
			got, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			switch {
			case err != nil:
				cut++
			case resp.StatusCode == 200 && !bytes.Equal(got, payload):
				t.Fatalf("%s: %d bytes passed off as the whole answer of %d", name, len(got), len(payload))
			case resp.StatusCode == 200:
				whole++
			case resp.StatusCode != 502 && resp.StatusCode != 504:
				t.Fatalf("%s: status %d", name, resp.StatusCode)
			}
		}
		t.Logf("%s: %d whole, %d cut of 5", name, whole, cut)
	}
	f("latency", "latency", "downstream", `{"latency":50,"jitter":20}`)
	f("slow", "bandwidth", "downstream", `{"rate":500}`)
	f("sliced", "slicer", "downstream", `{"average_size":700,"size_variation":300,"delay":50}`)
	f("cut", "limit_data", "downstream", `{"bytes":20000}`)
	f("cut in the head", "limit_data", "downstream", `{"bytes":30}`)
	f("silent", "timeout", "downstream", `{"timeout":0}`)
	f("closed late", "timeout", "downstream", `{"timeout":100}`)
	f("request lost", "timeout", "upstream", `{"timeout":0}`)

	// The line is good again: so is the gateway.
	e2e.Eventually(t, "answers are whole again", func() bool {
		resp, err := http.Get("http://" + g.Addr + "/")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		got, err := io.ReadAll(resp.Body)
		return err == nil && bytes.Equal(got, payload)
	})
}
