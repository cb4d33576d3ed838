package observe

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/config"
	"github.com/penstock-edge/penstock/edge/lib/clock"
	"github.com/penstock-edge/penstock/edge/lib/metric"
)

func TestMain(m *testing.M) {
	if os.Getenv("PENSTOCK_TEST_BROKEN_STDOUT") != "" {
		writeToBrokenStdout()
		return
	}
	slog.SetDefault(slog.New(slog.DiscardHandler)) // one case panics on purpose
	goleak.VerifyTestMain(m)
}

// stage is one generation of the feature with a file of its own, in a folder of its own.
type stage struct {
	t        testing.TB
	keeper   *edge.Keeper
	registry *metric.Registry
	path     string // of the access log

	host     *edge.Host
	instance *edge.Instance
	plan     *edge.Plan // of the route "users"
	nowhere  *edge.Plan
	errs     error
}

const listeners = `
[[listener]]
name = "public"
address = ":8443"
  [[listener.certificate]]
  cert = "a"
  key = "b"
[[listener]]
name = "plain"
address = ":8080"
[[route]]
name = "users"
prefix = "/"
`

// newStage makes its folder the working directory: a word of the configuration that is taken for a file's name
// by mistake leaves no file beside the code.
func newStage(t testing.TB) *stage {
	dir := t.TempDir()
	t.Chdir(dir)
	return &stage{t: t, keeper: edge.NewKeeper(), registry: metric.NewRegistry(), path: filepath.Join(dir, "access.log")}
}

// build makes a generation out of the section [log.access]; LOG in it is the path of the log.
func (s *stage) build(access string) *stage {
	text := "[log.access]\n" + strings.ReplaceAll(access, "LOG", s.path) + listeners
	c := config.Load("p.toml", []byte(text), config.Options{})
	s.host = &edge.Host{Config: c, Log: slog.New(slog.DiscardHandler),
		Metrics: s.registry.Scope(), State: s.keeper.Hold()}
	s.instance = Feature.New(s.host)
	s.plan, s.nowhere = &edge.Plan{Name: "users"}, &edge.Plan{}
	s.instance.Route(&edge.RouteSetup{Name: "users", Plan: s.plan, Table: c.Routes[0].Table})
	s.instance.Route(&edge.RouteSetup{Plan: s.nowhere, Unrouted: true, Table: config.Parse("", nil, config.Options{}).Root})
	s.errs = c.File.Finish().Err()
	if s.errs == nil && s.instance.Start != nil {
		s.instance.Start()
	}
	return s
}

func (s *stage) close() {
	s.host.State.Release()
	s.host.Metrics.Close()
}

