//go:build !race

package operation

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/penstock-edge/penstock/edge/e2e"
)

// TestMistakesTold: what could never work, or would break the framing of an answer, is a mistake of the file, and each
// is one line.
func TestMistakesTold(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "penstock.toml")
	f := func(key, want string, lines ...string) {
		t.Helper()
		text := "[[listener]]\naddress = \"127.0.0.1:0\"\n[[route]]\nprefix = \"/\"\npool = \"app\"\n" + strings.Join(lines, "\n") + "\n"
		if !strings.Contains(text, "targets") {
			text += "[pool.app]\ntargets = [\"127.0.0.1:1\"]\n"
		}
		e2e.Must(t, os.WriteFile(file, []byte(text), 0o600))
		out, err := exec.Command(e2e.Binary, "check", file).CombinedOutput()
		told := strings.TrimSpace(string(out))
		if exitCode(err) != 1 || strings.Contains(told, "\n") || !strings.Contains(told, ": "+key+": ") || !strings.Contains(told, want) ||
			strings.Contains(told, "did you mean") {
			t.Errorf("%q: exit %d\n%s", lines, exitCode(err), told)
		}
	}
	pool := func(key, want, line string) {
		t.Helper()
		f("pool.app."+key, want, "[pool.app]\ntargets = [\"127.0.0.1:1\"]", line)
	}
	pool("fallback.headers.Transfer-Encoding", "belongs to one connection", `fallback = { status = 503, headers = { Transfer-Encoding = "chunked" } }`)
	pool("fallback.headers.Content-Length", "is made by the gateway", `fallback = { status = 503, headers = { Content-Length = "5" } }`)
	pool("fallback.headers.X", "control characters", `fallback = { status = 503, headers = { X = "a\u0001b" } }`)
	pool("fallback.headers.X", "given twice", `fallback = { status = 503, headers = { x = "a", X = "b" } }`)
	pool("fallback.content_type", "one line", `fallback = { status = 503, content_type = "a\r\nX: y" }`)
	pool("sticky.ttl", "1s or more", `sticky = { ttl = "500ms" }`)
	pool("sticky.path", "control characters", `sticky = { path = "/\u007f" }`)
	pool("hash_key", "must be", "balance = \"consistent_hash\"\nhash_key = \"header:a b\"")
	pool("hash_key", "must be", "balance = \"consistent_hash\"\nhash_key = \"cookie:a=b\"")
	f("pool.app.targets[1].address", "is required", "[pool.app]\ntargets = [{ weight = 0 }]")
	f("route[1].cache.methods[1]", "besides them QUERY and POST", `cache = { name = "c", methods = ["GET"] }`, "[cache.c]\nsize = \"16MiB\"")
	limit := func(key, want string, lines ...string) {
		t.Helper()
		f("rate_limit.l."+key, want, append([]string{"[rate_limit.l]"}, lines...)...)
	}
	limit("key", "must be", `rate = "1/s"`, `key = "header:a b"`)
	limit("key", "must be", `rate = "1/s"`, `key = "header:X:Y"`)
	limit("key[2]", "must be", `rate = "1/s"`, `key = ["ip", "cookie:a;b"]`)
	limit("key", "an empty list", `rate = "1/s"`, `key = []`)
	limit("rate", "must be a rate", `rate = "1/fortnight"`)
	limit("max_in_flight", "whole number", `algorithm = "concurrency"`, `max_in_flight = "x"`)
	limit("max_in_flight", "between 1", `algorithm = "concurrency"`, `max_in_flight = 0`)
	limit("quota", "between 1", `algorithm = "quota"`, `quota = 0`, `file = "/x"`)
}

// TestCutChain: a certificate file whose chain is cut short is not read in part, of listeners and toward targets.
func TestCutChain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ca := e2e.NewAuthority(t, "authority")
	p := ca.Issue(false, "a.example")
	p.Chain = append(p.Chain, ca.Cert.Raw)
	cert, key := ca.Write(dir, "plain", p)
	text, err := os.ReadFile(cert)
	e2e.Must(t, err)
	file := filepath.Join(dir, "penstock.toml")
	told := func(conf string) string {
		e2e.Must(t, os.WriteFile(file, []byte(strings.ReplaceAll(conf, "{{addr}}", "127.0.0.1:0")), 0o600))
		out, _ := exec.Command(e2e.Binary, "check", file).CombinedOutput() // what it says tells how it ended
		return string(out)
	}
	confs := []string{e2e.Secure(e2e.SecureListener(dir, "plain"), "127.0.0.1:1"),
		e2e.PoolOf(`"127.0.0.1:1"`, "[pool.app.tls]\nenabled = true\ncert = \""+cert+"\"\nkey = \""+key+"\"\n"),
		e2e.PoolOf(`"127.0.0.1:1"`, "discover = { etcd = { prefix = \"/x/\", endpoints = [\"https://127.0.0.1:1\"], cert = \""+cert+"\", key = \""+key+"\" } }\n")}
	for _, conf := range confs {
		e2e.Must(t, os.WriteFile(cert, text, 0o600))
		if got := told(conf); !strings.Contains(got, "is good") {
			t.Errorf("a whole chain: %s", got)
		}
		e2e.Must(t, os.WriteFile(cert, text[:len(text)-100], 0o600))
		if got := told(conf); !strings.Contains(got, "is cut short") {
			t.Errorf("half of a chain: %s", got)
		}
	}
}
