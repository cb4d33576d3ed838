package cache

import (
	"pgregory.net/rapid"
	"regexp"
	"testing"
)

func TestPurges(t *testing.T) {
	p := &purges{}
	url, other := []byte("http://h/a"), []byte("http://h/b")
	hashes := appendHashes(nil, url, [][]byte{[]byte("one"), []byte("two")})
	f := func(what string, number int64, want verdict) {
		t.Helper()
		if got := p.judge(number, url, hashes, 0); got != want {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	f("before all", 0, kept)
	p.byHash(hashURL(other), false)
	p.byHash(hashTag([]byte("three")), false)
	f("what others have", 0, kept)
	p.byHash(hashTag([]byte("two")), true) // 3
	f("softly", 2, stale)
	f("asked for later", 3, kept)
	p.byHash(hashTag([]byte("two")), false) // 4
	f("hard", 3, purged)
	p.byRule([]byte("http://h/a/b"), nil, 0, 100, false) // 5
	f("another prefix", 4, kept)
	p.byRule([]byte("http://h/"), nil, 0, 100, true) // 6
	f("prefix, softly", 5, stale)
	p.byRule([]byte("http://h/"), nil, 0, 100, false) // 7
	f("prefix", 6, purged)
	p.everything(true) // 8
	f("all, softly", 7, stale)
	p.everything(false) // 9
	f("all", 8, purged)
	f("later", 9, kept)
	p.byHash(hashURL(url), false)
	f("url", 9, purged)
	n := p.latest.Load()
	p.byRule(nil, regexp.MustCompile(`^http://h/[bc]$`), 0, 100, false)
	f("another expression", n, kept)
	p.byRule(nil, regexp.MustCompile(`^http://h/[ab]$`), 0, 100, false)
	f("expression", n+1, purged)
	f("asked for after that", n+2, kept)
	if got := p.judge(n+1, url, hashes, 100); got != kept {
		t.Errorf("after its time: %v", got)
	}
	for range mostMatches + 1 {
		p.byRule(nil, regexp.MustCompile("x"), 0, 100, false)
	}
	f("too many expressions are all", p.latest.Load()-10, purged)
	for range mostBans {
		p.byRule([]byte("http://x/"), nil, 0, 100, false)
	}
	if f("too many prefixes are all", p.latest.Load()-1, kept); len(p.bans) > mostBans {
		t.Errorf("%d prefixes", len(p.bans))
	}
}

// TestPurgesJournal: purges that are read from their notes judge as before, and those of this process come
// after them.
func TestPurgesJournal(t *testing.T) {
	url, tagged := []byte("http://h/a/1"), appendHashes(nil, []byte("http://h/a/1"), [][]byte{[]byte("t")})
	rapid.Check(t, func(t *rapid.T) {
		one := func(p *purges) []byte {
			soft := rapid.Bool().Draw(t, "soft")
			switch rapid.IntRange(0, 5).Draw(t, "kind") {
			case 0:
				return p.byHash(hashURL(url), soft)
			case 1:
				return p.byHash(hashTag([]byte("t")), soft)
			case 2:
				return p.byRule([]byte("http://h/a"), nil, 0, 100, soft)
			case 3:
				return p.byRule(nil, regexp.MustCompile("/a/"), 0, 100, soft)
			case 4:
				return p.everything(soft)
			default:
				return p.byHash(hashTag([]byte("other")), soft)
			}
		}
		before, after := &purges{}, &purges{}
		j := after.journal()
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
		own := after.judge(0, url, tagged, 0) // of what was asked for before all purges of this process
		for _, n := range notes {
			j.Load(n)
		}
		j.Load(nil)
		for number := range before.latest.Load() + 1 {
			want := max(before.judge(number, url, tagged, 0), own)
			if got := after.judge(number, url, tagged, 0); got != want {
				t.Fatalf("number %d: %v, want %v", number, got, want)
			}
		}
		if n := after.latest.Load(); after.judge(n, url, tagged, 0) != kept || n < before.latest.Load() {
			t.Fatal("what comes from now on is purged")
		}
		if one(after); after.latest.Load() <= before.latest.Load() {
			t.Fatal("a purge comes before an older one")
		}
	})
}
