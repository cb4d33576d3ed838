package config

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/penstock-edge/penstock/edge/config/lex"
)

type kind uint8

const (
	scalarKind kind = iota
	tableKind
	listKind
)

// node is one value of the file: where it is and, once filled, what it is.
type node struct {
	key  string
	up   *node // the table or list around it; nil for the root
	nth  int   // place in a list, from 1
	kind kind
	from origin // for the scanner

	keyAt int // byte offset of its key; for an element of [[x]] that of the x; for other elements = at
	at    int // byte offset of its value; for a table with a header that of the [

	kids  []*node          // of a list in order, of a table in the order of their keys' places
	byKey map[string]*node // of a table with more than fewKeys

	value   any    // of a scalar: string, int64, float64, bool, time.Time
	table   *Table // of a table that has been asked for; nil: its keys are not checked
	claimed bool   // the key is known
	bad     bool   // a mistake in the value has been reported: further ones would be its echo
}

// fewKeys is how many keys a table may have to be searched from end to end.
const fewKeys = 12

// get returns the value of a key of a table, nil when there is none.
func (n *node) get(key string) *node {
	if n.byKey != nil {
		return n.byKey[key]
	}
	if n.kind != tableKind {
		return nil
	}
	for _, kid := range n.kids {
		if kid.key == key {
			return kid
		}
	}
	return nil
}

// add appends a kid under a key that the table does not have yet.
func (n *node) add(kid *node) {
	kid.up = n
	n.kids = append(n.kids, kid)
	switch {
	case n.byKey != nil:
		n.byKey[kid.key] = kid
	case len(n.kids) > fewKeys:
		n.byKey = make(map[string]*node, 2*len(n.kids))
		for _, kid := range n.kids {
			n.byKey[kid.key] = kid
		}
	}
}

// push appends an element to a list.
func (n *node) push(kid *node) {
	kid.key, kid.up, kid.nth = n.key, n, len(n.kids)+1
	n.kids = append(n.kids, kid)
}

// fill gives the tree its values, as the parser has read them. Where tree and values differ the values win:
// what has no place of its own gets that of the value around it.
func (n *node) fill(value any) {
	switch v := value.(type) {
	case map[string]any:
		n.become(tableKind)
		n.fillTable(v)
	case []map[string]any:
		elems := make([]any, len(v))
		for i := range v {
			elems[i] = v[i]
		}
		n.fillList(elems)
	case []any:
		n.fillList(v)
	default:
		n.become(scalarKind)
		n.value = v
	}
}

func (n *node) become(k kind) {
	if n.kind != k {
		n.kind, n.kids, n.byKey = k, nil, nil
	}
}

func (n *node) fillTable(values map[string]any) {
	for key, value := range values {
		kid := n.get(key)
		if kid == nil {
			kid = &node{key: key, keyAt: n.keyAt, at: n.at}
			n.add(kid)
		}
		kid.fill(value)
	}
	if len(n.kids) > len(values) {
		n.drop(values)
	}
	if !slices.IsSortedFunc(n.kids, byPlace) {
		slices.SortFunc(n.kids, byPlace)
	}
}

func byPlace(a, b *node) int {
	if a.keyAt != b.keyAt {
		return cmp.Compare(a.keyAt, b.keyAt)
	}
	return cmp.Compare(a.key, b.key)
}

// drop removes the keys that have no value.
func (n *node) drop(values map[string]any) {
	n.kids = slices.DeleteFunc(n.kids, func(k *node) bool {
		_, ok := values[k.key]
		if !ok {
			delete(n.byKey, k.key)
		}
		return !ok
	})
}

func (n *node) fillList(values []any) {
	n.become(listKind)
	for len(n.kids) < len(values) {
		n.push(&node{keyAt: n.at, at: n.at})
	}
	n.kids = n.kids[:len(values)]
	for i, value := range values {
		n.kids[i].fill(value)
	}
}

// path returns the full name of the value as errors show it: pool.users.targets[2].
func (n *node) path() string {
	if n == nil || n.up == nil {
		return ""
	}
	if n.up.kind == listKind {
		return n.up.path() + "[" + strconv.Itoa(n.nth) + "]"
	}
	return joinKey(n.up.path(), n.key)
}

// header returns the keys that lead to the value without places in lists, as they stand in a [header].
func (n *node) header() string {
	switch {
	case n.up == nil:
		return ""
	case n.up.kind == listKind:
		return n.up.header()
	}
	return joinKey(n.up.header(), n.key)
}

func joinKey(path, key string) string {
	if !isBareKey(key) {
		key = strconv.Quote(key)
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

func isBareKey(key string) bool {
	for i := range len(key) {
		if !lex.IsBareKeyByte(key[i]) {
			return false
		}
	}
	return key != ""
}

// describe describes the value, for the end of "must be …, is …".
func (n *node) describe() string {
	switch n.kind {
	case tableKind:
		return "a table"
	case listKind:
		return "a list"
	}
	switch v := n.value.(type) {
	case string:
		return "the string " + shorten(v)
	case int64:
		return "the integer " + strconv.FormatInt(v, 10)
	case float64:
		return "the float " + strconv.FormatFloat(v, 'g', -1, 64)
	case bool:
		return "the boolean " + strconv.FormatBool(v)
	case time.Time:
		return "a date"
	}
	panic(fmt.Sprintf("BUG: a value of type %T in a TOML file", n.value))
}

// shorten quotes a string of the file and leaves out what makes a message too long to read.
func shorten(s string) string {
	const most = 60 // bytes
	if len(s) <= most {
		return strconv.Quote(s)
	}
	cut := most
	for cut > 0 && s[cut]&0xC0 == 0x80 { // not within a rune
		cut--
	}
	return strconv.Quote(s[:cut]) + "…"
}
