package entry

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/penstock-edge/penstock/cache/accept"
	"github.com/penstock-edge/penstock/cache/cachetest"
	"github.com/penstock-edge/penstock/cache/fresh"
	"github.com/penstock-edge/penstock/cache/key"
)

// TestSelects: which stored answer a 304 is about (RFC 9111 section 4.3.4).
func TestSelects(t *testing.T) {
	f := func(want bool, tag string, modified int64, oldTag string, oldModified int64) {
		t.Helper()
		d := &Description{ETag: []byte(tag)}
		d.Modified = modified
		if got := d.Selects(&Entry{ETag: []byte(oldTag), Modified: oldModified}); got != want {
			t.Errorf("%q %d of %q %d: %v", tag, modified, oldTag, oldModified, got)
		}
	}
	f(true, "", 0, "", 0)
	f(true, "", 0, `"a"`, 7)
	f(true, `"a"`, 0, `"a"`, 0)
	f(false, `"a"`, 0, `"b"`, 0)
	f(false, `"a"`, 0, `W/"a"`, 0)
	f(false, `"a"`, 0, "", 7)
	f(true, `W/"a"`, 0, `W/"a"`, 0)
	f(true, `W/"a"`, 0, `"a"`, 0)
	f(false, `W/"a"`, 7, `W/"b"`, 7)
	f(true, `W/"a"`, 7, "", 7)
	f(false, `W/"a"`, 7, "", 8)
	f(true, "", 7, `"a"`, 7)
	f(false, "", 7, `"a"`, 8)
	f(true, "", 7, `"a"`, 0)
}

// TestEntryOf: what is kept of an answer, by what it says and by what is configured.
func TestEntryOf(t *testing.T) {
	f := func(want string, o *fresh.Options, lines ...string) {
		t.Helper()
		m := &Maker{Rules: key.New(nil), Encodes: []string{"text/*", "application/json", "*+xml"}}
		d := describeText(lines...)
		d.Asked, d.Came = 10_000, 12_000
		e := m.EntryOf(d, o)
		got := fmt.Sprintf("age %d life %d revive %d rescue %d vary %q", e.Age, e.Lifetime, e.Revive, e.Rescue, e.Vary)
		if e.Flags&MustRevalidate != 0 {
			got += " strict"
		}
		if e.Flags&AlwaysAsk != 0 {
			got += " ask"
		}
		if e.Flags&Encodes != 0 {
			got += " encodes"
		}
		if got != want || e.At != 10_000 {
			t.Errorf("%q: %s, want %s", lines, got, want)
		}
	}
	none := &fresh.Options{}
	f(`age 0 life 5000 revive 0 rescue 0 vary ""`, none, "Cache-Control: max-age=5")
	f(`age 3000 life 5000 revive 0 rescue 0 vary ""`, none, "Cache-Control: max-age=5", "Age: 3")
	f(`age 0 life 5000 revive 7000 rescue 8000 vary ""`, &fresh.Options{Revive: 7000, Rescue: 8000}, "Cache-Control: max-age=5")
	f(`age 0 life 5000 revive 1000 rescue 2000 vary ""`, &fresh.Options{Revive: 7000, Rescue: 8000},
		"Cache-Control: max-age=5, stale-while-revalidate=1, stale-if-error=2")
	f(`age 0 life 5000 revive 0 rescue 0 vary "" strict`, &fresh.Options{Revive: 7000, Rescue: 8000}, "Cache-Control: max-age=5, must-revalidate")
	f(`age 0 life 5000 revive 0 rescue 0 vary "" strict`, &fresh.Options{Revive: 7000, Rescue: 8000},
		"Cache-Control: max-age=5, proxy-revalidate, stale-if-error=9")
	f(`age 0 life 6000 revive 0 rescue 0 vary "" strict`, &fresh.Options{Revive: 7000, Rescue: 8000}, "Cache-Control: max-age=5, s-maxage=6")
	f(`age 0 life 5000 revive 0 rescue 0 vary "" ask`, none, "Cache-Control: max-age=5, no-cache")
	f(`age 0 life 5000 revive 0 rescue 0 vary "Accept,X-A"`, none, "Cache-Control: max-age=5", "Vary: x-a, X-Real-Ip, Accept")
	f(`age 0 life 5000 revive 0 rescue 0 vary "" encodes`, none, "Cache-Control: max-age=5", "Content-Type: Text/HTML; charset=x")
	f(`age 0 life 5000 revive 0 rescue 0 vary "" encodes`, none, "Cache-Control: max-age=5", "Content-Type: image/svg+xml")
	f(`age 0 life 5000 revive 0 rescue 0 vary ""`, none, "Cache-Control: max-age=5", "Content-Type: application/json5")
	f(`age 0 life 5000 revive 0 rescue 0 vary ""`, none, "Cache-Control: max-age=5, no-transform", "Content-Type: text/html")
	f(`age 0 life 5000 revive 0 rescue 0 vary "Accept-Encoding"`, none, "Cache-Control: max-age=5", "Content-Type: text/html", "Content-Encoding: gzip")
}

