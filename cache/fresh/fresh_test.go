package fresh

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func directives(lines ...string) (d Directives) {
	d.Reset()
	for _, l := range lines {
		d.Add([]byte(l))
	}
	return d
}

func TestDirectives(t *testing.T) {
	f := func(want string, lines ...string) {
		t.Helper()
		d := directives(lines...)
		got := fmt.Sprint(d.MaxAge, d.SMaxAge, d.StaleWhileRevalidate, d.StaleIfError, d.MaxStale, d.MinFresh)
		for name, on := range map[string]bool{"no-cache": d.NoCache, "no-store": d.NoStore, "private": d.Private,
			"public": d.Public, "must-revalidate": d.MustRevalidate, "proxy-revalidate": d.ProxyRevalidate,
			"must-understand": d.MustUnderstand, "only-if-cached": d.OnlyIfCached} {
			if on != strings.Contains(want, " "+name+" ") {
				t.Errorf("%q: %s is %v", lines, name, on)
			}
		}
		if !strings.HasPrefix(want, got+" ") {
			t.Errorf("%q: %s, want %s", lines, got, want)
		}
	}
	f("60 -1 -1 -1 -1 -1 ", "max-age=60")
	f("60 -1 -1 -1 -1 -1 ", "MAX-AGE=\"60\"") // RFC 9111 5.2: both forms are read
	f("60 -1 -1 -1 -1 -1 no-store ", "foo=bar, max-age = 60 ,, No-Store")
	f("0 -1 -1 -1 -1 -1 ", "max-age=abc") // 4.2.1: what cannot be read is stale
	f("0 -1 -1 -1 -1 -1 ", "max-age=-1")
	f("0 -1 -1 -1 -1 -1 ", "max-age=1.5")
	f("2147483648 -1 -1 -1 -1 -1 ", "max-age=99999999999999999999") // 1.2.2
	f("5 -1 -1 -1 -1 -1 ", "max-age=10", "max-age=5, max-age=7")
	f("-1 30 10 20 -1 -1 public must-revalidate proxy-revalidate ",
		"s-maxage=30, stale-while-revalidate=10, stale-if-error=20, public, must-revalidate, proxy-revalidate")
	f("-1 -1 -1 -1 1099511627776 3 only-if-cached ", "max-stale, min-fresh=3, only-if-cached")
	f("-1 -1 -1 -1 7 -1 must-understand ", "max-stale=7, must-understand")
	f("1 -1 -1 -1 -1 -1 private ", "private, max-age=1")
	f("-1 -1 -1 -1 -1 -1 no-cache private ", "private=\"\", no-cache=")
	f("1 -1 -1 -1 -1 -1 ", "x=\"no-store, private\", max-age=1") // quoted: one argument
	f("1 -1 -1 -1 -1 -1 ", "x=\"a\\\"no-store\", max-age=1")
	f("-1 -1 -1 -1 -1 -1 no-store ", "no-store, x=\"never ends, max-age=1")
	d := directives("private=\"a, b\", no-cache=\"C\"")
	if d.Private || d.NoCache || string(d.PrivateFields[0]) != "a, b" || string(d.NoCacheFields[0]) != "C" {
		t.Errorf("%+v", d)
	}
	if d = directives("private=a, private=b, private=c"); !d.Private {
		t.Error("names that find no room are no longer what the directive is about alone")
	}
}

