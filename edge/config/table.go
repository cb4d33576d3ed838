package config

import (
	"fmt"
	"slices"

	"github.com/penstock-edge/penstock/edge/config/suggest"
)

// Table is one table of the file: a [section], an element of a [[section]], or an inline table.
//
// A key that none of its methods was asked for is an unknown key; Has and Pos alone do not count.
type Table struct {
	file *File
	node *node

	// The keys that may stand here, present or not: what to suggest for one that may not.
	keys  []string
	plans []*plan
	named bool // its keys are names that the file gives
}

// table returns the one Table of n. From then on its keys must be known.
func (f *File) table(n *node) *Table {
	if n.table == nil {
		n.table = &Table{file: f, node: n}
	}
	return n.table
}

// emptyTable stands for a table that is not there: its place is that of the table it would be in.
func (f *File) emptyTable(key string, up *node) *Table {
	return f.table(&node{key: key, up: up, kind: tableKind, keyAt: up.at, at: up.at})
}

// claim returns the value of key, nil when it is absent, and notes that the key is known.
func (t *Table) claim(key string) *node {
	t.file.reading = t.node
	t.keys = append(t.keys, key)
	n := t.node.get(key)
	if n != nil {
		n.claimed = true
	}
	return n
}

func (t *Table) knownKeys() []string {
	known := slices.Clone(t.keys)
	for _, p := range t.plans {
		for i := range p.fields {
			known = append(known, p.fields[i].key)
		}
	}
	slices.Sort(known)
	return slices.Compact(known)
}

// Path returns the full name of the table as errors show it: "pool.users.tls", "route[3]" for the third
// [[route]], "" for the root.
func (t *Table) Path() string {
	return t.node.path()
}

// Name returns the last key of the table's path: "users" for [pool.users].
func (t *Table) Name() string {
	return t.node.key
}

// Has reports whether the key is in the table. It does not claim the key.
func (t *Table) Has(key string) bool {
	return t.node.get(key) != nil
}

// Keys returns the keys of the table in the order of the file. It does not claim them.
func (t *Table) Keys() []string {
	keys := make([]string, len(t.node.kids))
	for i, kid := range t.node.kids {
		keys[i] = kid.key
	}
	return keys
}

// Child returns the table under key, nil when there is none. It claims the key, and records an error when
// its value is not a table.
func (t *Table) Child(key string) *Table {
	n := t.claim(key)
	if n == nil {
		return nil
	}
	return t.file.asTable(n)
}

func (f *File) asTable(n *node) *Table {
	if n.kind == tableKind {
		return f.table(n)
	}
	f.wrong(n, "", "must be a table, is "+n.describe())
	return nil
}

// Children returns the named tables under key in the order of the file: for "pool" those of [pool.NAME].
// It claims the key and all names, and records an error for a name that is not [a-z0-9][a-z0-9_-]* and for
// a value that is not a table.
func (t *Table) Children(key string) []*Table {
	parent := t.Child(key)
	if parent == nil {
		return nil
	}
	parent.named = true
	tables := make([]*Table, 0, len(parent.node.kids))
	for _, n := range parent.node.kids {
		n.claimed = true
		if !IsName(n.key) {
			t.file.report(n.keyAt, n.path(), "", badName)
		}
		if child := t.file.asTable(n); child != nil {
			tables = append(tables, child)
		}
	}
	return tables
}

const badName = "a name has lower-case letters, digits, - and _ only, and begins with a letter or digit"

// IsName reports whether s may name a pool, a route, a listener or a policy: [a-z0-9][a-z0-9_-]*.
func IsName(s string) bool {
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		case (c == '-' || c == '_') && i > 0:
		default:
			return false
		}
	}
	return s != ""
}

