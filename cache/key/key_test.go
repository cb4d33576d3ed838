package key

import (
	"bytes"
	"github.com/penstock-edge/penstock/cache/cachetest"
	"github.com/penstock-edge/penstock/edge"
	"strings"
	"testing"
)

// keyedBy returns rules with these fields in keys.
func keyedBy(names ...string) *Rules {
	var headers [][]byte
	for _, name := range names {
		headers = append(headers, []byte(name))
	}
	return New(headers)
}

func TestKey(t *testing.T) {
	f := func(r *Rules, target, want string, fields ...string) {
		t.Helper()
		text, url := r.Append(nil, cachetest.Request(target, fields...), "r")
		if got := strings.ReplaceAll(string(text), "\x00", "|"); got != want || !bytes.Contains(text, url) {
			t.Errorf("%+v %s: %q, want %q", r, target, got, want)
		}
	}
	f(&Rules{}, "/a/B?x=1&X=2", "r|http://h.example/a/B?x=1&X=2")
	f(&Rules{}, "/a?", "r|http://h.example/a?")
	f(&Rules{SortQuery: true}, "/a?b=1&a=2&b=0", "r|http://h.example/a?a=2&b=1&b=0")
	f(&Rules{QueryDrop: []string{"b"}}, "/a?b=1&a=2&b=0", "r|http://h.example/a?a=2")
	f(&Rules{QueryDrop: []string{"b"}}, "/a?b=1", "r|http://h.example/a")
	f(&Rules{QueryDrop: []string{"b*", "*"}}, "/a?b=1&a=2&b=0", "r|http://h.example/a")
	f(&Rules{QueryDrop: []string{"b*"}}, "/a?b=1&ab=2&bc=0&B=1", "r|http://h.example/a?ab=2&B=1")
	f(&Rules{QueryKeep: []string{"b*"}, QueryDrop: []string{"bad"}}, "/a?b=1&ab=2&bc=0&bad=1", "r|http://h.example/a?b=1&bc=0")
	f(&Rules{QueryKeep: []string{"b"}}, "/a?b=1&a=2&&b", "r|http://h.example/a?b=1&b")
	f(keyedBy("X-Tenant"), "/a", "r|http://h.example/a|t1", "X-Tenant: t1")
	f(keyedBy("Accept-Language", "Accept-Encoding"), "/a", "r|http://h.example/a|de, en;q=0.5|br, gzip",
		"Accept-Language: en;q=0.50 ,DE", "Accept-Encoding: gzip, br")
	r := keyedBy()
	g := func(want string, change func(x *edge.Exchange)) {
		t.Helper()
		x := cachetest.Request("/a", "X-Forwarded-Host: h.EXAMPLE:80")
		change(x)
		text, _ := r.Append(nil, x, "r")
		y := new(edge.Exchange)
		x.Fork(y, nil)
		r.Strip(y)
		again, _ := r.Append(nil, y, "r")
		if got := strings.ReplaceAll(string(text), "\x00", "|"); got != want || !bytes.Equal(text, again) {
			t.Errorf("%q, and of the fetch %q, want %q", got, again, want)
		}
	}
	g("r|http://h.example/a", func(*edge.Exchange) {})
	g("r|http://h.example/a", func(x *edge.Exchange) { x.Trusted = true })
	g("r\x06b.example|http://h.example/a", func(x *edge.Exchange) {
		x.Trusted = true
		x.Req.Set("X-Forwarded-Host", "B.example:80")
	})
	g("r\x06a, b|http://h.example/a", func(x *edge.Exchange) {
		x.Trusted = true
		x.Req.Set("X-Forwarded-Host", "A, b")
	})
	g("r\x04/b|http://h.example/a", func(x *edge.Exchange) { x.SetOutPath([]byte("/b")) })
	g("r\x05|http://h.example/a", func(x *edge.Exchange) { x.OutHost = nil })
	g("r\x05other|http://h.example/a", func(x *edge.Exchange) { x.SetOutHost([]byte("Other")) })
}
