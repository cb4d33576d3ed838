package config

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

func parseGood(t *testing.T, text string) *File {
	t.Helper()
	file := Parse("x.toml", []byte(text), testOptions())
	if file.errs != nil {
		t.Fatal(file.errs)
	}
	return file
}

func TestTablePaths(t *testing.T) {
	file := parseGood(t, "[pool.users.tls]\n[[route]]\n[[route]]\nmirror = {}\n[x.'a b']\n")
	f := func(table *Table, path, name string) {
		t.Helper()
		if table.Path() != path || table.Name() != name {
			t.Errorf("got %q, %q, want %q, %q", table.Path(), table.Name(), path, name)
		}
	}
	f(file.Root, "", "")
	f(file.Root.Child("pool").Child("users").Child("tls"), "pool.users.tls", "tls")
	f(file.Root.List("route")[1], "route[2]", "route")
	f(file.Root.List("route")[1].Child("mirror"), "route[2].mirror", "mirror")
	f(file.Root.Child("x").Child("a b"), `x."a b"`, "a b")
	if first, again := file.Root.Child("pool"), file.Root.Child("pool"); first != again {
		t.Error("two tables for one")
	}
}

// Keys come in the order of the places that errors would show.
func TestKeysInOrder(t *testing.T) {
	file := parseGood(t, "z.y = 1\n[a.b]\n[c]\n[a]\n"+
		"x1=1\nx2=1\nx3=1\nx4=1\nx5=1\nx6=1\nx7=1\nx8=1\nx9=1\nxa=1\nxb=1\nxc=1\nxd=1\n")
	f := func(table *Table, want string) {
		t.Helper()
		if got := strings.Join(table.Keys(), " "); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		for _, key := range table.Keys() {
			if !table.Has(key) {
				t.Errorf("no %s", key)
			}
		}
	}
	f(file.Root, "z c a")
	f(file.Root.Child("a"), "b x1 x2 x3 x4 x5 x6 x7 x8 x9 xa xb xc xd")
	if file.Root.Child("a").Has("y") {
		t.Error("found what is not there")
	}
}

func TestChildren(t *testing.T) {
	file := parseGood(t, "[pool.b]\n[pool.a]\nx = 1\n[pool.Bad]\n[pool]\nn = 5\n_c = {}\n")
	var names []string
	for _, table := range file.Root.Children("pool") {
		names = append(names, table.Name())
		table.Value("x")
	}
	if want := []string{"b", "a", "Bad", "_c"}; !reflect.DeepEqual(names, want) {
		t.Errorf("got %q, want %q", names, want)
	}
	want := `x.toml:4:7: pool.Bad: ` + badName + `
x.toml:6:5: pool.n: must be a table, is the integer 5
x.toml:7:1: pool._c: ` + badName
	if got := file.Finish().Error(); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if file.Root.Children("none") != nil || file.Root.List("none") != nil || file.Root.Child("none") != nil {
		t.Error("found what is not there")
	}
}

func TestIsName(t *testing.T) {
	f := func(s string, want bool) {
		t.Helper()
		if IsName(s) != want {
			t.Errorf("%q", s)
		}
	}
	f("a", true)
	f("0", true)
	f("a-b_c9", true)
	f("", false)
	f("-a", false)
	f("_a", false)
	f("A", false)
	f("aB", false)
	f("a.b", false)
	f("ä", false)
}

