package health

import (
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/penstock-edge/penstock/edge/config"
)

func TestDefaults(t *testing.T) {
	c := good(t, "")
	if c.Kind != "http" || c.Path != "/" || c.Method != "GET" || c.Status.String() != "200-299" || c.wantsBody() ||
		c.Interval != 5*time.Second || c.UnhealthyInterval != time.Second || c.Timeout != time.Second ||
		c.HealthyAfter != 2 || c.UnhealthyAfter != 3 || c.Assume != "healthy" || c.Port != 0 {
		t.Errorf("defaults are %+v", c)
	}
}

func TestValidate(t *testing.T) {
	f := func(lines string, want ...string) {
		t.Helper()
		_, errs := parse(lines)
		if len(errs) != len(want) {
			t.Fatalf("%d errors, want %d:\n%v", len(errs), len(want), errs)
		}
		for i, w := range want {
			if !strings.Contains(errs[i].Error(), w) {
				t.Errorf("error %d is %q, want %q", i, errs[i], w)
			}
		}
	}
	f("path = '/a?b=c%20d'\nmethod = 'POST'\nhost = 'a.b:80'\nstatus = '200-299, 401'\nbody = '^ok'\n" +
		"headers = { X-A = 'b c', Authorization = 'x' }\n")
	f("host = '[::1]:80'\nbody = ''\nmethod = 'HEAD'\n")
	f("kind = 'tcp'\nport = 65535\n")
	f("kind = 'grpc'\nservice = 'a.B'\nhost = 'x'\nheaders = { X-A = 'b' }\n")
	f("interval = '500ms'\n")
	f("interval = '500ms'\nunhealthy_interval = '500ms'\n")
	f("interval = '500ms'\nunhealthy_interval = '501ms'\n", "t.toml:3:1: pool.a.health.unhealthy_interval: must not be slower")
	f("kind = 'icmp'\n", `must be "http", "tcp" or "grpc"`)
	f("kind = 'tcp'\npath = '/'\nmethod = 'GET'\nhost = 'a'\nheaders = {}\nstatus = '200'\nbody = 'a'\nservice = 'b'\n",
		"path: means nothing", "method: means", "host: means", "headers: means", "status: means", "body: means",
		`service: means nothing to checks of kind "tcp"`)
	f("kind = 'grpc'\npath = '/'\nmethod = 'GET'\nstatus = '200'\nbody = 'a'\n",
		"path: means", "method: means", "status: means", `body: means nothing to checks of kind "grpc"`)
	f("service = 'b'\n", `service: means nothing to checks of kind "http"`)
	f("path = ''\n", "path: must begin with /")
	f("path = 'a'\n", "path: must begin with /")
	f("path = '/a b'\n", "path: must begin with /")
	f("path = '/a#b'\n", "path: must begin with /")
	f("path = \"/a\\r\\nB: c\"\n", "path: must begin with /")
	f("host = \"a\\r\\nB: c\"\n", "host: must be a host")
	f("host = 'a/b'\n", "host: must be a host")
	f("host = 'a@b'\n", "host: must be a host")
	f("method = 'get'\n", `must be "GET", "HEAD", "OPTIONS" or "POST"`)
	f("method = 'DELETE'\n", `must be "GET"`)
	f("method = 'HEAD'\nbody = 'a'\n", "body: an answer to HEAD")
	f("body = '('\n", "body: must be a regular expression")
	f("status = '99'\n", "status: must be codes from 200")
	f("status = 200\n", "status: must be statuses in a string")
	f("headers = { 'a b' = 'c' }\n", `"a b" is not the name of a header`)
	f("headers = { '' = 'c' }\n", `"" is not the name of a header`)
	f("headers = { A = \"b\\nC: d\" }\n", "headers.A: the value has control characters")
	f("headers = { A = \"b\\u0000\" }\n", "headers.A: the value has control characters")
	f("headers = { hOst = 'a' }\n", "headers.hOst: is set by the key host")
	f("headers = { connection = 'a', Transfer-Encoding = 'b', Content-Length = '5' }\n",
		"headers.connection: is", "headers.Transfer-Encoding: is", "headers.Content-Length: is")
	f("timeout = '0s'\ninterval = '1ms'\nunhealthy_interval = '2h'\n", "between 1ms", "between 10ms", "between 10ms")
	f("healthy_after = 0\nunhealthy_after = 1001\nport = 65536\n", "between 1 and 1000", "between 1 and", "between 0")
	f("assume = 'maybe'\n", `must be "healthy" or "unhealthy"`)
	f("intervall = '1s'\n", `did you mean "interval"`)
}

func TestStatuses(t *testing.T) {
	f := func(text, in, out string) {
		t.Helper()
		s, err := ParseStatuses(text)
		if err != nil {
			t.Fatal(err)
		}
		for code := range 1000 {
			three := string([]byte{byte('0' + code/100), byte('0' + code/10%10), byte('0' + code%10)})
			if strings.Contains(in, three) && !s.Has(code) || strings.Contains(out, three) && s.Has(code) {
				t.Errorf("%q: Has(%d) is %v", text, code, s.Has(code))
			}
		}
	}
	f("200-299", "200 201 299", "000 101 199 300 404 599 999")
	f("204", "204", "203 205")
	f("200-299,401, 500-599", "200 299 401 500 599", "199 300 400 402 499 600")
	bad := func(text string) {
		t.Helper()
		if s, err := ParseStatuses(text); err == nil || s.Has(200) {
			t.Errorf("%q is taken", text)
		}
	}
	bad("")
	bad(",")
	bad("200,")
	bad("200-")
	bad("-200")
	bad("299-200")
	bad("101")
	bad("199-200")
	bad("600")
	bad("200-600")
	bad("2xx")
	bad("0200")
	bad("+20")
	bad("200-250-299")
	bad("200 - 299")
}

func TestCheckTarget(t *testing.T) {
	f := func(lines, address, want string) {
		t.Helper()
		wantError(t, address, good(t, lines).CheckTarget(address), want)
	}
	f("", "a:1", "")
	f("", "unix:/a", "")
	f("port = 81", "a:1", "")
	f("port = 81", "unix:/a", "unix:/a has no port 81")
}

// The README's examples are good, and its table has the keys and defaults as they are.
func TestReadme(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	examples := 0
	for rest := string(text); ; examples++ {
		_, after, ok := strings.Cut(rest, "```toml\n")
		if !ok {
			break
		}
		example, after, _ := strings.Cut(after, "```")
		rest = after
		file := config.Parse("README.md", []byte(example), config.Options{})
		for _, pool := range file.Root.Children("pool") {
			pool.Value("targets")
			c, table := &Config{}, pool.Child("health")
			table.Decode(c)
			c.Validate(table)
		}
		if errs := file.Finish(); errs != nil {
			t.Error(errs)
		}
	}
	if examples == 0 {
		t.Error("no example")
	}
	for i := range reflect.TypeFor[Config]().NumField() {
		tag := reflect.TypeFor[Config]().Field(i).Tag
		row := "| `" + tag.Get("toml") + "` | "
		_, cells, ok := strings.Cut(string(text), row)
		cell, _, _ := strings.Cut(cells, " |")
		if got := strings.Trim(cell, "`\""); !ok || got != tag.Get("default") && tag.Get("default") != "" {
			t.Errorf("row %q of the README has the default %q, want %q", row, cell, tag.Get("default"))
		}
	}
}
