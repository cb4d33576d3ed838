package header

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

// fields returns fields with these lines.
func fields(lines ...string) *Fields {
	f := new(Fields)
	f.SetLines([]byte(strings.Join(append(lines, ""), "\r\n")), nil)
	return f
}

// strs returns what a sequence of values yields.
func strs(seq func(func([]byte) bool)) (list []string) {
	for v := range seq {
		list = append(list, string(v))
	}
	return list
}

func TestRead(t *testing.T) {
	f := func(first, only, key, list string, lines ...string) {
		t.Helper()
		h := new(Fields)
		for _, v := range lines {
			h.SetLines(h.Lines(), []byte("x-a: "+v+" \r\nX-AB: b\r\nX: c\r\n"))
		}
		got := []string{string(h.Get("X-A")), string(h.Only("X-A")), string(h.AppendKey([]byte("k="), "X-A")),
			string(h.AppendList([]byte("k="), "X-A"))}
		if want := []string{first, only, "k=" + key, "k=" + list}; !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", lines, got, want)
		}
		if h.Has("X-A") != (first != "") || h.Count("X-A") != len(lines) || !slices.Equal(strs(h.All("x-A")), lines) {
			t.Errorf("%q: has %v, count %d, all %q", lines, h.Has("X-A"), h.Count("X-A"), strs(h.All("x-A")))
		}
	}
	f("", "", "", "")
	f("", "", "", "", "")
	f("", "", "", "", "", "")
	f("a", "a", "a", "a", "a")
	f("a", "a", "a", "a", "", "a")
	f("a", "a", "a", "a", "a", "")
	f("a", "a", "a", "a, a", "a", "a")
	f("a", "", "a\nb", "a, b", "a", "b")
	f("b", "", "b\na", "b, a, b", "", "b", "a", "", "b")
	f("a, b", "a, b", "a, b", "a, b", "a, b")
}

func TestList(t *testing.T) {
	f := func(want []string, lines ...string) {
		t.Helper()
		h := fields(lines...)
		last := ""
		if len(want) > 0 {
			last = want[len(want)-1]
		}
		if got := strs(h.List("A")); !slices.Equal(got, want) || string(h.Last("A")) != last {
			t.Errorf("%q: %q, last %q; want %q", lines, got, h.Last("A"), want)
		}
	}
	f(nil)
	f(nil, "A:", "A: ,\t,")
	f([]string{"1"}, "A:1")
	f([]string{"1", "2", "3"}, "A: 1,2", "B: 0", "a:\t3 ")
	f([]string{"1", "2", "3"}, "A: , 1\t, 2,,", "A:", "a: 3,")
}

func TestSet(t *testing.T) {
	f := func(change func(*Fields), want []string, lines ...string) {
		t.Helper()
		h := fields(lines...)
		change(h)
		if got := string(h.Lines()); got != strings.Join(append(want, ""), "\r\n") {
			t.Errorf("%q: %q, want %q", lines, got, want)
		}
	}
	set := func(h *Fields) { h.Set("X-A", "new") }
	f(set, []string{"X-A: new"})
	f(set, []string{"b:1", "X-A: new"}, "b:1")
	f(set, []string{"b:1", "X-A: new", "C:  2 "}, "b:1", "x-a:old", "C:  2 ")
	f(set, []string{"X-A: new", "b:1", "c: "}, "X-A: 1", "b:1", "x-A: 2", "c: ", "X-a: 3")
	f(func(h *Fields) { h.SetBytes("A", h.Get("B")) }, []string{"A: b", "B: b"}, "A: something long", "B: b")
	f(func(h *Fields) { h.SetBytes("A", h.Get("A")) }, []string{"A: 1", "B: b"}, "a:1", "B: b", "A: 2")
	f(func(h *Fields) { h.AddBytes("A", h.Get("A")) }, []string{"a:1", "B: b", "A: 1"}, "a:1", "B: b")
	// Nothing in a value begins another line.
	f(func(h *Fields) { h.Set("A", "1\r\nB: 2\x00\x7f\té") }, []string{"A: 1  B: 2  \té"})
	f(func(h *Fields) { h.AddBytes("A", []byte("1\n")) }, []string{"A: 1 "})
	f(func(h *Fields) { h.Rename("x-a", "X_B") }, []string{"X_B:1", "c: 2", "X_B: 3"}, "X-A:1", "c: 2", "x-a: 3")
	f(func(h *Fields) { h.Rename("A", "B") }, []string{"AA: 1"}, "AA: 1")
	f(func(h *Fields) { h.Del("a") }, []string{"B: 1", "AA: 2"}, "A: 1", "B: 1", "a:", "AA: 2", "A: 3")
	f(func(h *Fields) { h.Del("a") }, nil, "A: 1")
	f(func(h *Fields) { h.Reset() }, nil, "A: 1")
}