// logged closes the generation and returns the lines that were written.
func (s *stage) logged() []string {
	s.t.Helper()
	s.close()
	b, err := os.ReadFile(s.path)
	if err != nil {
		s.t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
}

func (s *stage) metrics() string {
	s.t.Helper()
	var b bytes.Buffer
	if err := s.registry.Write(&b); err != nil {
		s.t.Fatal(err)
	}
	return b.String()
}

func (s *stage) wantMetric(line string) {
	s.t.Helper()
	if !strings.Contains(s.metrics(), line+"\n") {
		s.t.Errorf("no line %q in\n%s", line, s.metrics())
	}
}

// run ends x under the filters of a plan.
func run(p *edge.Plan, x *edge.Exchange) {
	for _, f := range p.Filters(edge.Log) {
		f.Run(x)
	}
}

const ms = int64(1e6)

// request is an ordinary exchange that took 31 ms.
func request() *edge.Exchange {
	x := &edge.Exchange{}
	x.Method, x.Scheme, x.Host, x.Path, x.Minor = []byte("GET"), "https", []byte("api.example.com"), []byte("/v1/users/7"), 1
	x.Query, x.HasQuery = []byte("token=SECRET"), true
	x.Cookie = []byte("session=SECRET")
	x.Peer, x.Client = netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("192.0.2.7")
	x.Listener, x.Lane, x.RequestID = "public", 1, []byte("0af7651916cd43dd")
	x.Method = []byte("GET")
	x.Req.Set("User-Agent", "curl/8.0")
	x.Req.Set("Referer", "https://example.com/start?token=SECRET")
	x.Req.Set("Authorization", "Bearer SECRET")
	x.Req.Set("Cookie", "session=SECRET")
	x.SetStatus(200)
	x.Resp.Set("Set-Cookie", "session=SECRET")
	x.PoolName, x.TargetName, x.Attempts = "users", "10.0.0.9:8080", 1
	x.InBytes, x.OutBytes = 12, 345
	start := max(clock.Now()-31*ms, 1)
	x.Times = edge.Timing{Start: start, Head: start + ms, Policy: start + 3*ms, First: start + 16*ms, Done: start + 31*ms, Trip: edge.Trip{Sent: start + 6*ms, Connect: 2 * ms}}
	return x
}

func TestJSON(t *testing.T) {
	s := newStage(t).build(`output = "LOG"`)
	run(s.plan, request())
	run(s.nowhere, &edge.Exchange{Request: edge.Request{Lane: 1}, Course: edge.Course{Fault: edge.NoRoute}}) // lines of one lane keep their order
	lines := s.logged()
	if len(lines) != 2 {
		t.Fatalf("%d lines, want 2: %q", len(lines), lines)
	}
	want := `"request_id":"0af7651916cd43dd","client":"192.0.2.7","peer":"10.0.0.1","listener":"public",` +
		`"tls":true,"method":"GET","scheme":"https","host":"api.example.com","path":"/v1/users/7",` +
		`"protocol":"HTTP/1.1","status":200,"code":"","cause":"","route":"users","pool":"users","target":"10.0.0.9:8080",` +
		`"attempts":1,"request_bytes":12,"response_bytes":345,"user_agent":"curl/8.0",` +
		`"referer":"https://example.com/start","seconds":0.031000,"seconds_head":0.001000,` +
		`"seconds_policy":0.002000,"seconds_connect":0.002000,"seconds_wait":0.010000,"seconds_body":0.015000}`
	if _, got, _ := strings.Cut(lines[0], ","); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	var line struct {
		Time    string   `json:"time"`
		Route   string   `json:"route"`
		Status  int      `json:"status"`
		Code    string   `json:"code"`
		Connect *float64 `json:"seconds_connect"`
	}
	if err := json.Unmarshal([]byte(lines[1]), &line); err != nil {
		t.Fatal(err)
	}
	if line.Route != "none" || line.Status != 404 || line.Code != "no_route" || line.Connect != nil || len(line.Time) != 24 {
		t.Errorf("got %+v from %s", line, lines[1])
	}
}

func TestFormats(t *testing.T) {
	f := func(access, want string) {
		t.Helper()
		s := newStage(t).build("output = \"LOG\"\n" + access)
		if s.errs != nil {
			t.Fatal(s.errs)
		}
		run(s.plan, request())
		got := s.logged()[0]
		if i := strings.IndexByte(got, '['); i >= 0 { // the time differs from run to run
			got = got[:i+1] + got[strings.IndexByte(got, ']'):]
		}
		if got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", access, got, want)
		}
	}
	const rest = ` request_id=0af7651916cd43dd route=users pool=users target=10.0.0.9:8080 code=- seconds=0.031000` +
		` head=0.001000 policy=0.002000 connect=0.002000 wait=0.010000 body=0.015000`
	f(`format = "combined"`, `192.0.2.7 - - [] "GET /v1/users/7 HTTP/1.1" 200 345 "https://example.com/start" "curl/8.0"`+rest)
	f("format = \"combined\"\nquery = true", `192.0.2.7 - - [] "GET /v1/users/7?token=SECRET HTTP/1.1" 200 345`+
		` "https://example.com/start?token=SECRET" "curl/8.0"`+rest)
	f(`format = "{method}\t{path} {{{status}}} {tls}"`, "GET\t/v1/users/7 {200} true")
	f("format = \"{path} {query}\"\nquery = true", "/v1/users/7 token=SECRET")
	f(`format = "{seconds}"`, "0.031000")
	f(`format = "{protocol};{scheme};{host};{peer};{listener};{attempts};{request_bytes};{code}."`,
		"HTTP/1.1;https;api.example.com;10.0.0.1;public;1;12;-.")
}

// Nothing secret is written unless it is asked for, in any format.
func TestSecretsAreNotLogged(t *testing.T) {
	f := func(format string) {
		t.Helper()
		s := newStage(t).build("output = \"LOG\"\nformat = " + strconv.Quote(format))
		x := request()
		run(s.plan, x)
		run(s.nowhere, x)
		for _, line := range s.logged() {
			if strings.Contains(line, "SECRET") {
				t.Errorf("%s: %s", format, line)
			}
		}
	}
	f("json")
	f("combined")
	var all strings.Builder
	for _, name := range fieldNames {
		if name != "query" {
			all.WriteString("{" + name + "} ")
		}
	}
	f(all.String())
}

