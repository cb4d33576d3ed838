package bodytest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestEveryWrapperIsChecked: whoever embeds edge.Wrapper is named in a Case of the tests of its package.
func TestEveryWrapperIsChecked(t *testing.T) {
	wrappers := map[string]string{} // by folder and name, where they are
	tests := map[string]string{}    // by folder, their text
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		folder := filepath.Dir(path)
		if strings.HasSuffix(path, "_test.go") {
			tests[folder] += string(text)
			return nil
		}
		for _, name := range embedders(t, path, text) {
			wrappers[folder+" "+name] = path
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for key, path := range wrappers {
		folder, name, _ := strings.Cut(key, " ")
		if !strings.Contains(tests[folder], `bodytest.Case{Name: "`+name+`"`) {
			t.Errorf("%s: the tests of the package do not check %s with bodytest.Wrapper", path, name)
		}
	}
	if len(wrappers) < 3 {
		t.Errorf("only %d wrappers were found", len(wrappers))
	}
}

// embedders returns the names of the types of a file that embed edge.Wrapper.
func embedders(t *testing.T, path string, text []byte) (names []string) {
	t.Helper()
	if !strings.Contains(string(text), "edge.Wrapper") {
		return nil
	}
	file, err := parser.ParseFile(token.NewFileSet(), path, text, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok {
			return true
		}
		st, ok := spec.Type.(*ast.StructType)
		if !ok {
			return true
		}
		for _, f := range st.Fields.List {
			if sel, ok := f.Type.(*ast.SelectorExpr); ok && len(f.Names) == 0 && sel.Sel.Name == "Wrapper" {
				names = append(names, spec.Name.Name)
			}
		}
		return true
	})
	return names
}