func TestAppendWith(t *testing.T) {
	f := func(want string, lines ...string) {
		t.Helper()
		h := fields(lines...)
		before := string(h.Lines())
		if got := string(h.AppendWith([]byte("line\r\n"), "Host", []byte("new:1"))); got != "line\r\n"+want {
			t.Errorf("%q: %q, want %q", lines, got, want)
		}
		if string(h.Lines()) != before {
			t.Errorf("%q has become %q", before, h.Lines())
		}
	}
	f("Host: new:1\r\n")
	f("Host: new:1\r\nA: 1\r\n", "A: 1")
	f("Host: new:1\r\nA: 1\r\n", "Host: old", "A: 1")
	f("a:1\r\nhost: new:1\r\nb: \r\n", "a:1", "host:old.example", "b: ")
}

func TestIsLarge(t *testing.T) {
	h := fields("A: 1")
	if h.IsLarge() {
		t.Error("a small one is large")
	}
	h.Set("A", strings.Repeat("x", large))
	if h.Reset(); !h.IsLarge() {
		t.Error("what was large is still held")
	}
}

// twin is a head as a list.
type twin []struct{ name, raw string } // raw is all behind the colon

func (w twin) String() (s string) {
	for _, l := range w {
		s += l.name + ":" + l.raw + "\r\n"
	}
	return s
}

func (w twin) values(name string) (list []string) {
	for _, l := range w {
		if strings.EqualFold(l.name, name) {
			list = append(list, strings.Trim(l.raw, " \t"))
		}
	}
	return list
}

func (w twin) del(name string) twin {
	return slices.DeleteFunc(slices.Clone(w), func(l struct{ name, raw string }) bool { return strings.EqualFold(l.name, name) })
}

func (w twin) set(name, value string) (out twin) {
	done := false
	for _, l := range append(slices.Clone(w), struct{ name, raw string }{name, ""}) {
		if strings.EqualFold(l.name, name) {
			if done {
				continue
			}
			done, l.name, l.raw = true, name, " "+cleaned(value)
		}
		out = append(out, l)
	}
	return out
}

func (w twin) rename(from, to string) (out twin) {
	for _, l := range w {
		if strings.EqualFold(l.name, from) {
			l.name = to
		}
		out = append(out, l)
	}
	return out
}

func cleaned(v string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' || r == 0x7f {
			return ' '
		}
		return r
	}, v)
}

