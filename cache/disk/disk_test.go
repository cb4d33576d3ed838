package disk

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/zeebo/xxh3"
	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// begin opens a tier and waits until it is loaded.
func begin(t interface{ Fatal(...any) }, o Options, create func(string) (file, error)) *Tier {
	if o.Size == 0 {
		o.Size, o.Largest = MinSize, 1<<20
	}
	if err := Probe(o.Dir); err != nil {
		t.Fatal(err)
	}
	tier := open(o, create)
	for !tier.Loaded() {
		select {
		case <-tier.done:
			t.Fatal("the folder cannot be loaded")
		default:
			runtime.Gosched()
		}
	}
	return tier
}

// settle waits until all that waited is written.
func (t *Tier) settle() {
	for {
		t.mu.RLock()
		n := t.queued + int64(len(t.changed))
		t.mu.RUnlock()
		if n == 0 {
			return
		}
		runtime.Gosched()
	}
}

const never = 1 << 40

// kill ends a tier as the end of its process would: nothing more is written.
func (t *Tier) kill() {
	t.mu.Lock()
	for k := range t.changed {
		t.changed[k] = 0
	}
	t.queue = nil
	t.mu.Unlock()
	state := filepath.Join(t.opt.Dir, "state")
	was, _ := os.ReadFile(state) // there since it was loaded
	t.Close()
	_ = os.WriteFile(state, was, 0o600) // in a folder of the test
}

// TestAgainstMap: what is found is what was stored last under the name, whole, also after the tier was closed, or
// killed, and opened again; what was written by then is found.
func TestAgainstMap(t *testing.T) {
	dir, folders := t.TempDir(), 0
	rapid.Check(t, func(rt *rapid.T) {
		folders++
		d := filepath.Join(dir, fmt.Sprint(folders))
		tier := begin(rt, Options{Dir: d}, createFile)
		defer func() { tier.Close() }()
		type object struct{ meta, body string }
		twin := map[string]object{}
		check := func() {
			for i := range 5 {
				name := fmt.Sprint("name ", i)
				want, there := twin[name]
				o := tier.Get([]byte(name))
				if there != (o != nil) || tier.Has([]byte(name)) != there {
					rt.Fatalf("%s: %v, want %v", name, o, there)
				}
				if there && (string(o.Meta) != want.meta || string(o.Body) != want.body || !tier.Current([]byte(name), o)) {
					rt.Fatalf("%s: %q and %d bytes, want %q and %d", name, o.Meta, len(o.Body), want.meta, len(want.body))
				}
			}
		}
		for step := range rapid.IntRange(1, 40).Draw(rt, "steps") {
			name := fmt.Sprint("name ", rapid.IntRange(0, 4).Draw(rt, "name"))
			switch rapid.SampledFrom([]string{"put", "put", "put", "renew", "delete", "check", "close", "kill"}).Draw(rt, "step") {
			case "put":
				size := rapid.SampledFrom([]int{0, 1, 100, 70_000, 200_000}).Draw(rt, "size")
				o := object{fmt.Sprint("meta ", step), strings.Repeat(string(rune('a'+step%26)), size)}
				half := size / 2
				tier.Put([]byte(name), []byte(o.meta), [][]byte{[]byte(o.body)[:half], []byte(o.body)[half:]}, never)
				twin[name] = o
			case "renew":
				tier.settle()
				o, there := twin[name]
				old := o.meta
				if rapid.IntRange(0, 3).Draw(rt, "of another") == 0 {
					old += "?"
				}
				tier.Renew([]byte(name), []byte(old), fmt.Append(nil, "renewed ", step), never)
				if o.meta = fmt.Sprint("renewed ", step); there {
					twin[name] = o
				}
				if strings.HasSuffix(old, "?") {
					delete(twin, name)
				}
			case "delete":
				tier.Delete([]byte(name))
				delete(twin, name)
			case "check":
				tier.settle()
				check()
			case "close":
				tier.Close()
				tier = begin(rt, Options{Dir: d}, createFile)
				check()
			case "kill":
				tier.settle()
				tier.kill()
				tier = begin(rt, Options{Dir: d}, createFile)
				check()
			}
		}
	})
}

