package config

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

// plan is how the fields of a struct type are decoded.
type plan struct {
	fields []field
	read   []field // keys that the owner reads with Table.Value: they are not decoded
	tables [][]int // indices of *Table fields tagged "-": they get the table itself
}

type field struct {
	key      string
	index    []int
	of       reflect.Type
	text     string        // of the default tag
	fallback *node         // of the default tag, nil when there is none
	preset   reflect.Value // what fallback stands for, if fields may share it; else not valid
	required bool
	rule     rule

	source string // see Key.Sources
	unset  string // of the unset tag
	typ    string // of the type tag
}

// rule is what the tags of a field ask of its value, or of each element of it.
type rule struct {
	min, max string // "": no bound
	enum     []string
}

// Decode decodes the table into the struct that into points to. It claims the keys of all fields and records
// an error for every value of a wrong type, out of range or not in its enum, and for every absent key that is
// required; the field then has its default. These tags are read:
//
//	toml:"name"       the key; every exported field needs one; "-" leaves the field alone, except for
//	                  a *Table, which is set to the table itself
//	default:"1s"      what the field is when the key is absent, written as in the file; of lists a,b,c
//	min:"1" max:"9"   bounds of numbers, durations, sizes and byte rates, written as in the file
//	enum:"a|b|c"      the strings allowed
//	required:"true"   the key must be there, and neither an empty string nor an empty list
//
// Others are for the reference alone, which takes its text from the first paragraph of a field's comment:
//
//	unset:"…"         what holds when the key is absent, where no default tag can say so
//	type:"…"          what the type is called
//	reads:"name"      beside toml:"-": a key that the owner reads with Table.Value
//
// Fields are of type string, bool, any int, uint or float, time.Duration, Size, ByteRate, Rate, Secret,
// netip.Prefix, netip.Addr, *regexp.Regexp; an Unmarshaler; a struct (a sub-table, with its defaults when it
// is absent) or a pointer to one (nil when absent); a slice of these; a map from strings to these. Fields of
// an embedded struct count as fields of the struct around it.
func (t *Table) Decode(into any) {
	v := reflect.ValueOf(into)
	if v.Kind() != reflect.Pointer || v.IsNil() || v.Elem().Kind() != reflect.Struct {
		panic(fmt.Sprintf("BUG: Decode into %T: it takes a pointer to a struct", into))
	}
	t.decode(v.Elem())
}

func (t *Table) decode(v reflect.Value) {
	p := t.file.plan(v.Type())
	t.plans = append(t.plans, p)
	for _, index := range p.tables {
		v.FieldByIndex(index).Set(reflect.ValueOf(t))
	}
	for i := range p.fields {
		t.decodeField(&p.fields[i], v.FieldByIndex(p.fields[i].index))
	}
}

func (t *Table) decodeField(fd *field, v reflect.Value) {
	t.file.reading = t.node
	switch {
	case fd.preset.IsValid():
		v.Set(fd.preset)
	case fd.fallback != nil:
		t.file.set(fd.fallback, v, &fd.rule)
	}
	n := t.node.get(fd.key)
	switch {
	case n == nil:
		if fd.required {
			t.report(fd.key, isRequired)
		}
		if v.Kind() == reflect.Struct && isTable(v) {
			t.file.emptyTable(fd.key, t.node).decode(v)
		}
		return
	case fd.required && (n.value == "" || n.kind == listKind && len(n.kids) == 0):
		t.file.wrong(n, "", "must not be empty")
	}
	n.claimed = true
	t.file.set(n, v, &fd.rule)
	if n.kind != tableKind && v.Kind() == reflect.Struct && isTable(v) {
		t.file.emptyTable(fd.key, t.node).decode(v) // set has reported that it is none: readers find its defaults
	}
}

// plan returns the plan of a struct type. It panics on tags that nobody could decode by: these are mistakes
// in the program, and the first test that decodes the struct finds them.
func (f *File) plan(t reflect.Type) *plan {
	p := f.plans[t]
	if p == nil {
		p = new(plan)
		f.addFields(p, t, nil)
		f.plans[t] = p
	}
	return p
}

