package main

import (
	"bytes"
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"
	"unicode"

	"github.com/penstock-edge/penstock/edge/config"
	"github.com/penstock-edge/penstock/edge/live"
)

// module is the path of this module.
const module = "github.com/penstock-edge/penstock"

// The reference of keys is made from the structs that the sections are decoded into: types and defaults from
// their tags, meanings from the comments of their fields. "make keys" writes it anew.
func TestReference(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "configs/full.toml"))
	if err != nil {
		t.Fatal(err)
	}
	comments := fieldComments(t)
	full, keys, unread := string(text), []key(nil), []string(nil)
	for range 3 { // what a new section has is known when the section is there
		keys = known(t, full, comments)
		full, unread = renew(full, keys)
	}
	if unread != nil {
		t.Errorf("nothing reads these lines of configs/full.toml:\n%s", strings.Join(unread, "\n"))
	}
	for _, k := range keys {
		if k.meaning == "" {
			t.Errorf("[%s] %s has no meaning: give its field a comment: %q", k.Section, k.Name, k.Sources)
		}
		if k.Type == "" {
			t.Errorf("[%s] %s has no type: give its field a type tag: %q", k.Section, k.Name, k.Sources)
		}
	}
	hold(t, "configs/full.toml", full)
	hold(t, "configs/keys.txt", listing(keys))
}

// hold compares a file of the tree with what it should be, or writes it.
func hold(t *testing.T, name, want string) {
	t.Helper()
	file := filepath.Join(root, name)
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) == want {
		return
	}
	gots, wants := strings.Split(string(got), "\n"), strings.Split(want, "\n")
	at := 0
	for at < min(len(gots), len(wants))-1 && gots[at] == wants[at] {
		at++
	}
	t.Errorf("%s:%d is not what the code says: make keys\n  %s\nwant\n  %s", name, at+1, gots[at], wants[at])
}

// key is a key of the file with its meaning.
type key struct {
	config.Key
	meaning string
}

// known returns the keys of all sections of a full configuration. What is wrong with it is no matter: most
// machines do not have its files.
func known(t *testing.T, text string, comments map[string]string) (all []key) {
	t.Helper()
	inUse := []byte(commented.ReplaceAllString(text, "$1"))
	for _, k := range live.Known("full.toml", inUse, dryFeatures()) {
		if k.Section == "" {
			continue // a section, whose keys follow
		}
		one := key{Key: k}
		for _, source := range k.Sources {
			one.meaning = cmp.Or(one.meaning, comments[source])
		}
		all = append(all, one)
	}
	return all
}

// listing returns the keys as `penstock keys` prints them.
func listing(keys []key) string {
	var text bytes.Buffer
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	last := ""
	for _, k := range keys {
		if k.Section != last {
			last = k.Section
			fmt.Fprintf(w, "\n[%s]\n", last)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", k.Name, k.Type, k.Default, k.meaning)
	}
	_ = w.Flush() // into memory
	return strings.TrimPrefix(text.String(), "\n")
}

// comment returns what stands behind a key in configs/full.toml.
func (k *key) comment() string {
	if rest, ok := strings.CutPrefix(k.meaning, k.Default); ok && (rest == "" || rest[0] == ':' || rest[0] == ',') {
		return k.meaning // it begins with the default
	}
	return k.Default + "; " + k.meaning
}

var (
	commented = regexp.MustCompile(`(?m)^#(\S)`)
	header    = regexp.MustCompile(`^#?\[\[?([^\]]+)\]`)
	setting   = regexp.MustCompile(`^(#?([a-z][a-z0-9_]*) = .*?)(?: +# .*)?$`)
	element   = regexp.MustCompile(`^(  \{.*[{,] ([a-z][a-z0-9_]*) = [^=#]*?)(?: +# .*)?$`) // by its last key
)

// page is configs/full.toml while it is written anew.
type page struct {
	lines   []string
	keys    map[[2]string]key  // by section and name
	seen    map[[2]string]bool // keys that have a line or a section
	ends    map[string]int     // of sections: the number of lines up to their last key
	headers map[string]string  // of sections: the first header, without brackets
	unread  []string           // lines that nothing reads
}

// renew returns text with the comments that the keys ask for, each where its key stands first, and the lines of
// keys that nothing reads. Keys without a line are added to their section, and sections to the end; values and
// all other lines are kept.
func renew(text string, keys []key) (renewed string, unread []string) {
	p := &page{keys: map[[2]string]key{}, seen: map[[2]string]bool{}, ends: map[string]int{},
		headers: map[string]string{}}
	for _, k := range keys {
		p.keys[[2]string{k.Section, k.Name}] = k
	}
	in, list := "", ""
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if m := header.FindStringSubmatch(line); m != nil {
			in = p.enter(m[1])
			p.add(line, in)
		} else if m := setting.FindStringSubmatch(line); m != nil {
			list = in + "." + m[2]
			p.add(p.explained(m[1], 39, [2]string{in, m[2]}), in)
		} else if m := element.FindStringSubmatch(line); m != nil {
			p.add(p.explained(m[1], 50, [2]string{list, m[2]}), in)
		} else {
			p.lines = append(p.lines, line)
		}
	}
	for _, k := range keys {
		p.addMissing(&k)
	}
	return strings.Join(p.lines, "\n") + "\n", p.unread
}

