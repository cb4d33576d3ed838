//go:build sim

package sim

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

var (
	withMutants = flag.Bool("mutants", false, "put known faults back, one at a time, and look whether they are found")
	mutantTime  = flag.Duration("within", 10*time.Minute, "how soon each is to be found")
	oneMutant   = flag.String("mutant", "", "only those whose names match this")
)

// mutant is a fault that is put back into the gateway.
type mutant struct {
	name  string
	edits []edit
}

// edit replaces a text that a file has once.
type edit struct{ file, old, new string }

var mutants = []mutant{
	{"the answer to a POST is lost, and it is sent again", []edit{{"pool/retry.go",
		"if !unsent && (!x.Repeatable() || len(x.Upgrade) > 0) {", "if !unsent && len(x.Upgrade) > 0 {"}}},
	{"a stale connection repeats a POST", []edit{{"edge/attempt.go",
		"f.Retry == RetryReused && (x.Repeatable() || x.Plan.Copies)", "f.Retry == RetryReused"}}},
	{"who waits for a fetch takes what is stale", []edit{{"cache/lookup/follow.go",
		"if !c.shares(f.Entry, f.AgeFor(r.now), r) {", "if false {"}}},
	{"the queue does not look whether its client is there", []edit{
		{"pool/queue/queue.go", "case w.client.Gone():\n\tcase now", "case false:\n\tcase now"},
		{"pool/wait.go", "case w.Gone():", "case false:"}}},
	{"the deadline of an exchange is that of the one before", []edit{{"pool/h1/exchange.go",
		"	c.up.ended.Store(x.Times.Sent)\n", "	if len(x.Upgrade) > 0 || c.up.ended.Load() == 0 {\n\t\tc.up.ended.Store(x.Times.Sent)\n\t}\n"}}},
	{"the idle time is below zero in the first minute", []edit{{"pool/keeper.go",
		"before := now - int64(p.conf.IdleTimeout)", "before := now - int64(p.conf.IdleTimeout)\n\t\t\tif before <= 0 {\n\t\t\t\tbefore = 1<<63 - 1\n\t\t\t}"}}},
	{"bytes behind an answer are kept for the next", []edit{
		{"pool/h1/exchange.go", "c.body.left != leftClose && len(c.br.Buffered()) == 0\n", "c.body.left != leftClose\n"},
		{"pool/h1/target.go", "	c.br.Release() // an idle connection holds no buffer\n", ""},
		{"pool/h1/conn.go", "c.raw == nil || len(c.br.Buffered()) > 0 ||", "c.raw == nil ||"}}},
	{"a pin of a generation is not given back", []edit{{"edge/front/h1/conn.go",
		"	r.x.Gen.Unpin(c.Lane)\n\talive :=", "	if string(r.x.Method) != \"HEAD\" {\n\t\tr.x.Gen.Unpin(c.Lane)\n\t}\n\talive :="}}},
	{"what is private is shared", []edit{{"cache/fresh/response.go",
		"case r.Private && (!o.IgnorePrivate || r.Authorization):", "case false:"}}},
	{"what may not be stored is shared", []edit{{"cache/fresh/response.go",
		"case r.NoStore || r.forbids(o):", "case r.NoStore:"}}},
	{"the cookie of one is given to others", []edit{{"cache/fresh/response.go", "case r.SetCookie:", "case false:"}}},
	{"an answer to a request with Authorization is shared", []edit{{"cache/fresh/response.go",
		"case r.Authorization && !r.forOthers():", "case false:"}}},
	{"a variant is found by the names of the fields alone", []edit{{"cache/key/variant.go",
		"dst, some = append(append(dst, 2), v...), true", "dst, some = append(append(dst, 2), v[:0]...), true"}}},
	{"what was fetched before a purge is stored after it", []edit{{"cache/fetch/fetch.go",
		"e.Number, e.Hashes = t.purges, purge.AppendHashes(nil, t.URL, d.Tags)",
		"e.Number, e.Hashes = c.Purges.Latest.Load(), purge.AppendHashes(nil, t.URL, d.Tags)"}}},
	{"a POST does not purge its URL", []edit{{"cache/lookup/respond.go",
		"	c.WriteDown(c.Purges.ByHash(purge.HashURL(r.Text), false))\n\thost", "	host"}}},
	{"an answer is served a second too long", []edit{{"cache/fresh/response.go", "case over < 0:", "case over < 1000:"}}},
	{"a chunked answer that is cut counts as whole", []edit{{"pool/h1/body.go",
		"	case err != nil:\n\t\terr = b.fail(err)\n", "	case err != nil:\n\t\tb.ended = true\n\t\treturn n, io.EOF\n"}}},
	{"a cut fetch is read as a whole one", []edit{{"cache/flight/flight.go",
		"f.ended, f.failure = true, failure", "f.ended, f.failure = true, nil"}}},
	{"a limit admits one more", []edit{{"ratelimit/bucket/gcra.go",
		"spent > int64(m.burst) {", "spent > int64(m.burst)+parts {"}}},
	{"a limit of the fleet admits one more", []edit{{"ratelimit/fleet/script.go",
		"spent + cost <= b + 0.000001", "spent + cost <= b + 1.000001"}}},
	{"a limit of requests under way admits one more", []edit{{"ratelimit/bucket/concurrency.go",
		"	if n >= most {", "	if n > most {"}}},
	{"a request behind another is lost", []edit{{"edge/front/h1/head.go",
		"	c.br.Discard(n)\n", "	c.br.Discard(len(c.br.Buffered()))\n"}}},
	{"an interim answer is taken for the final one", []edit{{"pool/h1/answer.go",
		"final = c.m.Status >= 200 || c.m.Status == 101", "final = c.m.Status > 102 || c.m.Status == 101"}}},
	{"a target's requests in flight are not counted down", []edit{{"pool/attempt.go",
		"	by.inFlight.Add(-1) // before", "	if status != 503 {\n\t\tby.inFlight.Add(-1)\n\t} // before"}}},
	{"a connection is used again before its upload is over", []edit{{"pool/h1/exchange.go",
		"return !c.awaits && !c.up.failed && c.unsent == nil &&\n\t\tc.inBody", "return c.inBody"}}},
	{"a connection is not closed when its answer is broken", []edit{{"pool/h1/target.go",
		"	if !keep || t.common.Files.Targets.Over() || !t.idle.push(c) {\n\t\tc.close()\n",
		"	if !keep || t.common.Files.Targets.Over() || !t.idle.push(c) {\n\t\tif c.body.err == nil {\n\t\t\tc.close()\n\t\t}\n"}}},
}

