package config

import (
	"fmt"
	"net/netip"
	"reflect"
	"regexp"
	"strings"
	"time"

	"github.com/penstock-edge/penstock/edge/config/units"
)

const (
	wantDuration = `a duration such as "250ms", "5s" or "1h30m"`
	wantSize     = `a size such as "64KiB", "8MiB" or "0"`
	wantByteRate = `a byte rate such as "240B/s", "1MiB/s" or "0"`
	wantRate     = `a rate such as "100/s", "5000/min", "10/h" or "1000000/day"`
	wantPrefix   = `a network such as "10.0.0.0/8" or "2001:db8::/32"`
	wantAddr     = `an IP address such as "10.0.0.1" or "2001:db8::1"`
)

// isText reports whether values of a type are written as strings although they are none.
func isText(t reflect.Type) bool {
	switch t {
	case reflect.TypeFor[time.Duration](), reflect.TypeFor[Size](), reflect.TypeFor[ByteRate](),
		reflect.TypeFor[Rate](), reflect.TypeFor[Secret](), reflect.TypeFor[netip.Prefix](),
		reflect.TypeFor[netip.Addr](), reflect.TypeFor[*regexp.Regexp]():
		return true
	}
	return isUnmarshaler(t)
}

func isUnmarshaler(t reflect.Type) bool {
	return reflect.PointerTo(t).Implements(reflect.TypeFor[Unmarshaler]())
}

// isTable reports whether a struct is a sub-table rather than a type with a notation of its own.
func isTable(v reflect.Value) bool {
	return !isText(v.Type())
}

// set decodes n into v and reports what does not fit.
func (f *File) set(n *node, v reflect.Value, r *rule) {
	if n.bad {
		return
	}
	switch into := v.Addr().Interface().(type) {
	case *string:
		f.setString(n, into, r)
	case *[]string:
		f.setStrings(n, into, r)
	case *map[string]string:
		f.setStringMap(n, into, r)
	case *time.Duration:
		setMeasure(f, n, into, r, wantDuration, units.ParseDuration)
	case *Size:
		setMeasure(f, n, into, r, wantSize, units.ParseSize)
	case *ByteRate:
		setMeasure(f, n, into, r, wantByteRate, units.ParseByteRate)
	case *Rate:
		setText(f, n, into, wantRate, units.ParseRate)
	case *Secret:
		f.setSecret(n, into)
	case *netip.Prefix:
		f.setPrefix(n, into)
	case *netip.Addr:
		setText(f, n, into, wantAddr, parseAddr)
	case **regexp.Regexp:
		f.setRegexp(n, into)
	case Unmarshaler: // behind the types that are no Unmarshaler for sure: asking takes its time
		if err := into.UnmarshalConfig(Value{f, n}); err != nil {
			f.wrong(n, "", err.Error())
		}
	default:
		f.setKind(n, v, r)
	}
}

// setText decodes a string in the notation of T.
func setText[T any](f *File, n *node, into *T, want string, parse func(string) (T, bool)) bool {
	text, isString := n.value.(string)
	if !isString {
		f.wrong(n, "", "must be "+want+", is "+n.describe())
		return false
	}
	x, ok := parse(text)
	if !ok {
		f.wrong(n, "", "must be "+want+", is "+shorten(text))
		return false
	}
	*into = x
	return true
}

// setMeasure decodes a string in the notation of T and holds it against the bounds.
func setMeasure[T ~int64](
	f *File, n *node, into *T, r *rule, want string, parse func(string) (T, bool),
) {
	x := *into
	if !setText(f, n, &x, want, parse) {
		return
	}
	bound := func(tag string) T {
		b, ok := parse(tag)
		if !ok {
			panic(fmt.Sprintf("BUG: bound %q is not %s", tag, want))
		}
		return b
	}
	if r.min != "" && x < bound(r.min) || r.max != "" && x > bound(r.max) {
		f.wrong(n, "", r.bounds()+", is "+shorten(n.value.(string)))
		return
	}
	*into = x
}

func (r *rule) bounds() string {
	switch {
	case r.max == "":
		return "must be at least " + r.min
	case r.min == "":
		return "must be at most " + r.max
	}
	return "must be between " + r.min + " and " + r.max
}

func parseAddr(text string) (netip.Addr, bool) {
	addr, err := netip.ParseAddr(text)
	return addr, err == nil
}

// parsePrefix takes an address without a length too: it is then the network of this one address.
func parsePrefix(text string) (netip.Prefix, bool) {
	if !strings.Contains(text, "/") {
		addr, ok := parseAddr(text)
		if !ok || addr.Zone() != "" {
			return netip.Prefix{}, false
		}
		return netip.PrefixFrom(addr, addr.BitLen()), true
	}
	prefix, err := netip.ParsePrefix(text)
	return prefix, err == nil
}

func (f *File) setPrefix(n *node, into *netip.Prefix) {
	var prefix netip.Prefix
	if !setText(f, n, &prefix, wantPrefix, parsePrefix) {
		return
	}
	if whole := prefix.Masked(); whole != prefix {
		f.wrong(n, whole.String(), fmt.Sprintf("%s has bits beyond its length", prefix))
		return
	}
	*into = prefix
}

func (f *File) setRegexp(n *node, into **regexp.Regexp) {
	text, ok := n.value.(string)
	if !ok {
		f.wrong(n, "", "must be a regular expression, is "+n.describe())
		return
	}
	re, err := regexp.Compile(text)
	if err != nil {
		f.wrong(n, "", "must be a regular expression: "+strings.TrimPrefix(err.Error(), "error parsing regexp: "))
		return
	}
	*into = re
}

// setKind decodes n into a v of a type without a notation of its own.
func (f *File) setKind(n *node, v reflect.Value, r *rule) {
	switch v.Kind() {
	case reflect.String:
		f.setNamedString(n, v, r)
	case reflect.Bool:
		if b, ok := n.value.(bool); ok {
			v.SetBool(b)
			return
		}
		f.wrong(n, "", "must be true or false, is "+n.describe())
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		f.setInt(n, v, r)
	case reflect.Float32, reflect.Float64:
		f.setFloat(n, v, r)
	case reflect.Slice:
		f.setSlice(n, v, r)
	case reflect.Map:
		f.setMap(n, v, r)
	case reflect.Struct:
		t := f.asTable(n)
		if t == nil {
			t = f.emptyTable(n.key, n.up) // its owner finds the defaults, and what it says of them is an echo
			t.node.bad = true
		}
		t.decode(v)
	case reflect.Pointer:
		elem := reflect.New(v.Type().Elem())
		if f.set(n, elem.Elem(), r); !n.bad { // else its owner would take for a table what is none
			v.Set(elem)
		}
	default:
		panic(fmt.Sprintf("BUG: nothing in a file decodes into a %s", v.Type()))
	}
}
