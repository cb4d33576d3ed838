package config

import (
	"strings"
	"testing"

	"github.com/BurntSushi/toml"

	"github.com/penstock-edge/penstock/edge/config/lex"
)

func TestScanPlaces(t *testing.T) {
	// f checks that the value at path has its key at the mark « and itself at the mark » of text.
	f := func(path, text string) {
		t.Helper()
		before, rest, _ := strings.Cut(text, "«")
		between, after, _ := strings.Cut(rest, "»")
		text = before + between + after
		file := Parse("x.toml", []byte(text), Options{})
		if file.broken {
			t.Fatalf("%s", file.errs)
		}
		n := lookup(file.Root.node, path)
		if n == nil {
			t.Fatalf("nothing at %s", path)
		}
		if n.keyAt != len(before) || n.at != len(before)+len(between) {
			t.Fatalf("key at %d, value at %d; want %d, %d", n.keyAt, n.at, len(before), len(before)+len(between))
		}
	}
	f("a", "«a = »1")
	f("a", "# a = 2\n\n  «a=»1 # a")
	f("a.b", "a.«b = »1")
	f("a.b", " a . «b = »1")
	f("a", "«»a.b = 1")
	f(`"a.b"`, "«\"a.b\" = »1")
	f("a", `«"\u0061" = »1`)
	f("a", "«'a' = »1")
	f("t.a", "[t]\n«a = »1")
	f("t.u.a", "[t.u]\n«a = »1")
	f("t.u.a", "[t.u]\nx = 1\n«a = »1\n[t]\na = 2")
	f("r[2].a", "[[r]]\na = 1\n[[r]]\n«a = »1\n[[q]]\na = 1")
	f("r[2].s.a", "[[r]]\n[r.s]\na = 1\n[[r]]\n[r.s]\n«a = »2")
	f("r[1].s[2].a", "[[r]]\n[[r.s]]\na = 1\n[[r.s]]\n«a = »2\n[[r]]\na = 1")
	f("l", "«l = »[1, 2]")
	f("l[2]", "l = [1, «»2]")
	f("l[2]", "l = [ # 0, 1\n 1, # ]\n «»2,\n]")
	f("l[2][1]", "l = [[1, 2], [«»3]]")
	f("l[2].a", "l = [1, {b = 1, «a = »2}]")
	f("i.a", "i = { b = 1, «a = »2 }")
	f("i.a.b", "i = { a.«b = »2 }")
	f("i.a", "i = {\n b = 1, # }\n «a = »2,\n}")
	f("b", "a = \"#\\\"\" # \"\n«b = »1")
	f("b", "a = 'x\\'\n«b = »1")
	f("b", "a = \"\"\"\nb = 0\\\"\"\"\n\"\"\"\"\"\n«b = »1")
	f("b", "a = '''\nb = 0\n'''''\n«b = »1")
	f("l[2]", "l = [\"\"\"a,\"\"\"\"\", «»2]")
	f("l[2]", "l = ['''a,''''', «»2]")
	f("b", "a = 1979-05-27 07:32:00\n«b = »1")
	f("b", "a = 1\r\n«b = »1\r\n")
}

func TestTableHeads(t *testing.T) {
	f := func(path, text, head string) {
		t.Helper()
		file := Parse("x.toml", []byte(text), Options{})
		n := lookup(file.Root.node, path)
		if n == nil || !strings.HasPrefix(text[n.at:], head) {
			t.Fatalf("%s is not at %q", path, head)
		}
	}
	f("a", "x = 1\n[a]\nb = 1", "[a]")
	f("a.b", "[a.b]\nc = 1\n[a]\nd = 1", "[a.b]")
	f("a", "[a.b]\nc = 1\n[a]\nd = 1", "[a]\n")
	f("a", "[a.b]\nc = 1\n", "a.b")
	f("a[2]", "[[a]]\nc = 1\n[[a]] # 2\n", "[[a]] # 2")
	f("a", "a = {b = 1}", "{b")
}

// lookup follows a path as errors show it.
func lookup(n *node, path string) *node {
	if n.path() == path {
		return n
	}
	for _, kid := range n.kids {
		if found := lookup(kid, path); found != nil {
			return found
		}
	}
	return nil
}

func TestByteOrderMark(t *testing.T) {
	f := Parse("x.toml", []byte("\xef\xbb\xbfa = 1\nb = 2"), Options{})
	for key, want := range map[string]int{"a": 1, "b": 2} {
		if line, col := f.Root.Pos(key); line != want || col != 1 {
			t.Errorf("%s at %d:%d", key, line, col)
		}
	}
}

func FuzzScan(f *testing.F) {
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 4096 {
			return
		}
		body := text[byteOrderMark(text):]
		scan(body) // ends, whatever the text
		values, at, msg := decode(text, body)
		if msg != "" {
			if at < 0 || at > len(body) {
				t.Fatalf("error at %d of %d", at, len(body))
			}
			return
		}
		root, clashes := scan(body)
		if len(clashes) == 0 { // of keys defined twice the parser has dropped one
			checkPlaces(t, body, root, values)
		}
	})
}

// checkPlaces checks that every key of the values has a place in the tree, where text has this key.
func checkPlaces(t *testing.T, text string, n *node, value any) {
	switch v := value.(type) {
	case map[string]any:
		for key, value := range v {
			kid := n.get(key)
			if kid == nil {
				t.Fatalf("no place for %q of %q in %q", key, n.path(), text)
			}
			if !startsWithKey(text[kid.keyAt:], key) {
				t.Fatalf("%q is not at %d in %q", key, kid.keyAt, text)
			}
			checkPlaces(t, text, kid, value)
		}
	case []map[string]any:
		for i := range v {
			checkElement(t, text, n, i, v[i])
		}
	case []any:
		for i := range v {
			checkElement(t, text, n, i, v[i])
		}
	default:
		checkScalar(t, text[n.at:], value)
	}
}

func checkElement(t *testing.T, text string, n *node, i int, value any) {
	if i >= len(n.kids) {
		t.Fatalf("no place for element %d of %q in %q", i, n.path(), text)
	}
	checkPlaces(t, text, n.kids[i], value)
}

// startsWithKey lets the parser itself read the key that text starts with.
func startsWithKey(text, key string) bool {
	if text == "" {
		return false
	}
	end := 0
	if text[0] == '"' || text[0] == '\'' {
		end = lex.SkipLineString(text, 0)
	}
	for end < len(text) && lex.IsBareKeyByte(text[end]) {
		end++
	}
	var read map[string]int
	_, err := toml.Decode(text[:end]+" = 1", &read)
	_, ok := read[key]
	return err == nil && ok && len(read) == 1
}

func checkScalar(t *testing.T, text string, value any) {
	var ok bool
	switch value.(type) {
	case string:
		ok = text[0] == '"' || text[0] == '\''
	case bool:
		ok = strings.HasPrefix(text, "true") || strings.HasPrefix(text, "false")
	default:
		ok = strings.ContainsAny(text[:1], "0123456789+-in")
	}
	if !ok {
		t.Fatalf("no %T at %q", value, text)
	}
}