// TestStripCookies: cookies are taken out of what is stored, and stay with the one who asked; not where the request had
// Authorization.
func TestStripCookies(t *testing.T) {
	for _, auth := range []bool{false, true} {
		y := cachetest.Request("/")
		y.SetHead(200, nil, []byte("Set-Cookie: a=b\r\nX: 1\r\nset-cookie: c=d\r\nSet-Cookie2: e=f\r\n"))
		d := (&Maker{StripCookies: true}).Describe(y, auth)
		if d.SetCookie != auth || bytes.Contains(bytes.ToLower(d.Lines), []byte("cookie")) != auth || bytes.Count(bytes.ToLower(d.Own), []byte("cookie")) != 3 {
			t.Errorf("with Authorization %v: %v %q %q", auth, d.SetCookie, d.Lines, d.Own)
		}
	}
}

// TestCoded: the head of an encoded form says nothing of the bytes that it does not have, and its tag is weak.
func TestCoded(t *testing.T) {
	lines := "Content-Type: text/x\r\nETag: \"a\"\r\nContent-MD5: x\r\nDigest: x\r\nContent-Digest: x\r\nRepr-Digest: x\r\nX: 1\r\n"
	e := &Entry{Key: []byte("k"), Flags: Encodes | AlwaysAsk, ETag: []byte(`"a"`), Lines: []byte(lines)}
	form := Coded(e, []byte("k form"), &accept.Made[0])
	if want := "Content-Type: text/x\r\nETag: W/\"a\"\r\nX: 1\r\nContent-Encoding: gzip\r\n"; string(form.Lines) != want || string(form.ETag) != `W/"a"` ||
		form.Flags != AlwaysAsk || string(form.Key) != "k form" {
		t.Errorf("%+v", form)
	}
	if string(e.Lines) != lines || e.Flags != Encodes|AlwaysAsk || string(e.ETag) != `"a"` {
		t.Errorf("what it was made of is another: %+v", e)
	}
	e.ETag, e.Lines = []byte(`W/"a"`), []byte("Etag: W/\"a\"\r\n")
	if form := Coded(e, nil, &accept.Made[1]); string(form.ETag) != `W/"a"` || string(form.Lines) != "Etag: W/\"a\"\r\nContent-Encoding: br\r\n" {
		t.Errorf("%q %q", form.ETag, form.Lines)
	}
	e.ETag, e.Lines = nil, nil
	if form := Coded(e, nil, &accept.Made[2]); form.ETag != nil || string(form.Lines) != "Content-Encoding: zstd\r\n" {
		t.Errorf("%q %q", form.ETag, form.Lines)
	}
}

