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
	Section  string // "pool.users.tls", "route"; "" for the top
	Name     string
	Type     string // "duration", "list of strings", …
	Default  string // as it is written; "" also when there is none
	Required bool
	Enum     []string // the values allowed; nil: any
}

// Known returns the keys that the readers of the file's tables know, be they in the file or not, in order of
// sections and names; the file must have been built. A list of tables is one section.
func (f *File) Known() []Key {
	found := map[[2]string]Key{}
	f.known(f.Root.node, found)
	var all []Key
	for _, k := range found {
		all = append(all, k)
	}
	slices.SortFunc(all, func(a, b Key) int {
		return cmp.Or(cmp.Compare(a.Section, b.Section), cmp.Compare(a.Name, b.Name))
	})
	return all
}

func (f *File) known(n *node, found map[[2]string]Key) {
	if t := n.table; t != nil {
		section := n.header()
		for _, name := range t.knownKeys() {
			id := [2]string{section, name}
			k, ok := found[id]
			if !ok {
				k = Key{Section: section, Name: name}
			}
			t.describeKey(&k)
			found[id] = k
		}
	}
	for _, kid := range n.kids {
		f.known(kid, found)
	}
}

// describeKey fills in what the table's plans say of a key, else what its value shows.
func (t *Table) describeKey(k *Key) {
	for _, p := range t.plans {
		for i := range p.fields {
			if fd := &p.fields[i]; fd.key == k.Name {
				k.Type, k.Required, k.Enum = typeName(fd.of), fd.required, fd.rule.enum
				k.Default = fd.text
				return
			}
		}
	}
	if n := t.node.get(k.Name); n != nil && k.Type == "" {
		k.Type = n.typeName()
	}
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

// typeName is what the type of a key is called.
func typeName(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[time.Duration]():
		return "duration"
	case reflect.TypeFor[Size]():
		return "size"
	case reflect.TypeFor[ByteRate]():
		return "byte rate"
	case reflect.TypeFor[Rate]():
		return "rate"
	case reflect.TypeFor[Secret]():
		return "secret"
	case reflect.TypeFor[netip.Prefix]():
		return "network"
	case reflect.TypeFor[netip.Addr]():
		return "address"
	case reflect.TypeFor[*regexp.Regexp]():
		return "pattern"
	case reflect.TypeFor[time.Time]():
		return "date"
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
