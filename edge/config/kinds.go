package config

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/penstock-edge/penstock/edge/config/suggest"
)

func (f *File) setString(n *node, into *string, r *rule) {
	text, ok := n.value.(string)
	switch {
	case n.bad:
	case !ok:
		f.wrong(n, "", "must be a string, is "+n.describe())
	case r.enum != nil && !slices.Contains(r.enum, text):
		f.wrong(n, suggest.Nearest(text, r.enum), "must be "+choices(r.enum)+", is "+shorten(text))
	default:
		*into = text
	}
}

// setNamedString decodes n into a v of a string type that has a name.
func (f *File) setNamedString(n *node, v reflect.Value, r *rule) {
	text := v.String()
	f.setString(n, &text, r)
	v.SetString(text)
}

// choices returns "a", "b" or "c".
func choices(enum []string) string {
	quoted := make([]string, len(enum))
	for i, s := range enum {
		quoted[i] = strconv.Quote(s)
	}
	last := len(quoted) - 1
	if last == 0 {
		return quoted[0]
	}
	return strings.Join(quoted[:last], ", ") + " or " + quoted[last]
}

func (f *File) setInt(n *node, v reflect.Value, r *rule) {
	x, ok := n.value.(int64)
	if !ok {
		f.wrong(n, "", "must be a whole number, is "+n.describe())
		return
	}
	lo, hi := intBounds(v.Type())
	r = &rule{min: r.min, max: r.max}
	if r.min == "" && lo != math.MinInt64 {
		r.min = strconv.FormatInt(lo, 10)
	}
	if r.max == "" && hi != math.MaxInt64 {
		r.max = strconv.FormatInt(hi, 10)
	}
	if r.min != "" && x < boundInt(r.min) || r.max != "" && x > boundInt(r.max) {
		f.wrong(n, "", r.bounds()+", is "+strconv.FormatInt(x, 10))
		return
	}
	if v.CanInt() {
		v.SetInt(x)
	} else {
		v.SetUint(uint64(x))
	}
}

// intBounds returns what of TOML's integers, which have 64 bits and a sign, fits into t.
func intBounds(t reflect.Type) (lo, hi int64) {
	switch bits := t.Bits(); t.Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return -1 << (bits - 1), 1<<(bits-1) - 1
	default:
		return 0, int64(uint64(math.MaxUint64) >> (64 - bits) & math.MaxInt64)
	}
}

func boundInt(tag string) int64 {
	n, err := strconv.ParseInt(tag, 10, 64)
	if err != nil {
		panic(fmt.Sprintf("BUG: bound %q is not a whole number", tag))
	}
	return n
}

func (f *File) setFloat(n *node, v reflect.Value, r *rule) {
	x, ok := n.value.(float64)
	if i, isInt := n.value.(int64); isInt {
		x, ok = float64(i), true
	}
	if !ok || math.IsNaN(x) || math.IsInf(x, 0) {
		f.wrong(n, "", "must be a number, is "+n.describe())
		return
	}
	if r.min != "" && x < boundFloat(r.min) || r.max != "" && x > boundFloat(r.max) {
		f.wrong(n, "", r.bounds()+", is "+strconv.FormatFloat(x, 'g', -1, 64))
		return
	}
	v.SetFloat(x)
}

func boundFloat(tag string) float64 {
	x, err := strconv.ParseFloat(tag, 64)
	if err != nil {
		panic(fmt.Sprintf("BUG: bound %q is not a number", tag))
	}
	return x
}

const wantList = `must be a list such as ["…", "…"], is `

func (f *File) setSlice(n *node, v reflect.Value, r *rule) {
	elem := v.Type().Elem()
	if elem.Kind() == reflect.Pointer && !isText(elem) {
		elem = elem.Elem()
	}
	if elem.Kind() == reflect.Struct && !isText(elem) {
		if !f.isTableList(n) {
			return
		}
	} else if n.kind != listKind {
		f.wrong(n, "", wantList+n.describe())
		return
	}
	list := reflect.MakeSlice(v.Type(), len(n.kids), len(n.kids))
	good := 0
	for _, kid := range n.kids {
		into := list.Index(good)
		f.set(kid, into, r)
		if kid.bad { // left out: its owner would take what is in it for the user's
			into.SetZero()
			continue
		}
		good++
	}
	v.Set(list.Slice(0, good))
}

// setStrings is setSlice for the usual list.
func (f *File) setStrings(n *node, into *[]string, r *rule) {
	if n.kind != listKind {
		f.wrong(n, "", wantList+n.describe())
		return
	}
	list := make([]string, 0, len(n.kids))
	for _, kid := range n.kids {
		var text string
		if f.setString(kid, &text, r); !kid.bad {
			list = append(list, text)
		}
	}
	*into = list
}

// setStringMap is setMap for the usual map.
func (f *File) setStringMap(n *node, into *map[string]string, r *rule) {
	if f.asTable(n) == nil {
		return
	}
	m := make(map[string]string, len(n.kids))
	for _, kid := range n.kids {
		kid.claimed = true
		var text string
		if f.setString(kid, &text, r); !kid.bad {
			m[kid.key] = text
		}
	}
	*into = m
}

func (f *File) setMap(n *node, v reflect.Value, r *rule) {
	t := f.asTable(n)
	if t == nil {
		return
	}
	m := reflect.MakeMapWithSize(v.Type(), len(n.kids))
	for _, kid := range n.kids {
		kid.claimed = true
		elem := reflect.New(v.Type().Elem()).Elem()
		f.set(kid, elem, r)
		if kid.bad {
			continue
		}
		m.SetMapIndex(reflect.ValueOf(kid.key).Convert(v.Type().Key()), elem)
	}
	v.Set(m)
}