func TestMistakes(t *testing.T) {
	f := func(access string, want ...string) {
		t.Helper()
		s := newStage(t).build(access)
		defer s.close()
		if s.errs == nil {
			t.Fatalf("%s: no error", access)
		}
		for _, w := range want {
			if !strings.Contains(s.errs.Error(), w) {
				t.Errorf("%s:\ngot  %s\nwant %s", access, s.errs, w)
			}
		}
	}
	f(`format = "{statsu}"`, `p.toml:2:10: log.access.format: no field named "statsu" (did you mean "status"?)`)
	f(`format = "jsn"`, `p.toml:2:10: log.access.format: no log format`, `(did you mean "json"?)`)
	f(`format = "{query}"`, "{query} needs query = true")
	f(`format = "{path"`, "{ without }")
	f(`format = "path}"`, "} without {")
	f(`format = "{}"`, "{} names no field")
	f(`format = "{path}\n"`, "one line")
	f(`output = "stdot"`, `p.toml:2:10: log.access.output: no stream`, `(did you mean "stdout"?)`)
	f(`output = ""`, `log.access.output: no stream`)
	f(`output = "/nonexistent/access.log"`, `p.toml:2:1: log.access.output: cannot open log: open /nonexistent/access.log`)
	f(`max_backlog_bytes = "1KiB"`, "log.access.max_backlog_bytes: must be between 64KiB and 1GiB")
	f(`formt = "json"`, `log.access.formt: unknown key (did you mean "format"?)`)
	f(`query = "yes"`, "log.access.query: must be true or false")
}

func TestOff(t *testing.T) {
	s := newStage(t).build(`output = "off"`)
	defer s.close()
	run(s.plan, request())
	s.wantMetric(`penstock_requests_total{route="users",status_class="2xx"} 1`)
	if s.instance.Reopen != nil || strings.Contains(s.metrics(), "access_log") {
		t.Error("a log that is off has metrics or can be reopened")
	}
	if files, err := os.ReadDir("."); err != nil || len(files) > 0 {
		t.Errorf("files %v, %v; a log that is off writes none", files, err)
	}
}

// check opens nothing.
func TestDry(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access.log")
	c := config.Load("p.toml", []byte("[log.access]\noutput = \""+path+"\"\n"+listeners), config.Options{})
	h := &edge.Host{Config: c, Dry: true, Metrics: metric.NewRegistry().Scope(), State: edge.NewKeeper().Hold()}
	Feature.New(h)
	if _, err := os.Stat(path); err == nil {
		t.Error("the log was opened")
	}
	if err := c.File.Finish().Err(); err != nil {
		t.Error(err)
	}
}

func TestReopen(t *testing.T) {
	s := newStage(t).build(`output = "LOG"`)
	run(s.plan, request())
	if err := os.Rename(s.path, s.path+".1"); err != nil {
		t.Fatal(err)
	}
	s.instance.Reopen()
	run(s.plan, request())
	lines := s.logged()
	old, err := os.ReadFile(s.path + ".1")
	if err != nil {
		t.Fatal(err)
	}
	// What waited when the log was reopened may be in either file.
	if n := len(lines) + bytes.Count(old, []byte{'\n'}); n != 2 {
		t.Errorf("%d lines, want 2: %q and %q", n, old, lines)
	}
}

func TestStatus(t *testing.T) {
	s := newStage(t).build(`output = "LOG"`)
	run(s.plan, request())
	s.close()
	got := s.instance.Status().(Status)
	if want := (Status{Output: s.path, Format: "json", Written: 1}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// A reader of standard output that goes away costs lines, not the process.
func TestBrokenStdout(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Close()
	defer w.Close()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), "PENSTOCK_TEST_BROKEN_STDOUT=1")
	cmd.Stdout = w
	var errs bytes.Buffer
	cmd.Stderr = &errs
	if err := cmd.Run(); err != nil || !strings.Contains(errs.String(), "broken pipe") {
		t.Errorf("%v: %s", err, &errs)
	}
}

func writeToBrokenStdout() {
	w, err := opener("stdout")()
	if err == nil {
		_, err = io.WriteString(w, "line\n")
	}
	_, _ = os.Stderr.WriteString(err.Error())
}
