package records

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/penstock-edge/penstock/cache/accept"
	"github.com/penstock-edge/penstock/cache/cachetest"
	"github.com/penstock-edge/penstock/cache/disk"
	"github.com/penstock-edge/penstock/cache/entry"
	"github.com/penstock-edge/penstock/cache/key"
	"github.com/penstock-edge/penstock/cache/purge"
	"github.com/penstock-edge/penstock/cache/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// drawer are records with a clock of the test's own, with or without a disk below.
type drawer struct {
	*Records
	t   testing.TB
	now *atomic.Int64 // milliseconds since 1970
}

const start = 1_900_000_000_000 // later than the clock of the machine, by which a disk forgets

func newDrawer(t testing.TB, below *Durable) *drawer {
	d := &drawer{New(16<<20, below), t, &atomic.Int64{}}
	d.now.Store(start)
	d.Tick = func() int64 { return d.now.Load() * int64(time.Millisecond) }
	d.WallAt = func(now int64) int64 { return now }
	return d
}

// open opens a folder and waits until it is loaded.
func open(t testing.TB, dir string) *Durable {
	t.Helper()
	s, err := OpenDurable(DiskOptions{Dir: dir, Size: disk.MinSize, Objects: 1000}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for !s.Tier.Loaded() {
		runtime.Gosched()
	}
	return s
}

// entryOf returns the entry of an answer for a path, with tags.
func (d *drawer) entryOf(path string, tags ...string) *entry.Entry {
	var all [][]byte
	for _, tag := range tags {
		all = append(all, []byte(tag))
	}
	text, url := new(key.Rules).Append(nil, cachetest.Request(path), "r")
	return &entry.Entry{At: d.Now(), Number: d.Purges.Latest.Load(), Lifetime: 10_000, Status: 200, Key: text, Hashes: purge.AppendHashes(nil, url, all)}
}

// keep stores an answer.
func (d *drawer) keep(e *entry.Entry, body string) *store.Object {
	o, fits := d.KeepLatest(d.Hash(e.Key), e, [][]byte{[]byte(body)})
	if !fits {
		d.t.Errorf("%s does not fit", e.Key)
	}
	return o
}

// body returns what is stored in memory of an entry's key.
func (d *drawer) body(e *entry.Entry) string {
	o, _, ok := d.Store.Get(d.Hash(e.Key), nil)
	if !ok {
		return "nothing"
	}
	b, err := whole(&o)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// onDisk returns what is stored on disk of an entry's key, when all that waits has been written.
func (d *drawer) onDisk(e *entry.Entry) string {
	for d.Tier.HasKey(d.Tier.KeyOf(e.Key)) && !d.Tier.Has(e.Key) {
		runtime.Gosched()
	}
	if o := d.Tier.Get(e.Key); o != nil {
		return string(o.Body)
	}
	return "nothing"
}

// TestLatest: of two answers the one that was asked for later stays, whichever is stored first; signs and passes are in
// nobody's way.
func TestLatest(t *testing.T) {
	d := newDrawer(t, NewDurable())
	early, late := d.entryOf("/a"), d.entryOf("/a")
	late.At++
	if d.keep(late, "late"); d.keep(early, "early") != nil || d.body(early) != "late" {
		t.Errorf("%s is stored", d.body(early))
	}
	same := d.entryOf("/a")
	same.At = late.At
	if d.keep(same, "same"); d.body(early) != "same" {
		t.Errorf("%s is stored", d.body(early))
	}
	pass := d.entryOf("/b")
	d.RememberPass(d.Hash(pass.Key), pass.Key, start+5000)
	if d.keep(pass, "early"); d.body(pass) != "early" {
		t.Error("what is not to be stored has kept another one away")
	}
}

// TestLatestAtOnce: so it is when many are stored at the same time.
func TestLatestAtOnce(t *testing.T) {
	d := newDrawer(t, NewDurable())
	for round := range 50 {
		path := fmt.Sprint("/", round)
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				e := d.entryOf(path)
				e.At += int64(i)
				d.KeepLatest(d.Hash(e.Key), e, [][]byte{fmt.Append(nil, "body ", i)})
			})
		}
		wg.Wait()
		if got := d.body(d.entryOf(path)); got != "body 7" {
			t.Fatalf("round %d: %s", round, got)
		}
	}
}