// written is a segment with some records, its bytes, and what is in it by key.
func written(t *testing.T) (path string, b []byte, want map[key]string, ends []int64) {
	path = filepath.Join(t.TempDir(), segmentPath("", 7))
	f, err := createFile(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := &segment{number: 7, path: path, f: f}
	want = map[key]string{}
	for i := range 6 {
		r := &record{kind: kindPut, key: key{byte(i)}, until: 1 << 31, meta: fmt.Append(nil, "meta ", i)}
		body := bytes.Repeat([]byte{byte('a' + i)}, 40*i)
		if i == 4 { // another meta for the body of 3
			r.kind, r.key, r.body, r.sum = kindRenew, key{3}, place{7, uint32(ends[2]) + headSize + 6, 120}, xxh3.Hash(bytes.Repeat([]byte("d"), 120))
			body = nil
		}
		if err := s.append(bufio.NewWriter(nil), r, [][]byte{body}); err != nil {
			t.Fatal(err)
		}
		if r.kind == kindPut {
			want[r.key] = fmt.Sprint("meta ", i, string(body))
		}
		ends = append(ends, s.size)
	}
	if b, err = os.ReadFile(path); err != nil {
		t.Fatal(err)
	}
	return path, b, want, ends
}

// takeIn reads a segment as a start does and returns what is found by key.
func takeIn(t *testing.T, path string, b []byte) map[key]string {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := &segment{number: 7, path: path, f: f}
	c := noContents()
	if err := c.readSegment(s, nil); err != nil {
		t.Fatal(err)
	}
	found := map[key]string{}
	for k, where := range c.index {
		if o, err := get(s, s, where); err == nil {
			found[k] = string(o.Meta) + string(o.Body)
		}
	}
	return found
}

// TestCut: of a segment that ends at any byte, all records before that are found, and nothing else.
func TestCut(t *testing.T) {
	path, b, want, ends := written(t)
	for cut := range len(b) + 1 {
		whole := 0
		for whole < len(ends) && ends[whole] <= int64(cut) {
			whole++
		}
		for k, got := range takeIn(t, path, b[:cut]) {
			before := want[k]
			if k == (key{3}) && whole > 4 {
				before = "meta 4" + strings.Repeat("d", 120)
			}
			if got != before {
				t.Fatalf("cut at %d: %x is %q", cut, k[:1], got)
			}
		}
		if n := len(takeIn(t, path, b[:cut])); n != whole && n != whole-1 {
			t.Fatalf("cut at %d: %d found of %d", cut, n, whole)
		}
	}
}

// TestFlip: whichever byte is another, nothing is found that was not written.
func TestFlip(t *testing.T) {
	path, b, want, _ := written(t)
	want[key{3}] += "or renewed"
	for at := range b {
		for _, with := range []byte{1, 0x80, 0xff} {
			flipped := bytes.Clone(b)
			flipped[at] ^= with
			for k, got := range takeIn(t, path, flipped) {
				if got != want[k] && (k != key{3} || got != "meta 3"+strings.Repeat("d", 120) && got != "meta 4"+strings.Repeat("d", 120)) {
					t.Fatalf("byte %d ^ %x: %x is %q", at, with, k[:1], got)
				}
			}
		}
	}
}

func FuzzSegment(f *testing.F) {
	r := record{kind: kindPut, until: 1 << 31, meta: []byte("meta"), body: place{7, headSize + 4, 4}, sum: xxh3.Hash([]byte("body"))}
	f.Add(append(r.appendHead(nil, 7, 0), "body"...))
	f.Fuzz(func(t *testing.T, b []byte) {
		s := &segment{number: 7, f: memory{bytes.NewReader(b)}}
		end, err := s.scan(int64(len(b)), func(r *record, offset uint32) {
			if !bytes.Equal(r.appendHead(nil, 7, offset), b[offset:int64(offset)+headSize+int64(len(r.meta))]) && b[offset+5]|b[offset+6]|b[offset+7] == 0 {
				t.Error("another record would have these bytes")
			}
		})
		if err != nil || end > int64(len(b)) {
			t.Error(end, err)
		}
	})
}

// memory is a file that cannot be written.
type memory struct{ *bytes.Reader }

func (memory) WriteAt([]byte, int64) (int, error) { return 0, syscall.EROFS }
func (memory) Close() error                       { return nil }
func (memory) Sync() error                        { return nil }

// TestSize: the files never take more than they may, the oldest objects go, and those that are wanted stay.
func TestSize(t *testing.T) {
	o := Options{Dir: t.TempDir(), Size: MinSize, Largest: 1 << 20, Wanted: func(meta []byte) bool { return string(meta) == "wanted" }}
	tier := begin(t, o, createFile)
	defer tier.Close()
	tier.Put([]byte("wanted"), []byte("wanted"), [][]byte{[]byte("w")}, never)
	body := make([]byte, 500_000)
	for i := range 400 { // three times what there is room for
		tier.Put(fmt.Append(nil, i), nil, [][]byte{body}, never)
		tier.settle()
		if n := tier.Bytes(); n > o.Size {
			t.Fatalf("%d bytes of %d", n, o.Size)
		}
	}
	if n := tier.Bytes(); n < o.Size*3/4 {
		t.Errorf("%d bytes of %d are used", n, o.Size)
	}
	if tier.Has([]byte("0")) || !tier.Has([]byte("399")) || tier.Get([]byte("wanted")) == nil {
		t.Error("not the oldest have gone")
	}
	files, err := filepath.Glob(filepath.Join(o.Dir, "*"+segmentEnd))
	total := int64(0)
	for _, f := range files {
		info, err := os.Stat(f)
		if err != nil {
			t.Fatal(err)
		}
		total += info.Size()
	}
	if err != nil || total != tier.Bytes() {
		t.Errorf("%d bytes in files, %d counted, %v", total, tier.Bytes(), err)
	}
	if n := tier.Len(); n > 140 {
		t.Errorf("%d objects are known", n)
	}
	tier.Resize(MinSize / 2)
	for i := range 10 {
		tier.Put(fmt.Append(nil, "later ", i), nil, [][]byte{body}, never)
	}
	if tier.settle(); tier.Bytes() > MinSize/2 {
		t.Errorf("%d bytes after the size became less", tier.Bytes())
	}
	tier.Clear()
	if tier.Len() != 0 || tier.Bytes() != 0 || tier.Has([]byte("later 9")) {
		t.Error("something is left")
	}
	tier.Put([]byte("new"), nil, nil, never)
	if tier.settle(); !tier.Has([]byte("new")) {
		t.Error("nothing is stored any more")
	}
	tier.Put([]byte("past"), nil, nil, 1)
	if tier.settle(); tier.Has([]byte("past")) || tier.Get([]byte("past")) != nil {
		t.Error("something is found after its time")
	}
}

// TestObjects: no more objects are known than may be, also after a start; the oldest go.
func TestObjects(t *testing.T) {
	o := Options{Dir: t.TempDir(), Size: MinSize, Largest: 1 << 20, Objects: 100}
	tier := begin(t, o, createFile)
	body := make([]byte, 100_000)
	for i := range 250 {
		tier.Put(fmt.Append(nil, i), nil, [][]byte{body}, never)
		if tier.settle(); tier.Len() > o.Objects {
			t.Fatalf("%d objects", tier.Len())
		}
	}
	if !tier.Has([]byte("249")) || tier.Has([]byte("0")) || tier.Len() < 50 {
		t.Errorf("%d objects", tier.Len())
	}
	tier.Close()
	o.Objects = 60
	tier = begin(t, o, createFile)
	defer tier.Close()
	if n := tier.Len(); n >= o.Objects || !tier.Has([]byte("249")) {
		t.Errorf("%d objects after a start", n)
	}
}

// small is a disk that takes so many bytes.
type small struct {
	file
	room *atomic.Int64
}

func (s small) WriteAt(b []byte, at int64) (int, error) {
	if left := s.room.Add(-int64(len(b))); left < 0 {
		n := max(len(b)+int(left), 0)
		_, _ = s.file.WriteAt(b[:n], at) // as much as there is room for
		return n, syscall.ENOSPC
	}
	return s.file.WriteAt(b, at)
}

// TestFull: when the disk is full nothing more is stored, what is there is found, and what was to be replaced or
// deleted does not come back.
func TestFull(t *testing.T) {
	dir := t.TempDir()
	room := &atomic.Int64{}
	room.Store(300_000)
	create := func(path string) (file, error) {
		f, err := createFile(path)
		return small{f, room}, err
	}
	tier := begin(t, Options{Dir: dir}, create)
	body := make([]byte, 100_000)
	for i := range 5 {
		tier.Put(fmt.Append(nil, i), nil, [][]byte{body}, never)
		tier.settle()
	}
	if !tier.Has([]byte("0")) || !tier.Has([]byte("1")) || tier.Has([]byte("4")) || tier.Errors.Load() == 0 {
		t.Errorf("%d objects, %d errors", tier.Len(), tier.Errors.Load())
	}
	tier.Delete([]byte("1"))
	tier.settle()
	if tier.Has([]byte("1")) {
		t.Error("it is found after it was deleted")
	}
	tier.Close()
	tier = begin(t, Options{Dir: dir}, createFile)
	defer tier.Close()
	if tier.Has([]byte("1")) {
		t.Error("it has come back")
	}
	room.Store(1 << 30)
	tier.Put([]byte("more"), nil, [][]byte{body}, never)
	if tier.settle(); tier.Get([]byte("more")) == nil {
		t.Error("nothing is stored when there is room again")
	}
}

// TestBoot: after the machine has gone down without the process having ended, nothing in the folder is relied on.
func TestBoot(t *testing.T) {
	dir := t.TempDir()
	put := func() {
		tier := begin(t, Options{Dir: dir}, createFile)
		tier.Put([]byte("a"), nil, [][]byte{[]byte("body")}, never)
		tier.settle()
		tier.kill()
	}
	f := func(who string, want bool) {
		t.Helper()
		put()
		seed, _, ok := readState(dir)
		if !ok {
			t.Fatal("no state")
		}
		if err := writeState(dir, seed, who); err != nil {
			t.Fatal(err)
		}
		tier := begin(t, Options{Dir: dir}, createFile)
		defer tier.Close()
		if tier.Has([]byte("a")) != want {
			t.Errorf("%q: found is %v", who, !want)
		}
	}
	f(bootID(), true)
	f(clean, true)
	f("01234567-0123-0123-0123-0123456789ab", false)
	f("", false)
	if err := os.WriteFile(filepath.Join(dir, "state"), []byte("what"), 0o600); err != nil {
		t.Fatal(err)
	}
	tier := begin(t, Options{Dir: dir}, createFile)
	defer tier.Close()
	if tier.Len() != 0 {
		t.Error("something is found without a state")
	}
}

// TestLock: of two tiers with one folder the second is empty until the first is closed, and can be closed meanwhile.
func TestLock(t *testing.T) {
	dir := t.TempDir()
	first := begin(t, Options{Dir: dir}, createFile)
	first.Put([]byte("a"), nil, nil, never)
	second, third := Open(Options{Dir: dir, Size: MinSize}), Open(Options{Dir: dir, Size: MinSize})
	second.Put([]byte("b"), nil, nil, never)
	if second.Has([]byte("a")) || second.Loaded() {
		t.Error("two have the folder")
	}
	third.Close()
	first.Close()
	for !second.Loaded() {
		runtime.Gosched()
	}
	defer second.Close()
	if !second.Has([]byte("a")) || second.Has([]byte("b")) {
		t.Error("it does not have what the first has left")
	}
	if first.Put([]byte("c"), nil, nil, never); first.Has([]byte("a")) {
		t.Error("something is found in a closed tier")
	}
}

// TestAtOnce has many read and write at the same time, in a tier too small for all; what is found is whole.
func TestAtOnce(t *testing.T) {
	o := Options{Dir: t.TempDir(), Size: MinSize, Largest: 4 << 20, Wanted: func([]byte) bool { return true }}
	tier := begin(t, o, createFile)
	defer tier.Close()
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(w), 1))
			for range 200 {
				name := fmt.Append(nil, r.IntN(30))
				switch r.IntN(5) {
				case 0:
					tier.Delete(name)
				case 1, 2:
					b := bytes.Repeat([]byte{byte(r.IntN(256))}, 1+r.IntN(1<<20))
					tier.Put(name, b[:1], [][]byte{b}, never)
				case 3:
					if o := tier.Get(name); o != nil && bytes.Count(o.Body, o.Meta) != len(o.Body) {
						t.Error("the body is not that of the object")
					}
				case 4:
					if o := tier.Get(name); o != nil {
						tier.Renew(name, o.Meta, o.Meta, never)
					}
				}
			}
		})
	}
	wg.Wait()
	tier.settle()
	if n := tier.Broken.Load() + tier.Errors.Load(); n > 0 {
		t.Errorf("%d failures", n)
	}
	if tier.Bytes() > o.Size {
		t.Errorf("%d bytes", tier.Bytes())
	}
}