// List returns the tables of the array under key, be it written as [[key]] or as a list of inline tables.
// It claims the key, and records an error for everything in it that is not a table.
func (t *Table) List(key string) []*Table {
	n := t.claim(key)
	if n == nil || !t.file.isTableList(n) {
		return nil
	}
	tables := make([]*Table, 0, len(n.kids))
	for _, kid := range n.kids {
		if table := t.file.asTable(kid); table != nil {
			tables = append(tables, table)
		}
	}
	return tables
}

func (f *File) isTableList(n *node) bool {
	switch n.kind {
	case listKind:
		return true
	case tableKind:
		f.wrong(n, "", "must be a list of tables: write [["+n.header()+"]]")
	default:
		f.wrong(n, "", "must be a list of tables, is "+n.describe())
	}
	return false
}

// Value returns the value of key as it stands in the file, false when the key is absent. It claims the key.
func (t *Table) Value(key string) (Value, bool) {
	n := t.claim(key)
	return Value{t.file, n}, n != nil
}

// Missing records that key must be there and is not; hint says what to write. A misspelt key that was
// probably meant takes its place.
func (t *Table) Missing(key, hint string) {
	t.report(key, isRequired+": "+hint)
}

// Errorf records a mistake in the value of key, at the place of the key, or at the head of the table when
// the key is absent or "". It is dropped when the value itself has already been reported as wrong.
func (t *Table) Errorf(key, format string, args ...any) {
	at, path := t.node.at, t.Path()
	if key != "" {
		path = joinKey(path, key)
	}
	if n := t.node.get(key); n != nil {
		if n.bad {
			return
		}
		at, path = n.keyAt, n.path()
	}
	t.file.report(at, path, "", fmt.Sprintf(format, args...))
}

// Warnf records something about the value of key that is allowed and may do harm, at the place of the key.
func (t *Table) Warnf(key, format string, args ...any) {
	at, path := t.node.at, joinKey(t.Path(), key)
	if n := t.node.get(key); n != nil {
		at, path = n.keyAt, n.path()
	}
	line, col := t.file.place(at)
	t.file.warnings = append(t.file.warnings, Error{File: t.file.Name, Line: line, Col: col, Key: path,
		Message: t.file.Hide(fmt.Sprintf(format, args...))})
}

// Unknown records that the value of key refers to something that is not there: no pool named "usrs". The
// nearest name of known is suggested, and all are listed unless they are many. In a list the place is that of
// the element that equals got.
func (t *Table) Unknown(key, what, got string, known []string) {
	before := len(t.file.errs)
	t.Mistake(key, got, suggest.Nearest(got, known), fmt.Sprintf("no %s named %q", what, got))
	if errs := t.file.errs; len(errs) > before && len(known) <= mostListed {
		errs[before].Known = slices.Clone(known)
	}
}

// mostListed is how many names an error lists at most.
const mostListed = 12

// Mistake records a mistake at the place of the string got in the value of key, be it the value itself or an
// element of it. What was probably meant may be "". It is dropped when the value has already been reported.
func (t *Table) Mistake(key, got, meant, message string) {
	if t.node.bad {
		return
	}
	at, path := t.node.at, joinKey(t.Path(), key)
	if n := t.node.get(key); n != nil {
		n = n.find(got)
		if n.bad {
			return
		}
		at, path = n.at, n.path()
	}
	t.file.report(at, path, meant, message)
}

// report records a mistake about a key that is not there, unless one in the whole table has been reported.
func (t *Table) report(key, message string) {
	if !t.node.bad {
		t.file.report(t.node.at, joinKey(t.Path(), key), "", message)
	}
}

// find returns the string text in n, a list or table, and n itself when it is not in there.
func (n *node) find(text string) *node {
	for _, kid := range n.kids {
		if found := kid.find(text); found.value == text {
			return found
		}
	}
	return n
}

// Pos returns the line and column of a key, both from 1, columns in bytes; those of the head of the table
// when the key is absent.
func (t *Table) Pos(key string) (line, col int) {
	if n := t.node.get(key); n != nil {
		return t.file.place(n.keyAt)
	}
	return t.file.place(t.node.at)
}
