package purge

import (
	"pgregory.net/rapid"
	"regexp"
	"testing"
)

func TestPurges(t *testing.T) {
	p := &Set{}
	url, other := []byte("http://h/a"), []byte("http://h/b")
	hashes := AppendHashes(nil, url, [][]byte{[]byte("one"), []byte("two")})
	f := func(what string, number int64, want Verdict) {
		t.Helper()
		if got := p.Judge(number, url, hashes, 0); got != want {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	f("before all", 0, Kept)
	p.ByHash(HashURL(other), false)
	p.ByHash(HashTag([]byte("three")), false)
	f("what others have", 0, Kept)
	p.ByHash(HashTag([]byte("two")), true) // 3
	f("softly", 2, Stale)
	f("asked for later", 3, Kept)
	p.ByHash(HashTag([]byte("two")), false) // 4
	f("hard", 3, Purged)
	p.ByRule([]byte("http://h/a/b"), nil, 0, 100, false) // 5
	f("another prefix", 4, Kept)
	p.ByRule([]byte("http://h/"), nil, 0, 100, true) // 6
	f("prefix, softly", 5, Stale)
	p.ByRule([]byte("http://h/"), nil, 0, 100, false) // 7
	f("prefix", 6, Purged)
	p.Everything(true) // 8
	f("all, softly", 7, Stale)
	p.Everything(false) // 9
	f("all", 8, Purged)
	f("later", 9, Kept)
	p.ByHash(HashURL(url), false)
	f("url", 9, Purged)
	n := p.Latest.Load()
	p.ByRule(nil, regexp.MustCompile(`^http://h/[bc]$`), 0, 100, false)
	f("another expression", n, Kept)
	p.ByRule(nil, regexp.MustCompile(`^http://h/[ab]$`), 0, 100, false)
	f("expression", n+1, Purged)
	f("asked for after that", n+2, Kept)
	if got := p.Judge(n+1, url, hashes, 100); got != Kept {
		t.Errorf("after its time: %v", got)
	}
	for range mostMatches + 1 {
		p.ByRule(nil, regexp.MustCompile("x"), 0, 100, false)
	}
	f("too many expressions are all", p.Latest.Load()-10, Purged)
	for range mostBans {
		p.ByRule([]byte("http://x/"), nil, 0, 100, false)
	}
	if f("too many prefixes are all", p.Latest.Load()-1, Kept); len(p.bans) > mostBans {
		t.Errorf("%d prefixes", len(p.bans))
	}
}

// TestPurgesJournal: purges that are read from their notes judge as before, and those of this process come
// after them.
func TestPurgesJournal(t *testing.T) {
	url, tagged := []byte("http://h/a/1"), AppendHashes(nil, []byte("http://h/a/1"), [][]byte{[]byte("t")})
	rapid.Check(t, func(t *rapid.T) {
		one := func(p *Set) []byte {
			soft := rapid.Bool().Draw(t, "soft")
			switch rapid.IntRange(0, 5).Draw(t, "kind") {
			case 0:
				return p.ByHash(HashURL(url), soft)
			case 1:
				return p.ByHash(HashTag([]byte("t")), soft)
			case 2:
				return p.ByRule([]byte("http://h/a"), nil, 0, 100, soft)
			case 3:
				return p.ByRule(nil, regexp.MustCompile("/a/"), 0, 100, soft)
			case 4:
				return p.Everything(soft)
			default:
				return p.ByHash(HashTag([]byte("other")), soft)
			}
		}
		before, after := &Set{}, &Set{}
		j := after.Journal()
		var notes [][]byte
		for range rapid.IntRange(0, 6).Draw(t, "before") {
			notes = append(notes, one(before))
		}
		if rapid.Bool().Draw(t, "compact") {
			notes = before.notes()
		}
		for range rapid.IntRange(0, 3).Draw(t, "meanwhile") {
			one(after)
		}
		own := after.Judge(0, url, tagged, 0) // of what was asked for before all purges of this process
		for _, n := range notes {
			j.Load(n)
		}
		j.Load(nil)
		for number := range before.Latest.Load() + 1 {
			want := max(before.Judge(number, url, tagged, 0), own)
			if got := after.Judge(number, url, tagged, 0); got != want {
				t.Fatalf("number %d: %v, want %v", number, got, want)
			}
		}
		if n := after.Latest.Load(); after.Judge(n, url, tagged, 0) != Kept || n < before.Latest.Load() {
			t.Fatal("what comes from now on is purged")
		}
		if one(after); after.Latest.Load() <= before.Latest.Load() {
			t.Fatal("a purge comes before an older one")
		}
	})
}