// enter returns the section that a header begins: with NAME for what the file names.
func (p *page) enter(name string) string {
	in := ""
	for part := range strings.SplitSeq(name, ".") {
		p.seen[[2]string{in, part}] = true
		next := strings.TrimPrefix(in+"."+part, ".")
		if p.has(in + ".NAME") {
			next = in + ".NAME"
		}
		in = next
	}
	if p.headers[in] == "" {
		p.headers[in] = name
	}
	return in
}

// has reports whether there is a section with this name, or in it.
func (p *page) has(section string) bool {
	for id := range p.keys {
		if id[0] == section || strings.HasPrefix(id[0], section+".") {
			return true
		}
	}
	return false
}

// add appends a line of a section.
func (p *page) add(line, section string) {
	p.lines = append(p.lines, line)
	p.ends[section] = len(p.lines)
}

// explained returns a line that sets a key, with its comment if the key has none yet.
func (p *page) explained(line string, column int, id [2]string) string {
	k, ok := p.keys[id]
	if !ok {
		p.unread = append(p.unread, line)
	}
	if !ok || p.seen[id] {
		return line
	}
	p.seen[id] = true
	if len(line) >= column {
		column = len(line) + 3
	}
	return fmt.Sprintf("%-*s# %s", column, line, k.comment())
}

// addMissing adds a line for a key that has none, or a header for a table. The keys of inline tables need none.
func (p *page) addMissing(k *key) {
	at, id := p.ends[k.Section], [2]string{k.Section, k.Name}
	switch {
	case p.seen[id] || at == 0:
	case k.Type == "table":
		p.lines = append(p.lines, "", "["+p.headers[k.Section]+"."+k.Name+"]")
	case k.Type == "list of tables":
		p.lines = append(p.lines, "", "[["+p.headers[k.Section]+"."+k.Name+"]]")
	default:
		p.lines = slices.Insert(p.lines, at, p.explained("#"+k.Name+" = "+k.value(), 39, id))
		for section, end := range p.ends {
			if end >= at {
				p.ends[section]++
			}
		}
	}
}

// value returns a value that the key may have, its default where that is one.
func (k *key) value() string {
	text := ""
	if k.Tagged {
		text = k.Default
	}
	switch {
	case k.Type == "boolean", k.Type == "integer", k.Type == "number":
		return cmp.Or(text, zeros[k.Type])
	case strings.HasPrefix(k.Type, "list"):
		return "[]"
	}
	return strconv.Quote(text)
}

var zeros = map[string]string{"boolean": "false", "integer": "0", "number": "0"}

// fieldComments returns the first paragraph of the comment of each field of a struct that has a tag, by the
// names of config.Key.Sources.
func fieldComments(t *testing.T) map[string]string {
	t.Helper()
	comments := map[string]string{}
	same := map[string]string{} // types that are declared as others
	eachFile(t, ".go", func(file string, text []byte) {
		if strings.HasSuffix(file, "_test.go") {
			return
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, text, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		of := "" // the type whose struct comes next
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.TypeSpec:
				of = ""
				switch pkg := path.Join(module, path.Dir(file)) + "."; as := n.Type.(type) {
				case *ast.StructType:
					of = pkg + n.Name.Name
				case *ast.Ident:
					same[pkg+n.Name.Name+"."] = pkg + as.Name + "."
				}
			case *ast.StructType:
				for _, field := range n.Fields.List {
					addComment(comments, of, field)
				}
				of = ""
			}
			return true
		})
	})
	for source, comment := range maps.Clone(comments) {
		for name, as := range same {
			if field, ok := strings.CutPrefix(source, as); ok {
				comments[name+field] = comment
			}
		}
	}
	return comments
}

// addComment adds the comment of a field of the struct type named, "" for one without a name.
func addComment(comments map[string]string, of string, field *ast.Field) {
	if field.Tag == nil || len(field.Names) == 0 {
		return
	}
	comment := field.Doc
	if comment == nil {
		comment = field.Comment
	}
	source := of + "." + field.Names[0].Name
	if of == "" {
		source, _ = strconv.Unquote(field.Tag.Value) // it has been parsed
	}
	comments[source] = phrase(comment.Text())
}

