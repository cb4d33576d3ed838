package config

import (
	"fmt"
	"reflect"

	"github.com/penstock-edge/penstock/edge/config/units"
)

// Value is one value of the file with its place. Its zero value is a value of no type.
type Value struct {
	file *File
	node *node
}

// Unmarshaler is implemented by types that read themselves from a value of the file. The error is shown
// at the value's place; an error that UnmarshalConfig has recorded itself is not to be returned too.
type Unmarshaler interface {
	UnmarshalConfig(v Value) error
}

func as[T any](v Value) (T, bool) {
	if v.node == nil || v.node.bad {
		var none T
		return none, false
	}
	x, ok := v.node.value.(T)
	return x, ok
}

// String returns the value if it is a string, with its variables replaced.
func (v Value) String() (string, bool) { return as[string](v) }

// Int returns the value if it is an integer.
func (v Value) Int() (int64, bool) { return as[int64](v) }

// Float returns the value if it is a float; an integer is not.
func (v Value) Float() (float64, bool) { return as[float64](v) }

// Bool returns the value if it is a boolean.
func (v Value) Bool() (bool, bool) { return as[bool](v) }

// Table returns the value if it is a table, else nil. Its keys must then be claimed as those of any table.
func (v Value) Table() *Table {
	if v.node == nil || v.node.kind != tableKind {
		return nil
	}
	return v.file.table(v.node)
}

// List returns the elements if the value is a list, else nil.
func (v Value) List() []Value {
	if v.node == nil || v.node.kind != listKind {
		return nil
	}
	values := make([]Value, len(v.node.kids))
	for i, kid := range v.node.kids {
		values[i] = Value{v.file, kid}
	}
	return values
}

// Path returns the full name of the value as errors show it: "pool.users.targets[2]".
func (v Value) Path() string { return v.node.path() }

// Pos returns the line and column of the value, both from 1, columns in bytes.
func (v Value) Pos() (line, col int) {
	if v.node == nil {
		return 1, 1
	}
	return v.file.place(v.node.at)
}

// Describe describes the value, for messages such as: must be a list, is the integer 5.
func (v Value) Describe() string {
	if v.node == nil {
		return "absent"
	}
	return v.node.describe()
}

// Errorf records a mistake at the place of the value, unless one in the value itself is recorded already.
func (v Value) Errorf(format string, args ...any) {
	if v.node == nil || v.node.bad {
		return
	}
	v.file.report(v.node.at, v.node.path(), "", fmt.Sprintf(format, args...))
}

// Decode decodes the value into what into points to, of any type that a field of Table.Decode may have.
// It reports whether the value was good; if not, the error is recorded.
func (v Value) Decode(into any) bool {
	p := reflect.ValueOf(into)
	if p.Kind() != reflect.Pointer || p.IsNil() {
		panic(fmt.Sprintf("BUG: Decode into %T: it takes a pointer", into))
	}
	if v.node == nil || v.node.bad {
		return false
	}
	before := len(v.file.errs)
	v.file.set(v.node, p.Elem(), &rule{})
	return len(v.file.errs) == before
}

// Measures as they are written in files.
type (
	// Size is a number of bytes, such as "64KiB".
	Size = units.Size
	// ByteRate is a number of bytes per second, such as "1MiB/s".
	ByteRate = units.ByteRate
	// Rate is a number of events in a time, such as "100/s".
	Rate = units.Rate
)
