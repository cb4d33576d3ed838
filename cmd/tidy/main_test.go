package main

import (
	"bytes"
	"go/parser"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestTrees runs tidy on the small trees in testdata; beside each lies what it must print.
func TestTrees(t *testing.T) {
	f := func(name string) {
		t.Helper()
		want, err := os.ReadFile(filepath.Join("testdata", name+".want"))
		if err != nil {
			t.Fatal(err)
		}
		status := 0
		if len(want) > 0 {
			status = 1
		}
		expect(t, filepath.Join("testdata", name), status, string(want))
	}
	f("clean") // every arrow that is allowed, and words that only look like commands
	f("star")  // every arrow that is not
	f("names")
	f("texts")
	f("prose")
	f("seam") // what would not repeat in a simulation
}

func TestSizes(t *testing.T) {
	f := func(name, text, want string) {
		t.Helper()
		status := 0
		if want != "" {
			status = 1
		}
		expect(t, write(t, "edge/"+name, text), status, want)
	}
	body := func(lines int) string { return "func long() {\n" + strings.Repeat("\n", lines-2) + "}\n" }
	f("a.go", "package edge\n"+body(70), "")
	f("a.go", "package edge\n"+body(71), "edge/a.go:2: long has 71 lines; a function has at most 70\n")
	f("a_test.go", "package edge\n"+body(71), "")
	f("a.go", "package edge\n\ntype t[K any] struct{}\n\nfunc (x *t[K]) deep() {"+strings.Repeat("\n", 70)+"}\n",
		"edge/a.go:5: t.deep has 71 lines; a function has at most 70\n")
	f("a.go", "package edge\nvar v = func() {"+strings.Repeat("\n", 70)+"}\n",
		"edge/a.go:2: func literal has 71 lines; a function has at most 70\n")

	f("a.go", "package edge"+strings.Repeat("\n", 600), "")
	f("a.go", "package edge"+strings.Repeat("\n", 601), "edge/a.go:601: 601 lines; a file has at most 600\n")
	f("a_test.go", "package edge"+strings.Repeat("\n", 601), "edge/a_test.go:601: 601 lines; a file has at most 600\n")

	f("a.go", "package edge\n//"+strings.Repeat("é", 108)+"\n", "")
	f("a.go", "package edge\n//"+strings.Repeat("é", 109)+"\n", "edge/a.go:2: 111 columns; a line has at most 110\n")
	f("a_test.go", "package edge\n//"+strings.Repeat("x", 200)+"\n", "")
}

// TestLongFunctions: the list of exceptions lets a function pass, and an entry nobody needs is reported.
func TestLongFunctions(t *testing.T) {
	defer func(old map[string]string) { longFunctions = old }(longFunctions)
	longFunctions = map[string]string{"edge.T.deep": "a table of the RFC"}

	long := "package edge\n\ntype T struct{}\n\nfunc (T) deep() {" + strings.Repeat("\n", 70) + "}\n"
	long = strings.Replace(long, "type T", "// T is T.\ntype T", 1)
	expect(t, write(t, "edge/a.go", long), 0, "")
	expect(t, write(t, "edge/a.go", "package edge\n"), 1,
		"cmd/tidy/sizes.go:1: edge.T.deep is not long: take it out of longFunctions\n")
}

// TestWords builds its words, so that this file does not hold them.
func TestWords(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		if want == "" {
			expect(t, write(t, "docs/a.txt", text), 0, "")
			return
		}
		expect(t, write(t, "docs/a.txt", "\n"+text), 1, "docs/a.txt:2: "+want+"\n")
	}
	work, root := "/"+"work/", "/"+"root/"
	f("cd "+work+"main", "path of one machine: "+work)
	f(root+"go", "path of one machine: "+root)
	f("file://"+root+"go", "path of one machine: "+root)
	f("https://example.com"+work+"x, a"+root+"b", "")
	f("the /workshop and /rooted", "")
	f("GOPROXY=https://proxy"+".golang.org", "host of a package registry: proxy.golang"+".org")
	f("http://deb"+".debian.org/debian", "host of a package registry: deb"+".debian.org")
	f("proxyXgolang.org", "")
	f("\x00"+work, "") // not text
}