// phrase returns the first paragraph of a comment as it stands behind a default.
func phrase(comment string) string {
	text, _, _ := strings.Cut(comment, "\n\n")
	text = strings.TrimSuffix(strings.Join(strings.Fields(text), " "), ".")
	if len(text) > 1 && unicode.IsLower(rune(text[1])) || strings.HasPrefix(text, "A ") {
		text = strings.ToLower(text[:1]) + text[1:]
	}
	return text
}

// What the file does not have yet is added, and what nothing reads is told.
func TestRenew(t *testing.T) {
	keys := []key{
		{config.Key{Section: "a", Name: "x", Type: "duration", Default: "1s", Tagged: true}, "how long"},
		{config.Key{Section: "a", Name: "y", Type: "table", Default: "none"}, "a part"},
		{config.Key{Section: "a", Name: "z", Type: "list of tables", Default: "[]"}, "several"},
		{config.Key{Section: "b.NAME", Name: "n", Type: "integer", Default: "0"}, "0: none"},
	}
	const text = "# A.\n[a]\nw = 1\n\n[b.one]\nn = 3 # of old\n[b.two]\nn = 4\n"
	const want = "# A.\n[a]\nw = 1\n#x = \"1s\" # 1s; how long\n\n[b.one]\nn = 3 # 0: none\n[b.two]\nn = 4\n\n[a.y]\n\n[[a.z]]\n"
	got, unread := renew(text, keys)
	if got = regexp.MustCompile(" +").ReplaceAllString(got, " "); got != want || !slices.Equal(unread, []string{"w = 1"}) {
		t.Errorf("got\n%s\nwant\n%s\nunread %q", got, want, unread)
	}
}

var (
	defaults = regexp.MustCompile(`^\| *key *\|( *where *\|)? *default *\|`)
	row      = regexp.MustCompile("^\\| (`[a-z][^|]*) \\| ([^|]*) \\| ([^|]*) \\|")
	name     = regexp.MustCompile("`[a-z_.\\[\\]]*?([a-z][a-z0-9_]*)`")
	plain    = strings.NewReplacer("`", "", `"`, "", "[", "", "]", "", " ", "", ",", "")
)

// The tables of the READMEs have the defaults of the code. Of several keys of one name the folder's own counts.
func TestReadmeDefaults(t *testing.T) {
	full, err := os.ReadFile(filepath.Join(root, "configs/full.toml"))
	if err != nil {
		t.Fatal(err)
	}
	keys, rows := known(t, string(full), nil), 0
	eachFile(t, ".md", func(file string, text []byte) {
		in := 0 // the column of defaults; 0: none
		for line := range strings.Lines(string(text)) {
			if m := defaults.FindStringSubmatch(line); m != nil {
				in = 2 + min(len(m[1]), 1)
			} else if !strings.HasPrefix(line, "|") {
				in = 0
			}
			m := row.FindStringSubmatch(line)
			if in == 0 || m == nil {
				continue
			}
			for _, n := range name.FindAllStringSubmatch(m[1], -1) {
				if want := defaultsOf(keys, path.Dir(file), n[1]); want != nil {
					rows++
					if !slices.ContainsFunc(want, func(d string) bool { return strings.Contains(plain.Replace(m[in]), d) }) {
						t.Errorf("%s: the default of %s is one of %q, not %s", file, n[1], want, m[in])
					}
				}
			}
		}
	})
	if rows < 100 {
		t.Errorf("only %d defaults found", rows)
	}
}

// defaultsOf returns the default tags of the keys of a name, as plain makes them: those of the structs of the
// package in folder, else of all. nil: one of them has none, so that words tell.
func defaultsOf(keys []key, folder, name string) (own []string) {
	var all []string
	for _, k := range keys {
		if k.Name != name {
			continue
		}
		if !k.Tagged {
			return nil
		}
		all = append(all, plain.Replace(k.Default))
		if strings.HasPrefix(k.Sources[0], path.Join(module, folder)+".") {
			own = append(own, plain.Replace(k.Default))
		}
	}
	if own == nil {
		return all
	}
	return own
}

// eachFile calls f for each file of the tree whose name ends in ext.
func eachFile(t *testing.T, ext string, f func(name string, text []byte)) {
	t.Helper()
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == ".git" || d.Name() == "bin" || d.Name() == "testdata") {
			return filepath.SkipDir
		}
		if filepath.Ext(file) != ext {
			return nil
		}
		text, err := os.ReadFile(file)
		if err == nil {
			rel, _ := filepath.Rel(root, file) // both are relative
			f(filepath.ToSlash(rel), text)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
