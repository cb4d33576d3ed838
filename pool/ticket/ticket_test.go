package ticket

import (
	"fmt"
	"strings"
	"testing"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/pool/section"
)

func TestFind(t *testing.T) {
	key := Key("secret")
	var values []string
	for i := range 100 {
		values = append(values, key.Value("app", fmt.Sprintf("10.0.0.%d:80", i)))
	}
	l := NewList(values)
	for i, v := range values {
		if got := l.Find([]byte(v)); got != i || !Is([]byte(v)) {
			t.Errorf("the ticket of %d is that of %d", i, got)
		}
	}
	f := func(v string) {
		t.Helper()
		if got := l.Find([]byte(v)); got >= 0 {
			t.Errorf("%q is the ticket of %d", v, got)
		}
	}
	v := values[7]
	f("")
	f("~")
	f(v[:len(v)-1])
	f(v + "A")
	f(v[:len(v)-1] + "!")
	f(strings.ToUpper(v))
	f(Key("other").Value("app", "10.0.0.7:80"))
	f(key.Value("other", "10.0.0.7:80"))
	if List(nil).Find([]byte(v)) >= 0 {
		t.Error("found among none")
	}
}

func TestCookie(t *testing.T) {
	f := func(s section.Sticky, plain, secure string) {
		t.Helper()
		c := NewCookie(&s, []byte("own"))
		value := c.Key.Value("app", "a:1")
		gotPlain, gotSecure := c.Lines("app", "a:1")
		if string(gotPlain) != "seat="+value+plain || string(gotSecure) != "seat="+value+secure {
			t.Errorf("%+v: %q and %q", s, gotPlain, gotSecure)
		}
	}
	f(section.Sticky{Cookie: "seat", Path: "/", SameSite: "Lax"}, "; Path=/; HttpOnly; SameSite=Lax",
		"; Path=/; HttpOnly; SameSite=Lax; Secure")
	f(section.Sticky{Cookie: "seat", Path: "/app", SameSite: "None", TTL: 90e9},
		"; Path=/app; HttpOnly; SameSite=None; Max-Age=90", "; Path=/app; HttpOnly; SameSite=None; Max-Age=90; Secure")
}

func TestCookieFindAndTaken(t *testing.T) {
	c := NewCookie(&section.Sticky{Cookie: "seat", Path: "/", SameSite: "Lax"}, []byte("own"))
	a, b := c.Key.Value("app", "a:1"), c.Key.Value("app", "b:1")
	l := NewList([]string{a, b})
	f := func(cookies string, found int, taken bool) {
		t.Helper()
		x := &edge.Exchange{}
		x.Cookie = []byte(cookies)
		if i, is := c.Find(x.Cookie, l), c.IsTaken(x); i != found || is != taken {
			t.Errorf("%q: found %d, taken %v; want %d, %v", cookies, i, is, found, taken)
		}
	}
	f("", -1, false)
	f("other="+a, -1, false)
	f("seat="+b, 1, false)
	f("x=1; seat="+a+"; y=2", 0, false)
	f("seat=~forged; seat="+b, 1, false)
	f("seat=theirs; seat="+b, 1, true)
	f("seat=theirs", -1, true)
	f("seat=", -1, false)
	x := &edge.Exchange{}
	x.Resp.Add("Set-Cookie", "seat=theirs; Path=/")
	if !c.IsTaken(x) {
		t.Error("an answer that sets the cookie is overlooked")
	}
}

func TestAllocFind(t *testing.T) {
	c := NewCookie(&section.Sticky{Cookie: "seat", Path: "/", SameSite: "Lax"}, []byte("own"))
	v := c.Key.Value("app", "a:1")
	l, cookies := NewList([]string{v}), []byte("x=1; seat="+v)
	if n := testing.AllocsPerRun(100, func() {
		if c.Find(cookies, l) != 0 {
			t.Fatal("not found")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
