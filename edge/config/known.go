package config

import (
	"cmp"
	"net/netip"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Key is a key of the file that its reader knows.
type Key struct {
	Section  string // "pool.NAME.tls", "route"; "" for the top
	Name     string
	Type     string // "duration", "list of strings", …; "" when nothing tells
	Default  string // what holds when the key is absent: as it is written, or in words
	Tagged   bool   // Default is that of a default tag
	Required bool
	Enum     []string // the values allowed; nil: any

	// Sources are the struct fields that the key was decoded into, the first one first, as
	// "import/path.Type.Field"; of a type without a name, the field's whole tag.
	Sources []string
}

// Known returns the keys that the readers of the file's tables know, be they in the file or not, in order of
// sections and names; the file must have been built. A list of tables is one section, and so are the named
// tables of one kind: [pool.a] and [pool.b] are pool.NAME.
func (f *File) Known() []Key {
	found := map[[2]string]*Key{}
	f.known(f.Root.node, found)
	var all []Key
	for _, k := range found {
		k.Default = cmp.Or(k.Default, zeroName(k.Type))
		all = append(all, *k)
	}
	slices.SortFunc(all, func(a, b Key) int {
		return cmp.Or(cmp.Compare(a.Section, b.Section), cmp.Compare(a.Name, b.Name))
	})
	return all
}

func (f *File) known(n *node, found map[[2]string]*Key) {
	if t := n.table; t != nil && !t.named {
		section := n.section()
		for _, name := range t.knownKeys() {
			id := [2]string{section, name}
			if found[id] == nil {
				found[id] = &Key{Section: section, Name: name}
			}
			t.describeKey(found[id])
		}
	}
	for _, kid := range n.kids {
		f.known(kid, found)
	}
}

// section returns the keys that lead to a table, as header does, with NAME for what the file names.
func (n *node) section() string {
	switch {
	case n.up == nil:
		return ""
	case n.up.kind == listKind:
		return n.up.section()
	case n.up.table != nil && n.up.table.named:
		return n.up.section() + ".NAME"
	}
	return joinKey(n.up.section(), n.key)
}

// describeKey fills in what the table's plans say of a key, else what its value shows.
func (t *Table) describeKey(k *Key) {
	for _, p := range t.plans {
		for _, list := range [][]field{p.fields, p.read} {
			for i := range list {
				if list[i].key == k.Name {
					k.add(&list[i])
				}
			}
		}
	}
	if n := t.node.get(k.Name); n != nil && k.Type == "" {
		k.Type = n.typeName()
	}
}

// add adds what a field describes. Several structs may decode one key: each adds what it knows.
func (k *Key) add(fd *field) {
	if slices.Contains(k.Sources, fd.source) {
		return
	}
	k.Sources = append(k.Sources, fd.source)
	k.Required = k.Required || fd.required
	if fd.typ != "" || k.Type == "" {
		k.Type = cmp.Or(fd.typ, typeName(fd.of))
	}
	if k.Enum == nil {
		k.Enum = fd.rule.enum
	}
	switch {
	case fd.unset != "":
		k.Default = fd.unset
	case fd.required:
		k.Default = "required"
	case fd.text != "":
		k.Default, k.Tagged = fd.text, true
	}
}

// zeroName is what a key without a default of its own is when it is absent.
func zeroName(typ string) string {
	switch {
	case typ == "boolean":
		return "false"
	case typ == "integer", typ == "number":
		return "0"
	case typ == "string":
		return `""`
	case strings.HasPrefix(typ, "list"):
		return "[]"
	}
	return "none"
}

func (n *node) typeName() string {
	switch n.kind {
	case tableKind:
		return "table"
	case listKind:
		return "list"
	}
	return typeName(reflect.TypeOf(n.value))
}

// typeNames are what the types with a notation of their own are called.
var typeNames = map[reflect.Type]string{
	reflect.TypeFor[time.Duration]():  "duration",
	reflect.TypeFor[Size]():           "size",
	reflect.TypeFor[ByteRate]():       "byte rate",
	reflect.TypeFor[Rate]():           "rate",
	reflect.TypeFor[Secret]():         "secret",
	reflect.TypeFor[netip.Prefix]():   "network",
	reflect.TypeFor[netip.Addr]():     "address",
	reflect.TypeFor[*regexp.Regexp](): "pattern",
	reflect.TypeFor[time.Time]():      "date",
}

// typeName is what the type of a key is called.
func typeName(t reflect.Type) string {
	if name := typeNames[t]; name != "" {
		return name
	}
	switch kind := t.Kind(); {
	case isUnmarshaler(t):
		return "string or table"
	case kind == reflect.Bool:
		return "boolean"
	case kind >= reflect.Int && kind <= reflect.Uint64:
		return "integer"
	case kind == reflect.Float32 || kind == reflect.Float64:
		return "number"
	case kind == reflect.Slice:
		return "list of " + strings.TrimSuffix(typeName(t.Elem()), "s") + "s"
	case kind == reflect.Map, kind == reflect.Struct:
		return "table"
	case kind == reflect.Pointer:
		return typeName(t.Elem())
	}
	return "string"
}
