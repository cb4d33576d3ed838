package purge

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/penstock-edge/penstock/cache/key"
	"github.com/penstock-edge/penstock/cache/store"
)

// TestParseOrder: what a call names, in the form of keys; what it may not say is refused whole.
func TestParseOrder(t *testing.T) {
	rules := key.New(nil)
	f := func(query, words string, soft bool, lasts time.Duration) {
		t.Helper()
		o, err := ParseOrder([]byte(query), rules)
		if err != nil || o.Words() != words || o.Soft != soft || o.Duration != lasts {
			t.Errorf("%s: %+v %v, want %s", query, o, err, words)
		}
	}
	f("all=1", "all", false, BanFor)
	f("all=true&soft=1", "all", true, BanFor)
	f("url=http://h/a", "url http://h/a", false, BanFor)
	f("url=HTTP://H:80/a%3Fb=c&soft=0", "url http://h/a?b=c", false, BanFor)
	f("url=https://h./a&url=http://h", "url https://h/a, url http://h/", false, BanFor)
	f("prefix=http://h/a&for=1h", "prefix http://h/a", false, time.Hour)
	f("prefix=http://h/a&match=%5Ehttp://h/.*x$&for=90s&soft=true", "prefix http://h/a, match ^http://h/.*x$", true, 90*time.Second)
	f("tag=a&tag=+b+&tag=a", "tag a, tag b, tag a", false, BanFor)
	f("tag=a&url=http://h/&prefix=http://h/&match=x", "url http://h/, prefix http://h/, tag a, match x", false, BanFor)
	g := func(query string, want ...string) {
		t.Helper()
		o, err := ParseOrder([]byte(query), rules)
		if err == nil || o != nil {
			t.Errorf("%s: %+v", query, o)
			return
		}
		for _, w := range want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %v, want %q", query, err, w)
			}
		}
	}
	g("", "nothing is named")
	g("soft=1", "nothing is named")
	g("for=1h", "nothing is named")
	g("all=0", "all", "must be 1")
	g("all=yes", "all", "1 or 0")
	g("all=1&all=1", "all is there twice")
	g("all=1&url=http://h/", "stands beside it")
	g("all=1&for=1h", "stands beside it")
	g("url=http://h/&for=1h", "for ends prefixes")
	g("tag=a&for=1h", "for ends prefixes")
	g("prefix=http://h/&for=1h&for=2h", "for is there twice")
	for _, span := range []string{"", "0s", "-1h", "1", "1d", "soon"} {
		g("prefix=http://h/&for="+span, "for", "such as 1h")
	}
	g("prefix=http://h/&soft=2", "soft", "1 or 0")
	g("prefix=http://h/&soft=1&soft=1", "soft is there twice")
	g("match=", "match", "all=1")
	g("match=(", "match", "RE2")
	g("match=(?=x)", "match", "RE2")
	for _, tag := range []string{"", "+", "a,b", "a+b", "a%09b", "a%00", "%7f", "a%0ab"} {
		g("tag="+tag, "tag", "one tag")
	}
	for _, url := range []string{"", "/a", "h/a", "ftp://h/a", "http:///a", "http://", "http://h/a+b", "http://h/%2500", "http://h/%0a", "//h/a"} {
		g("url="+url, "url")
	}
	g("prefix=http://h/a/..", "prefix", "dot segment")
	g("prefix=http://h/a/%252e", "prefix", "dot segment")
	g("URL=http://h/", "URL", "no selector")
	g("urls=http://h/&tag=", "urls", "no selector", "tag must be one tag") // all mistakes at once
	g("tag=%zz")
}

// TestTooManyMarks: with more hashes than are remembered everything is purged, and what comes after that is not.
func TestTooManyMarks(t *testing.T) {
	p := &Set{}
	for h := range uint64(mostMarks) {
		p.mark(h, 1, false)
	}
	p.Latest.Store(1)
	url := []byte("http://h/other")
	if p.Judge(1, url, nil, 0) != Kept {
		t.Fatal("it is purged already")
	}
	note := p.ByHash(1<<40, true)
	if p.Judge(1, url, nil, 0) != Purged || p.Judge(2, url, nil, 0) != Kept || len(p.marks) != 1 {
		t.Errorf("%v, %v, %d marks", p.Judge(1, url, nil, 0), p.Judge(2, url, nil, 0), len(p.marks))
	}
	again := &Set{} // as it is written down
	if again.again(note); again.Judge(1, url, nil, 0) != Purged {
		t.Error("it is not purged after a start")
	}
}

// TestRulesEnd: a rule that has ended makes room for others, and ends after a start as well.
func TestRulesEnd(t *testing.T) {
	p := &Set{}
	for i := range mostBans {
		p.ByRule(fmt.Append(nil, "http://h/", i, "/"), nil, 0, 100, false)
	}
	note := p.ByRule([]byte("http://h/x/"), nil, 100, 200, false)
	if len(p.bans) != 1 || p.Judge(0, []byte("http://other/"), nil, 100) != Kept {
		t.Errorf("%d rules", len(p.bans))
	}
	again := &Set{}
	again.again(note)
	for now, want := range map[int64]Verdict{199: Purged, 200: Kept} {
		if got := again.Judge(0, []byte("http://h/x/y"), nil, now); got != want {
			t.Errorf("at %d: %v", now, got)
		}
	}
}

