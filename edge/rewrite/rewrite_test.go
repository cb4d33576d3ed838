package rewrite

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/live"
	"github.com/penstock-edge/penstock/edge/route"
	"github.com/penstock-edge/penstock/pool"
)

const base = "[[listener]]\naddress = \":8080\"\n[pool.app]\ntargets = [\"127.0.0.1:9000\"]\n" +
	"[[route]]\npool = \"app\"\n"

func build1(t testing.TB, text string) *live.Built {
	t.Helper()
	b, err := live.Check("test.toml", []byte(text), []edge.Feature{Feature, pool.Feature})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

// run sends a path through the routes of b; the plan is nil when none takes it.
func run(b *live.Built, x *edge.Exchange, path string) (edge.Verdict, *edge.Plan) {
	x.Method = []byte("GET")
	canonical, bad := route.Canonical(nil, []byte(path))
	if bad != nil {
		return edge.Drop, nil
	}
	x.Path, x.OutPath = canonical, canonical
	b.Routes.Lookup(&route.Key{Method: x.Method, Path: x.Path, Header: &x.Req}, &x.Match)
	if x.Match.Status != 200 {
		return edge.Drop, nil
	}
	plan := b.Plans[x.Match.Rule]
	for _, f := range plan.Filters(edge.Rewrite) {
		if v := f.Run(x); v != edge.Next {
			return v, plan
		}
	}
	return edge.Next, plan
}

func TestPath(t *testing.T) {
	f := func(keys, path, want string) {
		t.Helper()
		x := new(edge.Exchange)
		v, plan := run(build1(t, base+keys), x, path)
		if plan == nil {
			t.Fatalf("%s does not take %s", keys, path)
		}
		got := string(x.OutPath)
		if v != edge.Next {
			got = fmt.Sprint(x.Fault.Status)
		}
		if got != want || string(x.Path) != path {
			t.Errorf("%s: %s becomes %s, want %s", keys, path, got, want)
		}
	}
	strip := "prefix = \"/v1\"\nstrip_prefix = \"/v1\""
	f(strip, "/v1", "/")
	f(strip, "/v1/", "/")
	f(strip, "/v1/a/b", "/a/b")
	f(strip, "/v1//a", "/a")
	f(strip, "/v1///", "/")
	f(strip, "/v1/v1/a", "/v1/a")
	f(strip, "/v1/%2Fa", "/%2Fa")
	slash := "prefix = \"/v1/\"\nstrip_prefix = \"/v1/\""
	f(slash, "/v1/", "/")
	f(slash, "/v1/a/", "/a/")
	f(slash, "/v1//a", "/a")
	all := "prefix = \"/\"\nstrip_prefix = \"/v1\""
	f(all, "/v1x", "/v1x")
	f(all, "/", "/")
	f(all, "/v1/a", "/a")
	f("prefix = \"/a~b/\"\nstrip_prefix = \"/a%7Eb\"", "/a~b/c", "/c")
	f("prefix = \"/\"\nstrip_prefix = \"/\"", "/a", "/a")
	f("prefix = \"/\"\nstrip_prefix = \"/\"", "/", "/")

	f("path = \"/v1/users/{id}\"\nrewrite = \"/u/{id}\"", "/v1/users/a%2Fb", "/u/a%2Fb")
	f("path = \"/{a}/{b}\"\nrewrite = \"/{b}/{a}/{b}\"", "/x/y", "/y/x/y")
	f("path = \"/{a}/{b?}\"\nrewrite = \"/{b}/{a}\"", "/x", "/x")
	f("path = \"/{a}/{b?}\"\nrewrite = \"/{b}/{a}\"", "/x/y", "/y/x")
	f("path = \"/f/{file:*}\"\nrewrite = \"/{file}\"", "/f/a/b", "/a/b")
	f("path = \"/f/{file:*}\"\nrewrite = \"/{file}\"", "/f//a", "/a")
	f("path = \"/f/{file:*}\"\nrewrite = \"/{path...}\"", "/f/a", "/f/a")
	f("path = \"/v{n}/x\"\nrewrite = \"/{n}/x\"", "/v1/x", "/1/x")
	f("path = \"/v{n}/x\"\nrewrite = \"/{n}/x\"", "/v../x", "400")
	f("path = \"/v{n}/x\"\nrewrite = \"/{n}/x\"", "/v./x", "400")
	f("path = \"/v{n}/x\"\nrewrite = \"/a/{n}\"", "/v../x", "400")
	f("path = \"/v{n}/x\"\nrewrite = \"/.{n}/x\"", "/v./x", "400")
	f("path = \"/v{n}/x\"\nrewrite = \"/a{n}/x\"", "/v../x", "/a../x")
	f("prefix = \"/old\"\nrewrite = \"/new/\"", "/old", "/new/")
	f("prefix = \"/old\"\nrewrite = \"/new/\"", "/old/a/b", "/new/a/b")
	f("prefix = \"/old/\"\nrewrite = \"/new/\"", "/old//a", "/new/a")
	f("prefix = \"/old/\"\nrewrite = \"/\"", "/old//a", "/a")
	f("prefix = \"/old/\"\nrewrite = \"/index.html\"", "/old/a", "/index.html")
	f("prefix = \"/old/\"\nrewrite = \"/x/{path...}.html\"", "/old/a", "/x/a.html")
	f("prefix = \"/old/\"\nrewrite = \"/x/{path...}/\"", "/old/a", "/x/a/")
	f("path = \"/a\"\nrewrite = \"/b/\"", "/a", "/b/")
}

func TestHost(t *testing.T) {
	f := func(keys, authority, want string, note bool) {
		t.Helper()
		x := new(edge.Exchange)
		x.Authority = []byte(authority)
		_, plan := run(build1(t, base+"prefix = \"/\"\n"+keys), x, "/a")
		if string(x.OutHost) != want || (x.OutHost == nil) != (want == "") {
			t.Errorf("%s: %q", keys, x.OutHost)
		}
		if (len(plan.Notes) == 2) != note {
			t.Errorf("%s: notes %v", keys, plan.Notes)
		}
	}
	f("", "Shop.example:80", "Shop.example:80", false)
	f("", "", "", false)
	f("preserve_host = true", "h", "h", false)
	f("preserve_host = false", "h", "", true)
}

func TestMistakes(t *testing.T) {
	f := func(keys, want string) {
		t.Helper()
		_, err := live.Check("test.toml", []byte(base+keys), []edge.Feature{Feature, pool.Feature})
		if err == nil || strings.Count(err.Error(), "\n") > 0 || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", keys, err, want)
		}
	}
	p := "prefix = \"/a/\"\n"
	f(p+"strip_prefix = \"/a\"\nrewrite = \"/\"", "test.toml:9:1: route[1].rewrite: a route has either strip_prefix or rewrite")
	f(p+"strip_prefix = \"a\"", "route[1].strip_prefix: the path must start with a slash")
	f(p+"strip_prefix = \"\"", "must start with a slash")
	f(p+"strip_prefix = \"/b\"", `no path of this route begins with "/b": all begin with "/a/"`)
	f(p+"rewrite = \"\"", `must begin with "/"`)
	f(p+"rewrite = \"b\"", `must begin with "/"`)
	f(p+"rewrite = \"{path...}\"", `must begin with "/"`)
	f(p+"rewrite = \"//b\"", "must not start with two slashes")
	f(p+"rewrite = \"/b?c=d\"", "the query of the request is kept")
	f(p+"rewrite = \"/b#c\"", "no fragment")
	f(p+"rewrite = \"/b c\"", "space")
	f(p+"rewrite = \"/b/../c\"", `canonical form: that of its fixed parts is "/c"`)
	f(p+"rewrite = \"/%zz\"", "two hexadecimal digits")
	f(p+"rewrite = \"/{id\"", "an opening brace without a closing one")
	f(p+"rewrite = \"/{id}\"", `{id} is not known; known are {host}, `)
	f("path = \"/{a}/{b}\"\nrewrite = \"/{c}\"", `{c} is not known; known are {a}, {b}, {host}, `)
	f("path = \"/{a}/{a}\"\nrewrite = \"/{a}\"", `parameter "a" is named twice`)
	f("prefix = \"/%zz\"\nrewrite = \"/{a}\"", "hexadecimal")
	f("path = \"/{a}\"\nrewrite = \"/%{a}1\"", "two hexadecimal digits")
}

