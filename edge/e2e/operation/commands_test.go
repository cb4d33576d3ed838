//go:build !race

package operation

import (
	"io"
	"net/http"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/penstock-edge/penstock/edge/e2e"
)

// TestCommandsForPeople: what a person types first has an answer, and what is printed is for people.
func TestCommandsForPeople(t *testing.T) {
	o := e2e.NewScripted(t)
	o.On("/a", 200, "good")
	g := e2e.Start(t, e2e.Simple(o.Addr, `rate_limits = ["l"]`, "[[route]]\npath = \"/own\"\nrespond = { status = 200 }\n"+
		"rate_limits = [\"l\"]\n[rate_limit.l]\nrate = \"100/s\"\n"))
	f := func(want string, args ...string) string {
		t.Helper()
		status, stdout, stderr := e2e.Command(t, args...)
		if status != 0 || !strings.Contains(stdout, want) {
			t.Errorf("penstock %v: status %d\n%s%s", args, status, stdout, stderr)
		}
		return stdout
	}
	f("penstock ", "--version")
	f("Usage: penstock <command>", "help")
	f("Usage: penstock check", "help", "check")
	f("complete -o filenames -F _penstock penstock", "completion", "bash")
	f("#compdef penstock", "completion", "zsh")
	f("complete -c penstock", "completion", "fish")
	script := "eval \"$(" + e2e.Binary + " completion bash)\"; COMP_WORDS=(penstock status --j); COMP_CWORD=2; " +
		"_penstock; echo ${COMPREPLY[@]}"
	if out, err := exec.Command("bash", "-c", script).CombinedOutput(); err != nil || string(out) != "--json\n" {
		t.Errorf("completion: %v %s", err, out)
	}
	table := f("serving", "status", "--admin", g.Admin)
	if strings.Contains(table, "{") || !regexp.MustCompile(`(?m)^app +`+o.Addr+` +healthy`).MatchString(table) {
		t.Errorf("the status is no table:\n%s", table)
	}
	f(`"generation": 1`, "status", "--json", "--admin", g.Admin)
	for _, line := range []string{`(?m)^drain_timeout +duration +30s +how long requests may go on after SIGTERM`,
		`(?m)^\[pool\.NAME\.health\]$`, `(?m)^address +string +required +"host:port"`,
		`(?m)^targets +list of strings and tables +required, or discover`} {
		if out := f("", "keys"); !regexp.MustCompile(line).MatchString(out) {
			t.Errorf("keys has no line %s", line)
		}
	}
	if g.Metric("penstock_build_info{") != 1 {
		t.Error("no penstock_build_info")
	}
	resp, err := http.Get("http://" + g.Admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body) // a cut answer shows in the comparison
	text := string(b)
	for _, series := range []string{`penstock_rejections_total{code="upstream_connect",route="all"} 0`,
		`penstock_reloads_total{result="error"} 0`, `penstock_pool_own_targets_total{pool="app"} 0`,
		`penstock_discovery_errors_total{pool="app"} 0`} {
		if !strings.Contains(text, series+"\n") {
			t.Errorf("at the start there is no %s", series)
		}
	}
	for _, path := range []string{"/a", "/own"} {
		head := e2e.Raw(t, g.Addr, "GET "+path+" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
		if !strings.Contains(head, "\r\nRateLimit-Policy: ") || !strings.Contains(head, "\r\nRateLimit: ") {
			t.Errorf("%s: another spelling of RateLimit-Policy:\n%s", path, head)
		}
	}
}