// targets are the mixed list that Value is made for.
func TestValueMixedList(t *testing.T) {
	file := parseGood(t, `targets = [
  "a:1",
  { address = "b:1", weight = 2, wieght = 3 },
  5,
]
other = 1`)
	v, ok := file.Root.Value("targets")
	if !ok || v.Path() != "targets" || v.Describe() != "a list" || len(v.List()) != 3 {
		t.Fatal(v.Describe())
	}
	var got []string
	for _, elem := range v.List() {
		if text, ok := elem.String(); ok {
			got = append(got, text)
		} else if table := elem.Table(); table != nil {
			var target struct {
				Address string `toml:"address"`
				Weight  int    `toml:"weight"`
			}
			table.Decode(&target)
			got = append(got, target.Address)
		} else {
			elem.Errorf("must be an address or a table, is %s", elem.Describe())
		}
	}
	if want := []string{"a:1", "b:1"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %q", got)
	}
	want := `x.toml:3:34: targets[2].wieght: unknown key (did you mean "weight"?)
x.toml:4:3: targets[3]: must be an address or a table, is the integer 5
x.toml:6:1: other: unknown key`
	if got := file.Finish().Error(); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestValueTypes(t *testing.T) {
	file := parseGood(t, `s = "x"
i = 1
f = 1.5
b = true
d = 1979-05-27
w = "90s"`)
	value := func(key string) Value {
		v, _ := file.Root.Value(key)
		return v
	}
	f := func(key, want string) {
		t.Helper()
		if got := value(key).Describe(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	f("s", `the string "x"`)
	f("i", "the integer 1")
	f("f", "the float 1.5")
	f("b", "the boolean true")
	f("d", "a date")
	f("none", "absent")
	if n, ok := value("i").Int(); n != 1 || !ok {
		t.Error("no integer")
	}
	if x, ok := value("f").Float(); x != 1.5 || !ok {
		t.Error("no float")
	}
	if b, ok := value("b").Bool(); !b || !ok {
		t.Error("no boolean")
	}
	if _, ok := value("i").String(); ok || value("i").Table() != nil || value("i").List() != nil {
		t.Error("an integer is something else")
	}
	var d time.Duration
	if !value("w").Decode(&d) || d != 90*time.Second {
		t.Error(d)
	}
	if value("i").Decode(&d) || value("none").Decode(&d) || len(file.Finish()) != 1 {
		t.Error(file.Finish())
	}
	value("none").Errorf("dropped")
	if line, col := value("w").Pos(); line != 6 || col != 5 {
		t.Error(line, col)
	}
}

func TestErrorPlaces(t *testing.T) {
	const text = `
 [[route]]
 pool = 'usrs'
 limits = ['per_ip', 'per_route']
 mirror = { pool = 'x' }
`
	f := func(mistake func(t *Table), want string) {
		t.Helper()
		file := parseGood(t, text)
		table := file.Root.List("route")[0]
		for _, key := range table.Keys() {
			table.Value(key)
		}
		mistake(table)
		if got := file.Finish().Error(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	f(func(t *Table) { t.Errorf("pool", "is %d", 1) }, "x.toml:3:2: route[1].pool: is 1")
	f(func(t *Table) { t.Errorf("none", "is %d", 1) }, "x.toml:2:2: route[1].none: is 1")
	f(func(t *Table) { t.Errorf("", "is %d", 1) }, "x.toml:2:2: route[1]: is 1")
	f(func(t *Table) { t.Unknown("pool", "pool", "usrs", []string{"app", "users"}) },
		`x.toml:3:9: route[1].pool: no pool named "usrs" (did you mean "users"?); known: app, users`)
	f(func(t *Table) { t.Unknown("limits", "rate limit", "per_route", nil) },
		`x.toml:4:22: route[1].limits[2]: no rate limit named "per_route"`)
	f(func(t *Table) { t.Unknown("mirror", "pool", "x", nil) },
		`x.toml:5:20: route[1].mirror.pool: no pool named "x"`)
	f(func(t *Table) { t.Unknown("pools", "pool", "x", nil) }, `x.toml:2:2: route[1].pools: no pool named "x"`)
	f(func(t *Table) {
		var v struct {
			Pool int `toml:"pool"`
		}
		t.Decode(&v)
		t.Errorf("pool", "an echo")
		t.Unknown("pool", "pool", "usrs", nil)
		v2, _ := t.Value("pool")
		v2.Errorf("an echo")
	}, `x.toml:3:9: route[1].pool: must be a whole number, is the string "usrs"`)
}

func TestOneLine(t *testing.T) {
	e := Error{File: "x", Line: 1, Col: 2, Key: "k", Message: "a\r\nb\nc"}
	if got := e.Error(); got != "x:1:2: k: a b c" {
		t.Error(got)
	}
	if Errors(nil).Err() != nil || (Errors{e}).Err() == nil {
		t.Error("Err")
	}
}

func TestTooDeep(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		got := Parse("x.toml", []byte(text), testOptions()).Finish().Error()
		if !strings.HasPrefix(got, want) || want == "" && strings.Contains(got, "within each other") {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	const million = 1 << 20
	deep := "x.toml:1:69: more than 64 "
	f("a = "+strings.Repeat("[", million), deep)
	f("a = "+strings.Repeat("[", 64)+strings.Repeat("]", 64), "x.toml:1:1: a: unknown key")
	f("a = "+strings.Repeat("{a=", million), "x.toml:1:197: more than 64 ")
	f(strings.Repeat("a.", million)+"a = 1", "x.toml:1:130: more than 64 ")
	f("["+strings.Repeat("'a'.", million)+"a]", "x.toml:1:261: more than 64 ")
	f("a = '"+strings.Repeat("[", 100)+"' #"+strings.Repeat("[", 100), "x.toml:1:1: a: unknown key")
	f("a = ["+strings.Repeat("[], ", 1000)+"]", "x.toml:1:1: a: unknown key")
	f("a = ["+strings.Repeat("1.5, ", 1000)+"]", "x.toml:1:1: a: unknown key")
}

// TestWarnings: what may do harm is told with its place, and is no mistake.
func TestWarnings(t *testing.T) {
	f := Parse("test.toml", []byte("[a.b]\nlate = 2\nearly = 1\n"), Options{})
	b := f.Root.Child("a").Child("b")
	var keys struct {
		Early int `toml:"early"`
		Late  int `toml:"late"`
	}
	b.Decode(&keys)
	b.Warnf("early", "is %d", keys.Early)
	b.Warnf("late", "is %d", keys.Late)
	b.Warnf("absent", "is not there")
	want := []string{"test.toml:1:1: a.b.absent: is not there", "test.toml:2:1: a.b.late: is 2", "test.toml:3:1: a.b.early: is 1"}
	for i, w := range f.Warnings() {
		if w.Error() != want[i] {
			t.Errorf("%s, want %s", w, want[i])
		}
	}
	if errs := f.Finish(); errs != nil || len(f.Warnings()) != len(want) {
		t.Errorf("%v, %d warnings", errs, len(f.Warnings()))
	}
}
