package observe

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"testing"
	"unicode/utf8"

	"github.com/penstock-edge/penstock/edge"
)

// FuzzLine feeds what a client may send through both built-in formats: a line stays one line, JSON stays JSON
// with the same values, and no client can forge another field of the combined format.
func FuzzLine(f *testing.F) {
	f.Add([]byte("/a b\"c"), []byte("x\" y=\"z"), []byte("a=1&b=\xff"), []byte("https://example.com/?q"))
	f.Add([]byte("/%0a\n\r"), []byte("\x1b[31mred\x1b[0m"), []byte("\u2028"), []byte("\\"))
	f.Fuzz(func(t *testing.T, path, agent, query, referer []byte) {
		log := &accessLog{query: true}
		e := &entry{x: &edge.Exchange{}, log: log, route: "r", status: 200}
		e.x.Method, e.x.Path, e.x.Query, e.x.HasQuery, e.x.Minor = []byte("GET"), path, query, true, 1
		e.x.Client = netip.MustParseAddr("192.0.2.7")
		e.x.Req.SetBytes("User-Agent", agent)
		e.x.Req.SetBytes("Referer", referer)
		checkJSON(t, jsonFormat(true).append(nil, e), path, query)
		checkCombined(t, e)
	})
}

func checkJSON(t *testing.T, line, path, query []byte) {
	var got struct {
		Path  string `json:"path"`
		Query string `json:"query"`
	}
	if err := json.Unmarshal(line, &got); err != nil {
		t.Fatalf("%q: %s", line, err)
	}
	if bytes.ContainsAny(line, "\n\r\x1b") {
		t.Errorf("control characters in %q", line)
	}
	if utf8.Valid(path) && got.Path != string(path) || utf8.Valid(query) && got.Query != string(query) {
		t.Errorf("path %q, query %q became %q, %q", path, query, got.Path, got.Query)
	}
}

func checkCombined(t *testing.T, e *entry) {
	c, _ := parse(combined)
	line := c.append(nil, e)
	for _, b := range line {
		if b < ' ' || b > '~' {
			t.Fatalf("byte %#x in %q", b, line)
		}
	}
	if n := bytes.Count(line, []byte{'"'}); n != 6 {
		t.Errorf("%d quotes in %q", n, line)
	}
}

// FuzzParse compiles templates: no panic, and literal text comes out as it went in.
func FuzzParse(f *testing.F) {
	f.Add("{status} {path}")
	f.Add("{{}} {time_clf}\t}}{{")
	f.Add("{statsu}")
	f.Add("{")
	f.Add("}")
	f.Add("a\nb")
	f.Fuzz(func(t *testing.T, s string) {
		c, bad := parse(s)
		if (c == nil) != (bad != mistake{}) {
			t.Fatalf("%q: format %v, mistake %+v", s, c, bad)
		}
		if c == nil {
			return
		}
		var back []byte // the template written again
		for _, p := range c.parts {
			back = append(back, escape(p.text)...)
			back = append(back, "{"+fieldNames[p.field]+"}"...)
		}
		if back = append(back, escape(c.tail)...); string(back) != s {
			t.Errorf("%q came back as %q", s, back)
		}
	})
}

func escape(s string) string {
	var b []byte
	for _, c := range []byte(s) {
		if b = append(b, c); c == '{' || c == '}' {
			b = append(b, c)
		}
	}
	return string(b)
}