// TestRenewLatest: a confirmation is of the body that was asked about, and of nothing that has taken its place.
func TestRenewLatest(t *testing.T) {
	d := newDrawer(t, NewDurable())
	life := func(e *entry.Entry) int64 {
		now := d.peek(d.Hash(e.Key), e.Key)
		if now == nil {
			return -1
		}
		return now.Lifetime
	}
	e := d.entryOf("/a")
	k, number := d.Hash(e.Key), d.keep(e, "one").Number()
	renewed := *e
	renewed.At, renewed.Lifetime = e.At+100, 20_000
	d.RenewLatest(k, number+1, &renewed)
	if life(e) != 10_000 {
		t.Error("another body was renewed")
	}
	d.RenewLatest(k, number, &renewed)
	if life(e) != 20_000 || d.body(e) != "one" {
		t.Errorf("%d, %s", life(e), d.body(e))
	}
	older := *e
	older.At, older.Lifetime = e.At+50, 30_000
	if d.RenewLatest(k, number, &older); life(e) != 20_000 {
		t.Error("an older confirmation has taken the place of a later one")
	}
	next := d.entryOf("/a")
	next.At += 1000
	d.keep(next, "two")
	renewed.At += 5000
	if d.RenewLatest(k, number, &renewed); life(e) != 10_000 || d.body(e) != "two" {
		t.Errorf("%d, %s", life(e), d.body(e))
	}
	d.Forget(k, e.Key)
	if d.RenewLatest(k, number, &renewed); life(e) != -1 {
		t.Error("what was forgotten is there again")
	}
}

// TestHolds: what is fresh, and what is of use.
func TestHolds(t *testing.T) {
	f := func(name string, fresh, useful bool, change func(d *drawer, e *entry.Entry)) {
		t.Helper()
		d := newDrawer(t, NewDurable())
		e := d.entryOf("/a", "tag")
		change(d, e)
		k := d.Hash(e.Key)
		if got, use := d.HoldsFresh(k, e.Key), d.HoldsUseful(k, e.Key); got != fresh || use != useful {
			t.Errorf("%s: fresh %v, useful %v", name, got, use)
		}
		if d.HoldsFresh(k, []byte("another key")) || d.HoldsUseful(k, []byte("another key")) {
			t.Errorf("%s: so is what has a hash in common", name)
		}
	}
	f("nothing", false, false, func(*drawer, *entry.Entry) {})
	f("fresh", true, true, func(d *drawer, e *entry.Entry) { d.keep(e, "a") })
	aged := func(revive, rescue int64, flags uint16) func(*drawer, *entry.Entry) {
		return func(d *drawer, e *entry.Entry) {
			e.Revive, e.Rescue, e.Flags, e.ETag = revive, rescue, flags, []byte(`"a"`)
			d.keep(e, "a")
			d.now.Add(15_000)
		}
	}
	f("stale", false, false, aged(0, 0, 0))
	f("stale, served while it is fetched", false, true, aged(6000, 0, 0))
	f("stale, for too long", false, false, aged(4000, 0, 0))
	f("stale, served when that fails", false, true, aged(0, 6000, 0))
	f("stale, asked about each time", false, true, aged(0, 0, entry.AlwaysAsk))
	f("a sign", true, true, func(d *drawer, e *entry.Entry) {
		d.PutUp(&entry.Entry{At: e.At, Flags: entry.IsSign, Vary: []byte("X-A"), Key: e.Key})
	})
	f("a rule for queries", true, true, func(d *drawer, e *entry.Entry) {
		d.PutUp(&entry.Entry{At: e.At, Flags: entry.IsSearch, Search: []byte("x"), Key: e.Key})
	})
	f("what is not to be stored", false, false, func(d *drawer, e *entry.Entry) { d.RememberPass(d.Hash(e.Key), e.Key, e.At) })
	f("purged", false, false, func(d *drawer, e *entry.Entry) {
		d.keep(e, "a")
		d.Purges.ByHash(purge.HashTag([]byte("tag")), false)
	})
	f("purged softly", true, true, func(d *drawer, e *entry.Entry) {
		d.keep(e, "a")
		d.Purges.ByHash(purge.HashTag([]byte("tag")), true)
	})
}

// TestRememberPass: what is not to be stored takes the place of what is of no use, and is forgotten in time.
func TestRememberPass(t *testing.T) {
	d := newDrawer(t, NewDurable())
	e := d.entryOf("/a")
	k := d.Hash(e.Key)
	d.keep(e, "a")
	if d.RememberPass(k, e.Key, d.Now()); d.body(e) != "a" {
		t.Error("what is fresh has gone")
	}
	d.now.Add(20_000)
	d.RememberPass(k, e.Key, d.Now())
	if p := d.peek(k, e.Key); p == nil || p.Flags != entry.IsPass || p.Lifetime != PassFor.Milliseconds() {
		t.Errorf("%+v", p)
	}
	d.now.Add(PassFor.Milliseconds() + 2000)
	d.Store.At(d.Now() / 1000)
	if p := d.peek(k, e.Key); p != nil {
		t.Errorf("it is remembered for ever: %+v", p)
	}
}