func TestDate(t *testing.T) {
	f := func(text string, want int64) {
		t.Helper()
		if got, ok := Date([]byte(text)); ok != (want != 0) || ok && got != want*1000 {
			t.Errorf("%q: %d %v, want %d", text, got, ok, want)
		}
	}
	f("Sun, 06 Nov 1994 08:49:37 GMT", 784111777)
	f("sun, 06 NOV 1994 08:49:37 gmt", 784111777) // RFC 9111 section 4.2
	f("Sunday, 06-Nov-94 08:49:37 GMT", 784111777)
	f("Sun Nov  6 08:49:37 1994", 784111777)
	f("Thu, 01 Jan 2060 00:00:00 GMT", 2840140800)
	for _, bad := range []string{"", "0", "-1", "Sun, 06 Nov 1994 08:49:37 UTC", "Sun, 31 Feb 1994 08:49:37 GMT",
		"Sun, 06 Nov 1994 24:49:37 GMT", "Sun, 6 Nov 1994 08:49:37 GMT", "Son, 06 Nov 1994 08:49:37 GMT",
		"Sun, 06 Nox 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:3x GMT", "now", "Sun Nov  6 08:49:37 19x4"} {
		f(bad, 0)
	}
	rapid.Check(t, func(t *rapid.T) {
		want := time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "t"), 0).UTC()
		for _, form := range []string{http.TimeFormat, time.ANSIC} {
			if got, ok := Date([]byte(want.Format(form))); !ok || got != want.UnixMilli() {
				t.Fatalf("%s: %d %v", want.Format(form), got, ok)
			}
		}
	})
}

// answer is a response of status 200 that came now and says so.
func answer(cc string, change ...func(*Response)) *Response {
	r := &Response{Directives: directives(), Status: 200, Came: 1_000_000_000, Asked: 1_000_000_000, Date: 1_000_000_000}
	if cc != "" {
		r.Add([]byte(cc))
	}
	for _, c := range change {
		c(r)
	}
	return r
}

func TestStorable(t *testing.T) {
	f := func(want Reason, cc string, change ...func(*Response)) {
		t.Helper()
		if got := answer(cc, change...).Storable(&Options{}, false); got != want {
			t.Errorf("%q: %v, want %v", cc, got, want)
		}
	}
	status := func(n int) func(*Response) { return func(r *Response) { r.Status = n } }
	auth := func(r *Response) { r.Authorization = true }
	f(Storable, "max-age=1")                           // RFC 9111 3
	f(NoFreshness, "")                                 // 4.2.2: heuristics are off
	f(NoFreshness, "max-age=0")                        // it would have to be fetched anew each time, whole
	f(Storable, "max-age=0, stale-while-revalidate=1") // RFC 5861
	f(Storable, "s-maxage=0, stale-if-error=1")
	f(NoFreshness, "stale-if-error=1")
	f(NoFreshness, "max-age=0, stale-if-error=0")
	f(NoFreshness, "max-age=0, stale-if-error=1, must-revalidate")
	f(NoFreshness, "max-age=0, stale-if-error=1, no-cache")
	f(NoStore, "max-age=1, no-store")                   // 5.2.2.5
	f(Storable, "max-age=1, no-store, must-understand") // 5.2.2.3
	f(NotStatus, "max-age=1, must-understand", status(299))
	f(NoStore, "max-age=1", func(r *Response) { r.NoStore = true }) // 5.2.1.5
	f(Private, "private, max-age=1")                                // 5.2.2.7
	f(Storable, "private=\"X-A\", max-age=1")
	f(VaryAny, "max-age=1", func(r *Response) { r.VaryAny = true }) // 4.1
	f(SetCookie, "max-age=1", func(r *Response) { r.SetCookie = true })
	f(Authorization, "max-age=1", auth) // 3.5
	f(Storable, "max-age=1, public", auth)
	f(Storable, "max-age=1, must-revalidate", auth)
	f(Storable, "s-maxage=1", auth)
	f(NotPartial, "max-age=1", status(206)) // 3.3
	for _, code := range []int{206, 226, 304, 401, 407, 408, 411, 412, 413, 415, 416, 417, 425, 426, 428, 429, 431, 511, 103, 600} {
		if got := answer("max-age=1", status(code)).Storable(&Options{}, false); got != NotStatus && got != NotPartial {
			t.Errorf("%d: %v", code, got)
		}
	}
	for _, code := range []int{299, 303, 400, 404, 499, 500, 502, 503, 504, 599} { // section 3: any final status that says so
		f(Storable, "max-age=1", status(code))
		f(Storable, "s-maxage=1", status(code))
		f(Storable, "", status(code), func(r *Response) { r.Expires = r.Date + 1000 })
		if got := answer("", status(code)).Storable(&Options{}, false); got != NoFreshness {
			t.Errorf("%d without freshness: %v", code, got)
		}
	}
	f(Storable, "max-age=1, must-understand", status(500))
	f(NotStatus, "max-age=1, must-understand, no-store", status(599))
	f(Storable, "", func(r *Response) { r.Expires = r.Date + 1000 })
	f(NoFreshness, "", func(r *Response) { r.ExpiresBad = true })
	if got := answer("no-cache").Storable(&Options{}, true); got != Storable {
		t.Errorf("no-cache with a validator: %v", got)
	}
	if got := answer("").Storable(&Options{}, true); got != NoFreshness {
		t.Errorf("a validator alone: %v", got)
	}
	if got := answer("").Storable(&Options{Default: 1000}, false); got != Storable {
		t.Errorf("a default: %v", got)
	}
	over := &Options{IgnoreNoStore: true, IgnorePrivate: true}
	for cc, want := range map[string]Reason{"no-store, max-age=1": Storable, "private, max-age=1": Storable, "private, no-store": NoFreshness} {
		if got := answer(cc).Storable(over, false); got != want {
			t.Errorf("%q overruled: %v", cc, got)
		}
	}
	for cc, want := range map[string]Reason{"no-store, max-age=1, public": NoStore, "private, s-maxage=1": Private, "max-age=1": Authorization} {
		if got := answer(cc, auth).Storable(over, false); got != want {
			t.Errorf("%q overruled for Authorization: %v", cc, got)
		}
	}
	if got := answer("max-age=1", func(r *Response) { r.NoStore = true }).Storable(over, false); got != NoStore {
		t.Errorf("no-store of a request overruled: %v", got)
	}
	if got := answer("max-age=0").Storable(&Options{Revive: 1000, Rescue: 1000}, false); got != NoFreshness {
		t.Errorf("stale at once, and the cache alone would use it so: %v", got)
	}
	if got := answer("", status(302)).Storable(&Options{Default: 1000}, false); got != NoFreshness {
		t.Errorf("a default for a status without one: %v", got)
	}
	if got := answer("public", status(302)).Storable(&Options{Default: 1000}, false); got != Storable { // 4.2.2
		t.Errorf("a default for what may be stored as it says: %v", got)
	}
}