func TestBroken(t *testing.T) {
	expect(t, write(t, "edge/a.go", "package edge\nfunc {\n"), 1,
		"edge/a.go:2: does not parse: expected 'IDENT', found '{'\n")
	expect(t, t.TempDir(), 2, "")
	expect(t, filepath.Join(t.TempDir(), "missing"), 2, "")
}

// needGit skips a test where there is no git: a tree that was unpacked from an archive is tidied without.
func needGit(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("no git: the tree is taken as it lies there")
	}
}

// TestGit: in a work tree, ignored files and files deleted from the disk are left out; new ones count.
func TestGit(t *testing.T) {
	needGit(t)
	root := write(t, "edge/a.go", "package edge\n")
	put(t, root, ".gitignore", "/ignored/\n")
	put(t, root, "ignored/x", "")
	put(t, root, "gone.txt", "")
	for _, args := range [][]string{{"init", "-q"}, {"add", "gone.txt"}} {
		if out, err := exec.Command("git", append([]string{"-C", root}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	if err := os.Remove(filepath.Join(root, "gone.txt")); err != nil {
		t.Fatal(err)
	}
	put(t, root, "new/x", "")
	expect(t, root, 1, "new/x:1: not one of the fixed top-level names: new\n")
}

func TestSubjects(t *testing.T) {
	f := func(subject, want string) {
		t.Helper()
		if got := judgeSubject(subject); got != want {
			t.Errorf("%q: %q, want %q", subject, got, want)
		}
	}
	form := `is not of the form "package: do this"`
	f("edge/config: refuse what is not there", "")
	f("all: say what comments mean, let boot use the harness", "")
	f("pool, cache: share a queue", "")
	f(".ci: run tests beside each other", "")
	f("a: "+strings.Repeat("é", 69), "")
	f("a: "+strings.Repeat("é", 70), "has 73 columns; at most 72")
	f("two sentences that said what is not so", form)
	f("Pool: shout", form)
	f("pool: stop.", form)
	f("pool:no space", form)
	f("", form)
}

// TestLastSubject: of a history only the last commit counts, and merges are exempt.
func TestLastSubject(t *testing.T) {
	needGit(t)
	root := write(t, "edge/a.go", "package edge\n")
	git := func(args ...string) {
		t.Helper()
		args = append([]string{"-C", root, "-c", "user.name=a", "-c", "user.email=a@example.com"}, args...)
		if out, err := exec.Command("git", args...).CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	git("init", "-q", "-b", "main")
	expect(t, root, 0, "") // no commit yet
	git("add", ".")
	git("commit", "-qm", "Begin.")
	expect(t, root, 1, ".git/HEAD:1: the subject \"Begin.\" is not of the form \"package: do this\"\n")
	git("checkout", "-qb", "side")
	git("commit", "-q", "--allow-empty", "-m", "edge: go on")
	expect(t, root, 0, "")
	git("checkout", "-q", "main")
	git("merge", "-q", "--no-ff", "-m", "Bring the side in", "side")
	expect(t, root, 0, "")
}

func TestTorn(t *testing.T) {
	f := func(comment, want string) {
		t.Helper()
		status := 0
		if want != "" {
			want, status = "edge/a.go:"+want+"\n", 1
		}
		expect(t, write(t, "edge/a.go", "package edge\n\n"+comment+"\nvar x int\n"), status, want)
	}
	long := strings.Repeat("long ", 15) // to column 78
	f("// x is "+long+"\n// enough.", "")
	f("// x is a line that goes on where these\n// are\n// known.",
		`3: the comment is torn after "x is a line that goes on where these": there is room for "are"`+"\n"+
			`edge/a.go:4: the comment is torn after "are": there is room for "known."`)
	f("// x ends here.\n// Then it goes on.", "")
	f("// x has these:\n// all of them", "")
	f("// x is one of\n// - this\n// - that", "")
	f("// x reads\n//\n//\tcode as it stands\n//\n// and more", "")
	f("// x is what it is because", `3: the comment ends within a sentence: "x is what it is because"`)
	f("//go:generate true\n// x.", "")
}

// TestComplexity counts as gocyclo does.
func TestComplexity(t *testing.T) {
	f := func(body string, want int) {
		t.Helper()
		fn, err := parser.ParseExpr("func() {" + body + "}")
		if err != nil {
			t.Fatal(err)
		}
		if got := complexity(fn); got != want {
			t.Errorf("%s: %d, want %d", body, got, want)
		}
	}
	f("", 1)
	f("if a && b || c {} else if d {}", 5)
	f("for {}; for range x {}", 3)
	f("switch x { case 1, 2: case 3: default: }", 3)
	f("switch x.(type) { case int: }", 2)
	f("select { case <-c: default: }", 2)
	f("func() { if a {} }()", 2)

	many := "package edge\n\nfunc deep(a bool) {\n" + strings.Repeat("\tif a {\n\t}\n", 15) + "}\n"
	expect(t, write(t, "edge/a.go", many), 1,
		"edge/a.go:3: deep has cyclomatic complexity 16; a function has at most 15\n")
	expect(t, write(t, "edge/a_test.go", many), 0, "")
	defer func(old map[string]string) { complexParsers = old }(complexParsers)
	complexParsers = map[string]string{"edge.deep": "a parser"}
	expect(t, write(t, "edge/a.go", many), 0, "")
	expect(t, write(t, "cmd/tidy/figures.go", "package main\n"), 1,
		"cmd/tidy/figures.go:1: edge.deep is not complex: take it out of complexParsers\n")
}

// TestFigures: packages have an upper bound, interfaces and comments a share of the whole.
func TestFigures(t *testing.T) {
	f := func(commented, interfaces int, want string) {
		t.Helper()
		status := 0
		if want != "" {
			status = 1
		}
		text := "package edge\n" + strings.Repeat("// A comment.\n", commented) +
			strings.Repeat("type i interface{}\n", interfaces)
		text += strings.Repeat("\n", 600-strings.Count(text, "\n"))
		root := write(t, "edge/a.go", text)
		for _, name := range []string{"edge/b.go", "edge/c.go", "edge/d.go", "edge/e.go"} {
			put(t, root, name, text)
		}
		expect(t, root, status, want)
		if want == "" {
			put(t, root, "edge/f.go", "package edge\n")
			expect(t, root, 1, "edge:1: 3001 lines; a package has at most 3000\n")
			put(t, root, "edge/f.go", "")
		}
	}
	f(73, 0, "")
	f(71, 0, "go.mod:1: 11.8 % of the lines have a comment; at least 12\n")
	f(80, 1, "go.mod:1: 1.67 interfaces for each 1,000 lines; at most 1\n")
}

// TestThisTree holds the rule for the rules: every folder they name is one that the top level allows.
func TestThisTree(t *testing.T) {
	for _, a := range arrows {
		top, _, _ := strings.Cut(a.from, "/")
		if arrowOf(a.from) == nil || !strings.Contains(strings.Join(topLevel, " "), top) {
			t.Errorf("arrow from %q can never match", a.from)
		}
	}
	for _, l := range leaves {
		if a := arrowOf(l); a == nil || len(a.to) != 1 || a.to[0] != "edge/lib" {
			t.Errorf("leaf %q may import more than edge/lib", l)
		}
	}
}

// write makes a tree of a go.mod and one more file.
func write(t *testing.T, name, text string) (root string) {
	t.Helper()
	root = t.TempDir()
	put(t, root, "go.mod", "module example.com/gate\n")
	put(t, root, name, text)
	return root
}

func put(t *testing.T, root, name, text string) {
	t.Helper()
	full := filepath.Join(root, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(full, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func expect(t *testing.T, root string, status int, want string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	got := run(root, nil, &stdout, &stderr)
	if got != status || stdout.String() != want {
		t.Errorf("status %d, want %d; printed\n%swant\n%s%s", got, status, &stdout, want, &stderr)
	}
	if (got == 2) != (stderr.Len() > 0) {
		t.Errorf("status %d with %q on stderr", got, &stderr)
	}
}