// TestNotModifiedLines: a 304 has the fields that it must have, and none about the body.
func TestNotModifiedLines(t *testing.T) {
	lines := "Cache-Control: a\r\nContent-Type: text/x\r\nETAG: \"a\"\r\nContent-Length: 5\r\nDate: d\r\nVary: V\r\nExpires: e\r\nContent-Location: /l\r\n" +
		"Last-Modified: m\r\nX-Some: 1\r\nContent-Encoding: gzip\r\n"
	want := "Cache-Control: a\r\nETAG: \"a\"\r\nDate: d\r\nVary: V\r\nExpires: e\r\nContent-Location: /l\r\nLast-Modified: m\r\n"
	if got := string(AppendNotModified(nil, []byte(lines))); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestMergeAgainstTwin: of each field that a 304 has, its lines are there and none of before; all others stay.
func TestMergeAgainstTwin(t *testing.T) {
	name := rapid.SampledFrom([]string{"A", "b", "Content-Length", "content-encoding", "CONTENT-RANGE", "ETag"})
	line := rapid.Custom(func(t *rapid.T) string {
		return name.Draw(t, "name") + ": " + rapid.StringMatching("[a-z]{0,3}").Draw(t, "value")
	})
	rapid.Check(t, func(t *rapid.T) {
		old, said := rapid.SliceOfN(line, 0, 6).Draw(t, "old"), rapid.SliceOfN(line, 0, 6).Draw(t, "said")
		join := func(list []string) []byte {
			if len(list) == 0 {
				return nil
			}
			return []byte(strings.Join(list, "\r\n") + "\r\n")
		}
		replaced := map[string]bool{}
		var tail, want []string
		for _, l := range said {
			n, _, _ := strings.Cut(strings.ToLower(l), ":")
			if n != "content-length" && n != "content-encoding" && n != "content-range" {
				replaced[n] = true
				tail = append(tail, l)
			}
		}
		for _, l := range old {
			if n, _, _ := strings.Cut(strings.ToLower(l), ":"); !replaced[n] {
				want = append(want, l)
			}
		}
		before := join(old)
		got := Merge(before, join(said))
		if !bytes.Equal(got, join(append(want, tail...))) || !bytes.Equal(before, join(old)) {
			t.Fatalf("%q and %q: %q", old, said, got)
		}
	})
}

// TestFlips: whichever byte of a stored entry is another, it is no entry, or one that has just these bytes; and one that
// is cut, or has more behind it, is none.
func TestFlips(t *testing.T) {
	e := &Entry{At: 1, Age: 2, Number: 3, Lifetime: 4, Status: 200, Key: []byte("key"), ETag: []byte(`"a"`), Hashes: make([]byte, 16),
		Vary: []byte("X-A"), Search: []byte("s"), Reason: []byte("OK"), Lines: []byte("A: b\r\n")}
	b := e.Append(nil)
	for at := range b {
		for _, with := range []byte{1, 0x80, 0xff} {
			flipped := bytes.Clone(b)
			flipped[at] ^= with
			var back Entry
			if back.Parse(flipped) == nil && !bytes.Equal(back.Append(nil), flipped) {
				t.Errorf("byte %d ^ %x: %+v", at, with, back)
			}
		}
		var back Entry
		if back.Parse(b[:at]) == nil || back.Parse(append(bytes.Clone(b), b[:at+1]...)) == nil {
			t.Errorf("cut at %d, or with so much more, it is an entry", at)
		}
	}
}

// TestSeconds: an answer is kept for as long as it is of use, and longer where it can be asked about.
func TestSeconds(t *testing.T) {
	f := func(e Entry, want int) {
		t.Helper()
		if got := e.Seconds(); got != want {
			t.Errorf("%+v: %d, want %d", e, got, want)
		}
	}
	f(Entry{}, 1)
	f(Entry{Lifetime: 5000}, 6)
	f(Entry{Lifetime: 5000, Age: 2000}, 4)
	f(Entry{Lifetime: 5000, Revive: 3000, Rescue: 7000}, 13)
	f(Entry{Lifetime: 5000, ETag: []byte(`"a"`)}, 3606)
	f(Entry{Lifetime: 5000, Modified: 1}, 3606)
	f(Entry{Lifetime: 1 << 60}, 1<<30)
}

// TestForNobodyElse: which answers the next one will ask about again.
func TestForNobodyElse(t *testing.T) {
	f := func(want bool, e Entry) {
		t.Helper()
		if e.ForNobodyElse() != want {
			t.Errorf("%+v: %v", e, !want)
		}
	}
	f(true, Entry{})
	f(false, Entry{Lifetime: 1})
	f(false, Entry{Revive: 1})
	f(true, Entry{Rescue: 1})
	f(true, Entry{Lifetime: 1000, Flags: AlwaysAsk})
	f(false, Entry{Flags: IsPass})
	f(false, Entry{Flags: IsSign | AlwaysAsk})
}