func TestAppendIndifferent(t *testing.T) {
	for value, want := range map[string]string{
		"": "", "no-cache": "", "max-age=0": "", "MIN-FRESH = 5 , x": "x", "no-store": "no-store", " a, no-cache ,, b=\"c, no-cache\" ": `a, b="c, no-cache"`,
		"only-if-cached, max-age=3, max-stale=5": "only-if-cached, max-stale=5", `no-cache="a", x=1`: "x=1", `a="b`: `a="b`,
	} {
		if got := AppendIndifferent(nil, []byte(value)); string(got) != want {
			t.Errorf("%q: %q, want %q", value, got, want)
		}
	}
	if got := AppendIndifferent([]byte("a"), []byte("no-cache, b")); string(got) != "a, b" {
		t.Errorf("behind another line: %q", got)
	}
}

func TestLifetime(t *testing.T) {
	f := func(want int64, r *Response, o Options) {
		t.Helper()
		if got, _ := r.Lifetime(&o); got != want {
			t.Errorf("%d, want %d", got, want)
		}
	}
	f(2000, answer("max-age=9, s-maxage=2"), Options{}) // RFC 9111 4.2.1: s-maxage before max-age
	f(9000, answer("max-age=9", func(r *Response) { r.Expires = r.Date + 5000 }), Options{})
	f(5000, answer("", func(r *Response) { r.Expires = r.Date + 5000 }), Options{})
	f(0, answer("", func(r *Response) { r.Expires = r.Date - 5000 }), Options{})
	f(5000, answer("", func(r *Response) { r.Date, r.Expires = 0, r.Came+5000 }), Options{})
	f(100_000, answer("", func(r *Response) { r.Modified = r.Date - 1_000_000 }), Options{Heuristic: true})
	f(24*3600_000, answer("", func(r *Response) { r.Modified = r.Date - 11*24*3600_000 }), Options{Heuristic: true})
	f(9000, answer("max-age=9", func(r *Response) { r.Modified = r.Date - 1_000_000 }), Options{Heuristic: true})
	f(7000, answer(""), Options{Default: 7000})
	by := &ByStatus{}
	by.Set(200, 3000)
	by.Set(500, 4000)
	by.Set(404, 0)
	f(3000, answer(""), Options{ByStatus: by, Default: 7000, Min: 5000, Heuristic: true}) // it is exact
	f(9000, answer("max-age=9"), Options{ByStatus: by})
	f(0, answer("", func(r *Response) { r.ExpiresBad = true }), Options{ByStatus: by})
	f(4000, answer("", func(r *Response) { r.Status = 500 }), Options{ByStatus: by})
	f(0, answer("", func(r *Response) { r.Status = 404 }), Options{ByStatus: by, Default: 7000})
	f(7000, answer("", func(r *Response) { r.Status = 410 }), Options{ByStatus: by, Default: 7000})
	f(8000, answer("max-age=2"), Options{Min: 8000})
	f(8000, answer("", func(r *Response) { r.ExpiresBad = true }), Options{Min: 8000}) // as max-age=0
	f(8000, answer("", func(r *Response) { r.Expires = r.Date - 1000 }), Options{Min: 8000})
	f(0, answer("", func(r *Response) { r.ExpiresBad, r.Expires = true, r.Date+9000 }), Options{Default: 5000})
	f(3000, answer("max-age=9"), Options{Max: 3000})
}

