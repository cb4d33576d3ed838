package edge

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func readme(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestDiagram: the state diagram in the README has the transitions that the code makes, and no others.
func TestDiagram(t *testing.T) {
	var want []string
	for p := Early; p < ended; p++ {
		known := map[Phase]bool{}
		for _, c := range []struct {
			v     Verdict
			f     *Fault
			label string
		}{{Next, nil, ""}, {Answered, nil, ": answered, fault"}, {Next, Internal, ": answered, fault"}, {Drop, nil, ": drop"}} {
			if to := p.after(c.v, c.f); !known[to] {
				known[to] = true
				want = append(want, p.String()+" --> "+to.String()+c.label)
			}
		}
	}
	var got []string
	for line := range strings.Lines(readme(t)) {
		if strings.Contains(line, " --> ") {
			got = append(got, strings.TrimSpace(line))
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("the diagram has\n%s\nthe code has\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for p := Early; p < ended; p++ {
		if !strings.Contains(readme(t), "\n| `"+p.String()+"` | ") {
			t.Errorf("the table of phases lacks %s", p)
		}
	}
}

// TestSteps: each function that the README tells the life of a request with is where it says, and is called
// by name from one told before.
func TestSteps(t *testing.T) {
	steps := regexp.MustCompile("(?m)^([0-9]+)\\. `([^`]+)` `([^`]+)`").FindAllStringSubmatch(readme(t), -1)
	if len(steps) == 0 || len(steps) > 16 {
		t.Fatalf("%d steps", len(steps))
	}
	called := map[string]bool{}
	for i, s := range steps {
		number, file, name := s[1], s[2], s[3]
		if number != strconv.Itoa(i+1) {
			t.Errorf("step %s is number %d", number, i+1)
		}
		fn := function(t, "../"+file, name)
		if fn == nil {
			t.Errorf("%s has no function %s", file, name)
			continue
		}
		if i > 0 && !called[fn.Name.Name] {
			t.Errorf("%s is not called by a step before it", name)
		}
		ast.Inspect(fn, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok {
				switch f := call.Fun.(type) {
				case *ast.Ident:
					called[f.Name] = true
				case *ast.SelectorExpr:
					called[f.Sel.Name] = true
				}
			}
			return true
		})
	}
	if last := steps[len(steps)-1]; last[3] != "finish" {
		t.Errorf("the last step is %s", last[3])
	}
}

// function returns the function that a file has under a name, which is that of its receiver's type and its
// own.
func function(t *testing.T, file, name string) *ast.FuncDecl {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range parsed.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok {
			continue
		}
		full := fn.Name.Name
		if fn.Recv != nil {
			typ := fn.Recv.List[0].Type
			if star, ok := typ.(*ast.StarExpr); ok {
				typ = star.X
			}
			if id, ok := typ.(*ast.Ident); ok {
				full = id.Name + "." + full
			}
		}
		if full == name {
			return fn
		}
	}
	return nil
}