func (f *File) addFields(p *plan, t reflect.Type, outer []int) {
	for i := range t.NumField() {
		sf := t.Field(i)
		index := append(outer[:len(outer):len(outer)], i)
		key, tagged := sf.Tag.Lookup("toml")
		if key := sf.Tag.Get("reads"); key != "" {
			p.read = append(p.read, describe(t, sf, key))
		}
		switch {
		case sf.Anonymous && sf.Type.Kind() == reflect.Struct && !tagged:
			f.addFields(p, sf.Type, index)
		case !sf.IsExported():
		case key == "-":
			if sf.Type == reflect.TypeFor[*Table]() {
				p.tables = append(p.tables, index)
			}
		case key == "":
			panic(fmt.Sprintf("BUG: field %s of %s has no toml tag", sf.Name, t))
		default:
			p.fields = append(p.fields, f.newField(t, sf, key, index))
		}
	}
}

func (f *File) newField(t reflect.Type, sf reflect.StructField, key string, index []int) field {
	fd := describe(t, sf, key)
	fd.index = index
	text, ok := sf.Tag.Lookup("default")
	if !ok {
		return fd
	}
	fd.text, fd.fallback = text, fallback(sf.Type, text)
	// Tried out once, on an empty file: later a bad default would pass as a mistake in the user's.
	trial := &File{options: f.options, lines: []int{0}, plans: f.plans}
	value := reflect.New(sf.Type).Elem()
	trial.set(fd.fallback, value, &fd.rule)
	if len(trial.errs) > 0 {
		panic(fmt.Sprintf("BUG: default %q of field %s of %s: %s", text, sf.Name, t, trial.errs[0].Message))
	}
	if isFlat(sf.Type) {
		fd.preset = value
	}
	return fd
}

// describe returns the field sf of t as its tags have it, but for its default.
func describe(t reflect.Type, sf reflect.StructField, key string) field {
	fd := field{
		key:      key,
		of:       sf.Type,
		required: sf.Tag.Get("required") == "true",
		rule:     rule{min: sf.Tag.Get("min"), max: sf.Tag.Get("max")},
		source:   t.PkgPath() + "." + t.Name() + "." + sf.Name,
		unset:    sf.Tag.Get("unset"),
		typ:      sf.Tag.Get("type"),
	}
	if t.Name() == "" {
		fd.source = string(sf.Tag)
	}
	if enum := sf.Tag.Get("enum"); enum != "" {
		fd.rule.enum = strings.Split(enum, "|")
	}
	return fd
}

// isFlat reports whether a copy of a value shares nothing with it that can be changed.
func isFlat(t reflect.Type) bool {
	switch kind := t.Kind(); kind {
	case reflect.Struct:
		for i := range t.NumField() {
			if !isFlat(t.Field(i).Type) {
				return false
			}
		}
		return true
	default:
		return kind == reflect.String || reflect.Bool <= kind && kind <= reflect.Float64
	}
}

// fallback returns the value that a default tag stands for: what the file would have to say.
func fallback(t reflect.Type, text string) *node {
	n := &node{kind: scalarKind, value: text}
	if isText(t) {
		return n
	}
	switch kind := t.Kind(); {
	case kind == reflect.Slice:
		n.kind, n.value = listKind, nil
		for elem := range strings.SplitSeq(text, ",") {
			if kid := fallback(t.Elem(), elem); text != "" {
				n.kids = append(n.kids, kid)
			}
		}
	case kind == reflect.Bool:
		n.value = parsed(strconv.ParseBool(text))
	case reflect.Int <= kind && kind <= reflect.Uint64:
		n.value = parsed(strconv.ParseInt(text, 10, 64))
	case kind == reflect.Float32, kind == reflect.Float64:
		n.value = parsed(strconv.ParseFloat(text, 64))
	}
	return n
}

func parsed[T any](x T, err error) T {
	if err != nil {
		panic("BUG: default tag: " + err.Error())
	}
	return x
}
