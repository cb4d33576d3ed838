package main

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/scanner"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// tree is the repository as the rules see it.
type tree struct {
	module string              // module path, from go.mod
	needs  []string            // module paths that go.mod requires
	names  []string            // every file, slash-separated and relative to the root, sorted
	text   map[string][]byte   // content, by name; files with a NUL byte (not text) are left out
	lines  map[string][]string // the same, cut into lines without their ends
	gos    []*goFile           // Go files outside testdata, in the order of names
	broken []finding           // Go files that do not parse
}

// goFile is one parsed Go file.
type goFile struct {
	name string // relative to the root: "edge/route/tree.go"
	dir  string // "edge/route"; "." for the root
	test bool   // name ends in _test.go
	fset *token.FileSet
	ast  *ast.File
}

// line returns the line of a position in the file.
func (f *goFile) line(p token.Pos) int { return f.fset.Position(p).Line }

// at makes a finding at a position in the file.
func (f *goFile) at(p token.Pos, format string, args ...any) finding {
	return finding{f.name, f.line(p), fmt.Sprintf(format, args...)}
}

// load reads the repository: what git knows of it or would add, or every file where there is no git.
func load(root string) (*tree, error) {
	names, err := gitFiles(root)
	if err != nil {
		names, err = walkFiles(root)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot list the files of %q: %w", root, err)
	}
	t := &tree{text: map[string][]byte{}, lines: map[string][]string{}}
	for _, name := range names {
		if err := t.read(root, name); err != nil {
			return nil, err
		}
	}
	if t.module == "" {
		return nil, fmt.Errorf("no go.mod with a module line in %q", root)
	}
	return t, nil
}

// read adds one file. A file that git lists but that is gone from the disk is passed over.
func (t *tree) read(root, name string) error {
	text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot read %q: %w", name, err)
	}
	t.names = append(t.names, name)
	if slices.Contains(text, 0) {
		return nil
	}
	t.text[name] = text
	t.lines[name] = strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	if name == "go.mod" {
		t.readMod()
	}
	if strings.HasSuffix(name, ".go") && !inTestdata(name) {
		t.parse(name, text)
	}
	return nil
}

// readMod takes the module path and the required module paths from go.mod. Every line of a require block
// has the form "path version"; nothing else in go.mod has a version as its second word.
func (t *tree) readMod() {
	for _, line := range t.lines["go.mod"] {
		w := strings.Fields(strings.TrimPrefix(line, "require "))
		switch {
		case len(w) >= 2 && w[0] == "module":
			t.module = w[1]
		case len(w) >= 2 && strings.HasPrefix(w[1], "v"):
			t.needs = append(t.needs, w[0])
		}
	}
}

func (t *tree) parse(name string, text []byte) {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, name, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		t.broken = append(t.broken, parseError(name, err))
		return
	}
	t.gos = append(t.gos, &goFile{
		name: name, dir: path.Dir(name), test: strings.HasSuffix(name, "_test.go"), fset: fset, ast: file,
	})
}

// parseError turns the first complaint of the parser into a finding at its line.
func parseError(name string, err error) finding {
	var list scanner.ErrorList
	if errors.As(err, &list) && len(list) > 0 {
		return finding{name, list[0].Pos.Line, "does not parse: " + list[0].Msg}
	}
	return finding{name, 1, "does not parse: " + err.Error()}
}

// checkParse hands on what load found: every other rule sees only the files that parse.
func checkParse(t *tree) []finding { return t.broken }

// gitFiles lists the files that git tracks, and those it would add. It fails when root is not the top of a
// work tree: a listing from further down would name only a part.
func gitFiles(root string) ([]string, error) {
	if _, err := os.Stat(filepath.Join(root, ".git")); err != nil {
		return nil, err
	}
	git := exec.Command("git", "-C", root, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	out, err := git.Output()
	if err != nil {
		return nil, err
	}
	names := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
	slices.Sort(names)
	return slices.Compact(names), nil
}

// walkFiles lists the files of a tree that did not come through git, such as an unpacked archive.
func walkFiles(root string) ([]string, error) {
	var names []string
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == ".git" || d.Name() == "bin") {
			return fs.SkipDir
		}
		if !d.Type().IsRegular() {
			return nil
		}
		rel, err := filepath.Rel(root, name)
		names = append(names, filepath.ToSlash(rel))
		return err
	})
	slices.Sort(names)
	return names, err
}

func inTestdata(name string) bool { return slices.Contains(strings.Split(name, "/"), "testdata") }

// within reports whether dir is folder or lies below it.
func within(dir, folder string) bool { return dir == folder || strings.HasPrefix(dir, folder+"/") }