func TestExample(t *testing.T) {
	text, err := os.ReadFile("../../configs/rewrite.toml")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("README.md")
	if err != nil || !bytes.Contains(readme, text) {
		t.Errorf("README.md does not show the example (%v)", err)
	}
	b := build1(t, string(text))
	f := func(path, want, host string) {
		t.Helper()
		x := new(edge.Exchange)
		x.Authority = []byte("h")
		run(b, x, path)
		if string(x.OutPath) != want || string(x.OutHost) != host {
			t.Errorf("%s becomes %s of %q", path, x.OutPath, x.OutHost)
		}
	}
	f("/api/v1/users/7", "/users/7", "h")
	f("/u/7/posts", "/users/7/show/posts", "h")
	f("/download/a/b.txt", "/public/a/b.txt", "")
	f("/app/a/b", "/index.html", "h")
	if len(b.Nowhere.Filters(edge.Rewrite)) != 0 {
		t.Error("a request without a route is not rewritten")
	}
}

// FuzzPath: whatever comes in, what goes out is canonical, and never begins with two slashes.
func FuzzPath(f *testing.F) {
	b := build1(f, base+"path = \"/v{n}/{file:*}\"\nrewrite = \"/{n}/{file}\"\n"+
		"[[route]]\npool = \"app\"\nprefix = \"/s\"\nstrip_prefix = \"/s\"\n"+
		"[[route]]\npool = \"app\"\nprefix = \"/\"\nrewrite = \"/{path...}\"\n")
	f.Add("/v../x")
	f.Add("/s//x")
	f.Fuzz(func(t *testing.T, path string) {
		x := new(edge.Exchange)
		v, plan := run(b, x, path)
		if plan == nil || v != edge.Next {
			return
		}
		out, bad := route.Canonical(nil, x.OutPath)
		if bad != nil || !bytes.Equal(out, x.OutPath) {
			t.Fatalf("%q becomes %q, which is not canonical", path, x.OutPath)
		}
		if plan.Name == "route-3" && len(bytes.TrimLeft(x.Path, "/")) != len(bytes.TrimLeft(x.OutPath, "/")) {
			t.Fatalf("%q becomes %q", path, x.OutPath)
		}
	})
}