// TestMutantsApply: each fault can be put back, so that what finds them is kept up with the code.
func TestMutantsApply(t *testing.T) {
	if len(mutants) < 20 {
		t.Errorf("there are %d mutants, less than 20", len(mutants))
	}
	for _, m := range mutants {
		if _, err := m.apply(); err != nil {
			t.Errorf("%s: %v", m.name, err)
		}
	}
}

// TestMutants puts the faults back, one at a time, and has each found in time.
func TestMutants(t *testing.T) {
	if !*withMutants {
		t.Skip("it takes minutes: make simulate-mutants")
	}
	match := regexp.MustCompile(*oneMutant)
	began, n := time.Now(), 0
	for _, m := range mutants {
		if !match.MatchString(m.name) {
			continue
		}
		n++
		took, what, err := m.find(t.TempDir())
		if err != nil {
			t.Errorf("NOT FOUND: %s: %v", m.name, err)
			continue
		}
		fmt.Printf("found in %5.1f s: %s: %s\n", took.Seconds(), m.name, what)
	}
	t.Logf("%d mutants, %v", n, time.Since(began).Round(time.Second))
}

// root is the module's, seen from this package.
const root = "../../.."

// apply returns the files of a mutant by their names.
func (m *mutant) apply() (map[string]string, error) {
	files := make(map[string]string)
	for _, e := range m.edits {
		text := files[e.file]
		if text == "" {
			b, err := os.ReadFile(filepath.Join(root, e.file))
			if err != nil {
				return nil, err
			}
			text = string(b)
		}
		if n := strings.Count(text, e.old); n != 1 {
			return nil, fmt.Errorf("%s has %d times %q", e.file, n, e.old)
		}
		files[e.file] = strings.Replace(text, e.old, e.new, 1)
	}
	return files, nil
}

// find builds the simulator with the fault and runs it until something breaks.
func (m *mutant) find(dir string) (took time.Duration, what string, err error) {
	files, err := m.apply()
	if err != nil {
		return 0, "", err
	}
	overlay := struct{ Replace map[string]string }{make(map[string]string)}
	for name, text := range files {
		from, err := filepath.Abs(filepath.Join(root, name))
		if err != nil {
			return 0, "", err
		}
		to := filepath.Join(dir, strings.ReplaceAll(name, "/", "_"))
		overlay.Replace[from] = to
		if err := os.WriteFile(to, []byte(text), 0o600); err != nil {
			return 0, "", err
		}
	}
	b, err := json.Marshal(overlay)
	if err != nil {
		return 0, "", err
	}
	list, binary := filepath.Join(dir, "overlay.json"), filepath.Join(dir, "sim.test")
	if err := os.WriteFile(list, b, 0o600); err != nil {
		return 0, "", err
	}
	build := exec.Command("go", "test", "-tags", "sim", "-overlay", list, "-c", "-o", binary, ".")
	if out, err := build.CombinedOutput(); err != nil {
		return 0, "", fmt.Errorf("it does not build: %s", out)
	}
	began := time.Now()
	out, err := exec.Command(binary, "-test.run", "^TestSeeds$", "-test.timeout", "0", "-for", mutantTime.String(), "-shrink", "0s", "-out", dir).CombinedOutput()
	took = time.Since(began)
	if err == nil {
		return took, "", fmt.Errorf("nothing breaks in %v", took)
	}
	what = "the process ends"
	if found := regexp.MustCompile(`(?m)seed \d+: (.*)$|(?:panic|fatal error): (.*)$`).FindSubmatch(out); found != nil {
		what = string(bytes.Join(found[1:], nil))
	}
	return took, what, nil
}