// TestSigns: a sign keeps what is known of codings while it names the same fields.
func TestSigns(t *testing.T) {
	d := newDrawer(t, NewDurable())
	f := func(vary string, add, want accept.Forms) {
		t.Helper()
		d.PutUp(&entry.Entry{At: d.Now(), Flags: entry.IsSign, Forms: add, Vary: []byte(vary), Key: []byte("k")})
		e := d.peek(d.Hash([]byte("k")), []byte("k"))
		if e == nil || e.Forms != want || string(d.VariesBy([]byte("k"))) != vary {
			t.Errorf("%s: %+v, want the forms %d", vary, e, want)
		}
	}
	f("X-A", 1, 1)
	f("X-A", 2, 3)
	f("X-A", 8, 11)
	f("X-B", 4, 4)
	if got := d.VariesBy([]byte("another")); got != nil {
		t.Errorf("%q", got)
	}
	d.keep(&entry.Entry{At: d.Now(), Lifetime: 1000, Status: 200, Key: []byte("answer"), Vary: []byte("X-A")}, "a")
	if got := d.VariesBy([]byte("answer")); got != nil {
		t.Errorf("an answer is taken for a sign: %q", got)
	}
	var wg sync.WaitGroup
	for i := range 8 { // at once: nothing is lost
		wg.Go(func() {
			d.PutUp(&entry.Entry{At: d.Now(), Flags: entry.IsSign, Forms: 1 << i, Vary: []byte("V"), Key: []byte("m")})
		})
	}
	wg.Wait()
	if e := d.peek(d.Hash([]byte("m")), []byte("m")); e == nil || e.Forms != 255 {
		t.Errorf("%+v", e)
	}
}

// TestLargest: what does not fit is not stored, nor found on disk.
func TestLargest(t *testing.T) {
	below := open(t, t.TempDir())
	defer below.Close()
	d := newDrawer(t, below)
	e := d.entryOf("/a")
	if o, fits := d.KeepLatest(d.Hash(e.Key), e, [][]byte{make([]byte, 5<<20)}); o != nil || fits {
		t.Error("more than a quarter of all is stored")
	}
	e.Lines = make([]byte, 1<<20)
	if o, fits := d.KeepLatest(d.Hash(e.Key), e, nil); o != nil || fits {
		t.Error("a head of a megabyte is stored")
	}
	if got := d.onDisk(e); got != "nothing" {
		t.Errorf("%d bytes on disk", len(got))
	}
	if n := d.Purge(&purge.Order{All: true}, func() {}); n != 0 {
		t.Errorf("%d answers are purged", n)
	}
}

// TestPromote: what is on disk is brought into memory if it is still of use, and still what is stored.
func TestPromote(t *testing.T) {
	dir := t.TempDir()
	below := open(t, dir)
	d := newDrawer(t, below)
	large := bytes.Repeat([]byte("x"), 300_000)
	bodies := map[string]string{"/a": "small", "/b": string(large), "/c": ""}
	for path, body := range bodies {
		d.keep(d.entryOf(path), body)
	}
	below.Close()
	below = open(t, dir) // after a start memory is empty
	defer below.Close()
	d = newDrawer(t, below)
	for path, body := range bodies {
		e := d.entryOf(path)
		k := d.Hash(e.Key)
		if got := d.body(e); got != "nothing" {
			t.Fatalf("%s: %q in memory", path, got)
		}
		if !d.Promote(k, e.Key) || d.body(e) != body {
			t.Errorf("%s: %d bytes", path, len(d.body(e)))
		}
		if d.Promote(k, []byte("another key")) {
			t.Errorf("%s: so is another one", path)
		}
	}
	e := d.entryOf("/a")
	d.Store.Delete(d.Hash(e.Key))
	d.now.Add(12_000)
	if d.Promote(d.Hash(e.Key), e.Key) {
		t.Error("it is brought back after its time")
	}
	d.now.Add(-12_000)
	d.Forget(d.Hash(e.Key), e.Key)
	if d.Promote(d.Hash(e.Key), e.Key) || d.onDisk(e) != "nothing" {
		t.Error("what was forgotten is brought back")
	}
}