func TestAge(t *testing.T) {
	f := func(want int64, change func(*Response)) {
		t.Helper()
		if got := answer("", change).InitialAge(); got != want {
			t.Errorf("%d, want %d", got, want)
		}
	}
	f(0, func(*Response) {}) // RFC 9111 4.2.3
	f(5000, func(r *Response) { r.Date -= 5000 })
	f(0, func(r *Response) { r.Date += 5000 })
	f(12_500, func(r *Response) { r.Age, r.Asked = 10, r.Came-2500 })
	f(20_000, func(r *Response) { r.Date, r.Age = r.Date-20_000, 3 })
	f(3000, func(r *Response) { r.Date, r.Age = 0, 3 })
}

func TestDecide(t *testing.T) {
	f := func(want Use, age, life, revive int64, strict, ask bool, request string) {
		t.Helper()
		q := directives()
		q.Add([]byte(request))
		if got := Decide(age*1000, life*1000, revive*1000, strict, ask, &q); got != want {
			t.Errorf("age %d, lifetime %d, %q: %v, want %v", age, life, request, got, want)
		}
	}
	f(Fresh, 5, 10, 0, false, false, "")
	f(Ask, 10, 10, 0, false, false, "")                        // RFC 9111 4.2: fresh as long as the lifetime is more than the age
	f(Ask, 5, 10, 0, false, true, "")                          // no-cache of the answer
	f(Ask, 5, 10, 0, false, false, "no-cache")                 // 5.2.1.4
	f(Ask, 5, 10, 0, false, false, "max-age=4")                // 5.2.1.1
	f(Fresh, 5, 10, 0, false, false, "max-age=5")              //
	f(Ask, 5, 10, 0, false, false, "min-fresh=6")              // 5.2.1.3
	f(Fresh, 5, 10, 0, false, false, "min-fresh=5")            //
	f(Stale, 15, 10, 0, false, false, "max-stale")             // 5.2.1.2
	f(Stale, 15, 10, 0, false, false, "max-stale=5")           //
	f(Ask, 16, 10, 0, false, false, "max-stale=5")             //
	f(Ask, 15, 10, 0, true, false, "max-stale")                // must-revalidate
	f(Revive, 15, 10, 5, false, false, "")                     // RFC 5861 3
	f(Ask, 16, 10, 5, false, false, "")                        //
	f(Ask, 15, 10, 5, false, false, "max-age=60, min-fresh=1") // a client that asks for more is not given less
}