// FuzzFields makes changes to a head and to its twin.
func FuzzFields(f *testing.F) {
	f.Add("A: 1\nb:2\na:\t3 \n", "0a=x\n3b=y\n2A=\n4a=Z\n1c=q\n5A=\n")
	f.Add("X-A:\nX-a: 1, 2\nX-AB: 3\n", "5x-a=\n0X-A=a, b\n5X-A=\n")
	f.Fuzz(func(t *testing.T, lines, changes string) {
		h, w := new(Fields), twin{}
		for line := range strings.SplitSeq(lines, "\n") {
			name, raw, ok := strings.Cut(line, ":")
			if ok && IsToken(name) && cleaned(raw) == raw {
				w = append(w, struct{ name, raw string }{name, raw})
				h.SetLines(h.Lines(), []byte(name+":"+raw+"\r\n"))
			}
		}
		for change := range strings.SplitSeq(changes, "\n") {
			op, rest := "", change
			if len(change) > 0 {
				op, rest = change[:1], change[1:]
			}
			name, value, _ := strings.Cut(rest, "=")
			if !IsToken(name) || cleaned(strings.ToValidUTF8(value, "")) != cleaned(value) {
				continue
			}
			switch op {
			case "0":
				h.Set(name, value)
				w = w.set(name, value)
			case "1":
				h.AddBytes(name, []byte(value))
				w = append(w, struct{ name, raw string }{name, " " + cleaned(value)})
			case "2":
				h.Del(name)
				w = w.del(name)
			case "3":
				n := h.DelFunc(func(b []byte) bool { return SameName(b, name) })
				if n != len(w.values(name)) {
					t.Fatalf("%d lines of %q are gone from %q", n, name, w)
				}
				w = w.del(name)
			case "4":
				if IsToken(value) {
					h.Rename(name, value)
					w = w.rename(name, value)
				}
			case "5":
				h.SetBytes(name, h.Get(value))
				w = w.set(name, strings.Join(slices.DeleteFunc(w.values(value), func(v string) bool { return v == "" }), "\n"))
				if i := strings.IndexByte(w.String(), '\n'); i < 0 {
					t.Fatal("a set field is missing")
				}
				w = firstOnly(w, name, h)
			}
			compare(t, h, w, name)
		}
	})
}

// firstOnly makes the field that was set from several others what Get says of them.
func firstOnly(w twin, name string, h *Fields) twin { return w.set(name, string(h.Get(name))) }

// compare holds all that can be read of a field against its twin.
func compare(t *testing.T, h *Fields, w twin, name string) {
	t.Helper()
	if string(h.Lines()) != w.String() {
		t.Fatalf("%q, want %q", h.Lines(), w)
	}
	all := w.values(name)
	if got := strs(h.All(name)); !slices.Equal(got, all) || h.Count(name) != len(all) {
		t.Fatalf("%q of %q: %q, want %q", name, w, got, all)
	}
	some := slices.DeleteFunc(slices.Clone(all), func(v string) bool { return v == "" })
	var list, distinct []string
	for _, v := range some {
		for e := range strings.SplitSeq(v, ",") {
			if e = strings.Trim(e, " \t"); e != "" {
				list = append(list, e)
			}
		}
		if !slices.Contains(distinct, v) {
			distinct = append(distinct, v)
		}
	}
	if got := strs(h.List(name)); !slices.Equal(got, list) {
		t.Fatalf("list %q of %q: %q, want %q", name, w, got, list)
	}
	first, only := "", ""
	if len(some) > 0 {
		first = some[0]
	}
	if len(distinct) == 1 {
		only = first
	}
	if string(h.Get(name)) != first || string(h.Only(name)) != only {
		t.Fatalf("%q of %q: %q, only %q", name, w, h.Get(name), h.Only(name))
	}
	if got := string(h.AppendKey(nil, name)); got != strings.Join(distinct, "\n") {
		t.Fatalf("key %q of %q: %q", name, w, got)
	}
	if got := string(h.AppendList(nil, name)); got != strings.Join(some, ", ") {
		t.Fatalf("joined %q of %q: %q", name, w, got)
	}
	var each bytes.Buffer
	for n, v := range h.Each() {
		each.WriteString(string(n) + "=" + string(v) + "\n")
	}
	for _, l := range w {
		line := l.name + "=" + strings.Trim(l.raw, " \t") + "\n"
		if !bytes.HasPrefix(each.Next(len(line)), []byte(line)) {
			t.Fatalf("each of %q is missing %q", w, line)
		}
	}
}
