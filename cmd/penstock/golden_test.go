package main

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write what the commands print to testdata")

// changing is what differs from run to run.
var changing = regexp.MustCompile(`X-Request-Id: \S+`)

// What the commands print, standard output first, then what went to standard error.
func TestPrints(t *testing.T) {
	f := func(name string, code int, args ...string) {
		t.Helper()
		var out, errs bytes.Buffer
		if got := command(args, &console{out: &out, err: &errs}); got != code {
			t.Errorf("%s: exit status %d, want %d", name, got, code)
		}
		text := changing.ReplaceAllString(out.String(), "X-Request-Id: (made)")
		if errs.Len() > 0 {
			text += "--- stderr\n" + errs.String()
		}
		file := filepath.Join("testdata", name+".golden")
		if *update {
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if text != string(want) {
			t.Errorf("%s prints\n%s\nwant\n%s", name, text, want)
		}
	}
	const good, bad = "testdata/real.toml", "testdata/bad.toml"
	f("help", 0, "--help")
	f("no-command", 0)
	f("unknown-command", 1, "serve")
	f("check", 0, "check", good)
	f("check-bad", 1, "check", bad)
	f("check-warnings", 0, "check", "../../configs/cache-routes.toml")
	f("explain-cache-override", 0, "explain", "../../configs/cache-routes.toml", "GET", "/catalogue/a", "-A",
		"Cache-Control: no-store, max-age=0", "-A", "Set-Cookie: a=b")
	f("check-json", 0, "check", good, "--json")
	f("check-bad-json", 1, "check", "--json", bad)
	f("check-missing", 1, "check", "testdata/missing.toml")
	f("routes", 0, "routes", good)
	f("routes-bad", 1, "routes", bad)
	f("explain-pattern", 0, "explain", good, "GET", "http://api.example.com/v1/users/x/../7?q=1", "-H", "X-Beta: yes",
		"-H", "X-Forwarded-For: 203.0.113.9")
	f("explain-trusted", 0, "explain", good, "PUT", "https://api.example.com:8443/v1/users/7", "-H", "X-Beta: yes",
		"-H", "X-Forwarded-For: 203.0.113.9", "--from", "10.1.2.3")
	f("explain-other", 0, "explain", good, "POST", "http://api.example.com/v1/users/7")
	f("explain-redirect", 0, "explain", good, "GET", "/old/x")
	f("explain-method", 2, "explain", good, "GET", "http://x/forms/a?debug=1")
	f("explain-no-route", 2, "explain", good, "GET", "http://x/")
	f("explain-refused", 2, "explain", good, "GET", "http://x/a/%zz")
	f("explain-field", 2, "explain", good, "GET", "http://x/", "-H", "No colon")
	f("explain-scheme", 1, "explain", good, "GET", "ftp://x/")
	const pages = "../../configs/cache.toml"
	f("explain-cache", 0, "explain", pages, "GET", "http://X.example/assets/a?b=1", "-H", "X-Request-Id: 1", "--from", "127.0.0.1",
		"-A", "Cache-Control: max-age=60, stale-while-revalidate=5, stale-if-error=10", "-A", "Vary: accept-language")
	f("explain-cache-cookie", 0, "explain", pages, "GET", "http://x/?fbclid=1", "-H", "Cookie: a=b")
	f("explain-cache-private", 0, "explain", pages, "GET", "http://x/?fbclid=1", "-A", "Cache-Control: private, max-age=9")
	f("explain-cache-field", 1, "explain", pages, "GET", "http://x/", "-A", "no colon")
	f("explain-bad", 1, "explain", bad, "GET", "/")
}

// Every command explains itself, and its example is a command line that the parser takes.
func TestHelpShowsAnExample(t *testing.T) {
	f := func(name string) {
		t.Helper()
		var out, errs bytes.Buffer
		if code := command([]string{name, "--help"}, &console{out: &out, err: &errs}); code != 0 || errs.Len() > 0 {
			t.Errorf("%s --help: exit status %d, %s", name, code, errs.String())
		}
		_, example, ok := strings.Cut(out.String(), "Example")
		if !ok || !strings.Contains(example, "\n    penstock "+name) {
			t.Errorf("%s --help shows no example:\n%s", name, out.String())
		}
	}
	for _, name := range []string{"run", "check", "routes", "explain", "reload", "drain", "status", "version"} {
		f(name)
	}
}