func TestStale(t *testing.T) {
	f := func(cc string, revive, rescue int64) {
		t.Helper()
		a, b := answer(cc).Stale(&Options{Revive: 1, Rescue: 2})
		if a != revive || b != rescue {
			t.Errorf("%q: %d %d", cc, a, b)
		}
	}
	f("max-age=1", 1, 2)
	f("max-age=1, stale-while-revalidate=3, stale-if-error=4", 3000, 4000)
	f("max-age=1, must-revalidate, stale-if-error=4", 0, 0) // RFC 9111 5.2.2.2
	f("max-age=1, proxy-revalidate", 0, 0)
	f("s-maxage=1", 0, 0)
	f("s-maxage=1, stale-if-error=4", 0, 4000)
	for _, status := range []int{500, 502, 503, 504} { // an old error is not better than a new one
		r := answer("max-age=1", func(r *Response) { r.Status = status })
		if a, b := r.Stale(&Options{Revive: 1, Rescue: 2}); a != 0 || b != 0 {
			t.Errorf("%d: %d %d", status, a, b)
		}
	}
	if a, b := answer("stale-if-error=3", func(r *Response) { r.Status = 404 }).Stale(&Options{Revive: 1}); a != 1 || b != 3000 {
		t.Errorf("404: %d %d", a, b)
	}
}

func TestConditions(t *testing.T) {
	f := func(want bool, none, since, etag string, modified int64) {
		t.Helper()
		if got := NotModified([]byte(none), []byte(since), []byte(etag), modified); got != want {
			t.Errorf("%q %q %q %d: %v", none, since, etag, modified, got)
		}
	}
	at := "Sun, 06 Nov 1994 08:49:37 GMT"
	f(true, `"a"`, "", `"a"`, 0)
	f(true, `W/"a"`, "", `"a"`, 0) // RFC 9110 13.1.2: weak comparison
	f(true, `"b", W/"a" ,"c"`, "", `W/"a"`, 0)
	f(true, `*`, "", "", 0)
	f(false, `"b"`, at, `"a"`, 784111777000) // 13.1.3: If-Modified-Since counts only without If-None-Match
	f(false, `a`, "", `"a"`, 0)
	f(false, `"a`, "", `"a"`, 0)
	f(false, `"a, b"`, "", `"a"`, 0)
	f(false, `""`, "", ``, 0)
	f(true, "", at, "", 784111777000)
	f(true, "", at, "", 784111776000)
	f(false, "", at, "", 784111778000)
	f(false, "", "yesterday", "", 784111777000)
	f(false, "", at, "", 0)

	g := func(want bool, ifRange, etag string, modified, date int64) {
		t.Helper()
		if got := RangeHolds([]byte(ifRange), []byte(etag), modified, date); got != want {
			t.Errorf("%q %q: %v", ifRange, etag, got)
		}
	}
	g(true, "", `"a"`, 0, 0)
	g(true, `"a"`, `"a"`, 0, 0)
	g(false, `W/"a"`, `W/"a"`, 0, 0) // 13.1.5: strong comparison
	g(false, `"a"`, `W/"a"`, 0, 0)
	g(true, at, "", 784111777000, 784111778000)
	g(false, at, "", 784111777000, 784111777000) // 8.8.2.2
	g(false, at, "", 784111776000, 784111778000)
}