// TestJournal: notes are there again, up to the first that is not whole, and only those that are needed.
func TestJournal(t *testing.T) {
	dir := t.TempDir()
	var notes []string
	load := func() *Journal {
		notes = nil
		ready := false
		j := &Journal{}
		j.Load = func(b []byte) {
			if ready = b == nil; !ready {
				notes = append(notes, string(b))
			}
		}
		j.Compact = func() (list [][]byte) {
			for _, n := range notes[max(len(notes)-3, 0):] {
				list = append(list, []byte(n))
			}
			return list
		}
		if err := j.Append([]byte("nobody hears it")); err != nil {
			t.Fatal(err)
		}
		if err := j.load(dir); err != nil || !ready {
			t.Fatal(err, ready)
		}
		return j
	}
	j := load()
	for _, n := range []string{"one", "", "two", "three"} {
		if err := j.Append([]byte(n)); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, journalName)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for cut := range len(b) + 1 {
		if err := os.WriteFile(path, b[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		j := load()
		if got := strings.Join(notes, ","); !strings.HasPrefix("one,,two,three", got) {
			t.Fatalf("cut at %d: %q", cut, got)
		}
		if err := j.close(); err != nil {
			t.Fatal(err)
		}
	}
	j = load() // which has three of them by now
	big := bytes.Repeat([]byte("x"), leastCompact/4)
	for range 9 {
		notes = append(notes, string(big))
		if err := j.Append(big); err != nil {
			t.Fatal(err)
		}
	}
	if j.size > 2*leastCompact {
		t.Errorf("%d bytes in the journal", j.size)
	}
	if err := j.close(); err != nil {
		t.Fatal(err)
	}
	if j.Append(nil) != nil {
		t.Error("a closed journal fails")
	}
}

// TestProbe: a folder is made, and one that cannot be is an error.
func TestProbe(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	if err := Probe(dir); err != nil {
		t.Error(err)
	}
	f := filepath.Join(dir, "file")
	if err := os.WriteFile(f, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Probe(f); !errors.Is(err, syscall.ENOTDIR) {
		t.Error(err)
	}
}