// TestNotes: whatever stands in a journal, nothing is purged that no purge names, and nothing panics.
func TestNotes(t *testing.T) {
	p := &Set{}
	url := []byte("http://h/a")
	notes := [][]byte{p.ByHash(HashURL(url), false), p.ByHash(7, true), p.ByRule([]byte("http://h/"), nil, 0, 100, false),
		p.ByRule(nil, regexp.MustCompile("x+"), 0, 100, true), p.Everything(true), p.Everything(false)}
	for i, note := range notes {
		for cut := range len(note) {
			one := &Set{}
			one.again(note[:cut])
			if cut < purgeHead && one.Latest.Load() != 0 {
				t.Errorf("note %d, cut at %d, counts", i, cut)
			}
		}
		back, ok := parsePurge(note)
		if !ok || !bytes.Equal(back.note(), note) {
			t.Errorf("note %d: %+v", i, back)
		}
	}
	bad := purge{kind: purgeMatch, number: 5, until: 100, what: []byte("(")}
	one := &Set{}
	one.again(bad.note())
	one.again(purge{kind: 99, number: 6}.note())
	if one.Judge(5, url, nil, 0) != Kept || one.Latest.Load() != 6 {
		t.Errorf("%v, %d", one.Judge(5, url, nil, 0), one.Latest.Load())
	}
}

// TestPast: what purges were before one is not changed by it, whatever comes meanwhile.
func TestPast(t *testing.T) {
	p := &Set{}
	url := []byte("http://h/a")
	h := HashURL(url)
	judge := func(was *Past) Verdict { return p.JudgeAt(0, url, nil, 0, was) }
	was := p.Past([]uint64{h})
	p.ByHash(h, false)
	p.ByRule([]byte("http://"), nil, 0, 100, false)
	p.Everything(true)
	p.Everything(false)
	if judge(&was) != Kept || judge(nil) != Purged {
		t.Errorf("before %v, now %v", judge(&was), judge(nil))
	}
	p = &Set{}
	p.ByHash(h, true)
	was = p.Past([]uint64{h})
	p.ByHash(h, false)
	if judge(&was) != Stale || judge(nil) != Purged {
		t.Errorf("before %v, now %v", judge(&was), judge(nil))
	}
}

// TestAtOnce: purges at the same time have numbers of their own, each holds, and those who ask meanwhile see none that
// comes before an older one.
func TestAtOnce(t *testing.T) {
	p := &Set{}
	const each = 200
	var wg sync.WaitGroup
	numbers := make([][]int64, 4)
	for w := range numbers {
		wg.Go(func() {
			for i := range each {
				note, ok := parsePurge([][]byte{p.ByHash(uint64(i), w == 0), p.ByRule([]byte("http://x/"), nil, 0, 100, false),
					p.Everything(true)}[i%3])
				if !ok {
					t.Error("no note")
				}
				numbers[w] = append(numbers[w], note.number)
			}
		})
		wg.Go(func() {
			last := int64(0)
			for range each {
				n := p.Latest.Load()
				if n < last {
					t.Errorf("%d after %d", n, last)
				}
				last = n
				if p.Judge(n, []byte("http://x/"), nil, 0) != Kept && p.Latest.Load() == n {
					t.Error("what was asked for after all purges is purged")
				}
			}
		})
	}
	wg.Wait()
	seen := map[int64]bool{}
	for _, list := range numbers {
		for i, n := range list {
			if seen[n] || i > 0 && n <= list[i-1] {
				t.Fatalf("number %d twice, or too early", n)
			}
			seen[n] = true
		}
	}
	if n := p.Latest.Load(); n != 4*each*3 {
		t.Errorf("%d purges, want %d", n, 4*each*3)
	}
}

// TestCatalogAtOnce: answers that are listed and looked through at the same time are there once each.
func TestCatalogAtOnce(t *testing.T) {
	var c Catalog
	var wg sync.WaitGroup
	stay := func(*Node) bool { return true }
	for w := range 4 {
		wg.Go(func() {
			for i := range 1500 {
				var k store.Key
				binary.LittleEndian.PutUint64(k[:], uint64(i+1))
				c.Add(k, store.Key{}, AppendHashes(nil, fmt.Append(nil, i%100), [][]byte{fmt.Append(nil, "tag", i%7)}), stay)
				if i%500 == w {
					c.All(nil, func(*Node) {})
				}
			}
		})
	}
	wg.Wait()
	count := func(tags []uint64) (n int) {
		c.All(tags, func(*Node) { n++ })
		return n
	}
	if n := count(nil); n != 1500 {
		t.Errorf("%d answers of 1500", n)
	}
	if n := count([]uint64{TagBits(HashTag([]byte("tag3")))}); n < 214 || n > 1500 {
		t.Errorf("%d answers with a tag of 214", n)
	}
	for i := range 100 {
		if n := len(c.Of(HashURL(fmt.Append(nil, i)))); n != 15 {
			t.Errorf("URL %d has %d answers", i, n)
		}
	}
}