func TestRanges(t *testing.T) {
	f := func(field string, length int64, want string) {
		t.Helper()
		var room [16]Span
		spans, ok := Ranges([]byte(field), length, room[:])
		got := fmt.Sprint(spans)
		if !ok {
			got = "ignored"
		}
		if got != want {
			t.Errorf("%q of %d: %s, want %s", field, length, got, want)
		}
	}
	f("bytes=0-4", 10, "[{0 5}]") // RFC 9110 14.1.2
	f("Bytes=5-", 10, "[{5 10}]")
	f("bytes=-3", 10, "[{7 10}]")
	f("bytes=-30", 10, "[{0 10}]")
	f("bytes=8-100", 10, "[{8 10}]")
	f("bytes=0-0, 9-9 ,", 10, "[{0 1} {9 10}]")
	f("bytes=10-", 10, "[]") // 416
	f("bytes=-0", 10, "[]")
	f("bytes=0-", 0, "[]")
	f("bytes=10-, 0-0", 10, "[{0 1}]")
	f("bytes=4-2", 10, "ignored")
	f("bytes=a-", 10, "ignored")
	f("bytes=", 10, "ignored")
	f("bytes=-", 10, "ignored")
	f("lines=0-1", 10, "ignored")
	f("bytes=0-9,0-9", 10, "ignored") // 14.2: overlapping ranges
	f("bytes="+strings.Repeat("0-0,", 17), 100, "ignored")
	f("bytes=99999999999999999999-", 10, "[]")
}

func TestTargeted(t *testing.T) {
	f := func(field, want string) {
		t.Helper()
		var d Directives
		d.Reset()
		got := "none"
		if d.AddTargeted(field) {
			got = fmt.Sprint(d.MaxAge, " ", d.StaleIfError, " ", d.NoStore, d.NoCache, d.Private, d.Public, d.MustRevalidate)
			if d.PrivateFields[0] != nil {
				got += " " + string(d.PrivateFields[0])
			}
		}
		if got != want {
			t.Errorf("%s: %s, want %s", field, got, want)
		}
	}
	f("max-age=60", "60 -1 false false false false false")
	f("max-age=60, max-age=5", "5 -1 false false false false false")
	f("max-age=5, max-age=60;x=1, stale-if-error=9", "60 9 false false false false false")
	f(`max-age="60", public`, "-1 -1 false false false true false")
	f("max-age=1.5, max-age", "-1 -1 false false false false false")
	f("max-age=-1, no-store=?0", "-1 -1 false false false false false")
	f("no-store;x, private, must-revalidate", "-1 -1 true false true false true")
	f(`no-store=1, no-cache=("a"), private="a, b", public=1`, "-1 -1 true true false false false a, b")
	f("", "none")
	f("max-age=60, =", "none")
	f("Max-Age=60", "none")
	f("max-age = 60", "none")
}

func FuzzFields(f *testing.F) {
	f.Add([]byte(`max-age=1, private="a, b", x="\"`))
	f.Add([]byte(`bytes=0-1,-5, 3-`))
	f.Add([]byte(`W/"a", "b", *`))
	f.Add([]byte("Sunday, 06-Nov-94 08:49:37 GMT"))
	f.Fuzz(func(t *testing.T, b []byte) {
		d := directives(string(b))
		for _, n := range []int64{d.MaxAge, d.SMaxAge, d.MinFresh, d.StaleIfError} {
			if n < -1 || n > most {
				t.Errorf("%d", n)
			}
		}
		var room [16]Span
		spans, _ := Ranges(b, 100, room[:])
		for _, s := range spans {
			if s.From < 0 || s.To > 100 || s.From >= s.To {
				t.Errorf("%v", s)
			}
		}
		HasTag(b, []byte(`"a"`))
		rest := directives(string(AppendIndifferent(nil, b)))
		if rest.NoCache || rest.MaxAge >= 0 || rest.MinFresh >= 0 || rest.NoStore != d.NoStore || rest.OnlyIfCached != d.OnlyIfCached {
			t.Errorf("%q: %q is left", b, AppendIndifferent(nil, b))
		}
		Date(b)
	})
}