// TestRestart: what is stored, renewed, forgotten and purged is so after a start as well.
func TestRestart(t *testing.T) {
	dir := t.TempDir()
	below := open(t, dir)
	d := newDrawer(t, below)
	for i := range 6 {
		d.keep(d.entryOf(fmt.Sprint("/", i), fmt.Sprint("tag ", i), "all"), fmt.Sprint("body ", i))
	}
	e := d.entryOf("/0")
	o, _, _ := d.Store.Get(d.Hash(e.Key), nil)
	d.onDisk(e)
	renewed := d.entryOf("/0", "other")
	renewed.Lifetime = 50_000
	d.RenewLatest(d.Hash(e.Key), o.Number(), renewed)
	d.Forget(d.Hash(d.entryOf("/1").Key), d.entryOf("/1").Key)
	purges := []*purge.Order{{Tags: []string{"tag 2"}}, {Urls: [][]byte{[]byte("http://h.example/3")}}, {Tags: []string{"tag 4"}, Soft: true},
		{Prefixes: [][]byte{[]byte("http://h.example/5")}, Duration: time.Hour}}
	for i, order := range purges {
		if n := d.Purge(order, func() {}); n != 1 {
			t.Errorf("purge %d: %d answers", i, n)
		}
	}
	below.Close()
	below = open(t, dir)
	defer below.Close()
	d = newDrawer(t, below)
	verdicts := []string{"", "nothing", "purged", "purged", "stale", "purged"}
	for i := range 6 {
		now, got := d.entryOf(fmt.Sprint("/", i)), "nothing"
		if d.Promote(d.Hash(now.Key), now.Key) {
			was := d.peek(d.Hash(now.Key), now.Key)
			got = map[purge.Verdict]string{purge.Purged: "purged", purge.Stale: "stale"}[d.Purges.Judge(was.Number, key.URLIn(was.Key), was.Hashes, d.Now())]
			if i == 0 && was.Lifetime != 50_000 {
				t.Error("it is not renewed any more")
			}
		}
		if got != verdicts[i] {
			t.Errorf("/%d is %q, want %q", i, got, verdicts[i])
		}
	}
	// Tags are known of what is on disk alone too, and count once.
	for i, order := range []*purge.Order{{Tags: []string{"tag 0"}}, {Tags: []string{"other", "all"}}, {All: true}} {
		if n := d.Purge(order, func() {}); n != []int{0, 2, 0}[i] {
			t.Errorf("purge %d after the start: %d answers", i, n)
		}
	}
}

// TestPurgeNotWritten: when a purge cannot be written down, what is on disk goes, lest it come back.
func TestPurgeNotWritten(t *testing.T) {
	dir := t.TempDir()
	below := open(t, dir)
	d := newDrawer(t, below)
	e := d.entryOf("/a")
	if d.keep(e, "a"); d.onDisk(e) != "a" {
		t.Fatal("not on disk")
	}
	// The journal is written anew when it has become large, for which its folder has to be there.
	if err := os.Mkdir(filepath.Join(dir, "journal.new"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "journal.new", "x"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for d.Tier.Len() > 0 {
		d.Purge(&purge.Order{Prefixes: [][]byte{bytes.Repeat([]byte("x"), 100_000)}, Duration: time.Hour}, func() {})
	}
	if got := d.onDisk(e); got != "nothing" {
		t.Errorf("%q is on disk", got)
	}
	if d.body(e) != "a" {
		t.Error("it has gone in memory too")
	}
	below.Close()
	if err := os.RemoveAll(filepath.Join(dir, "journal.new")); err != nil {
		t.Fatal(err)
	}
	below = open(t, dir)
	defer below.Close()
	if d = newDrawer(t, below); d.Promote(d.Hash(e.Key), e.Key) {
		t.Error("it comes back with a start")
	}
}

// TestPurgeBeside: whatever is stored and purged at the same time, what was asked for before a purge is not used after
// it.
func TestPurgeBeside(t *testing.T) {
	d := newDrawer(t, NewDurable())
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 300 {
				path := fmt.Sprint("/", i%20)
				if w == 0 {
					order := &purge.Order{Tags: []string{fmt.Sprint("t", i%5)}, Soft: i%7 == 0}
					if i%50 == 49 {
						order = &purge.Order{All: true}
					}
					d.Purge(order, func() {})
					continue
				}
				e := d.entryOf(path, fmt.Sprint("t", i%5))
				d.KeepLatest(d.Hash(e.Key), e, [][]byte{[]byte("x")})
				if now := d.peek(d.Hash(e.Key), e.Key); now != nil && now.Number > d.Purges.Latest.Load() {
					t.Errorf("an answer has the number %d of no purge", now.Number)
				}
			}
		})
	}
	wg.Wait()
	d.Purge(&purge.Order{All: true}, func() {})
	for i := range 20 {
		e := d.entryOf(fmt.Sprint("/", i))
		if d.HoldsFresh(d.Hash(e.Key), e.Key) {
			t.Errorf("/%d is fresh after all was purged", i)
		}
	}
	if n := d.Purge(&purge.Order{All: true}, func() {}); n != 0 {
		t.Errorf("%d answers are purged twice", n)
	}
}

// TestNoFolder: a folder that cannot be had is an error.
func TestNoFolder(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenDurable(DiskOptions{Dir: file, Size: disk.MinSize}, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("a file is a folder")
	}
}
