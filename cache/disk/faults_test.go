package disk

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// faults are what a disk does wrong from now on; nil: nothing.
type faults struct{ read, write, sync, create atomic.Pointer[error] }

func set(p *atomic.Pointer[error], err error) { p.Store(&err) }

func (f *faults) open(path string) (file, error) {
	if err := f.create.Load(); err != nil {
		return nil, *err
	}
	one, err := createFile(path)
	return faulty{one, f}, err
}

// faulty is a file on such a disk.
type faulty struct {
	file
	f *faults
}

func (f faulty) ReadAt(b []byte, at int64) (int, error) {
	if err := f.f.read.Load(); err != nil {
		return 0, *err
	}
	return f.file.ReadAt(b, at)
}

func (f faulty) WriteAt(b []byte, at int64) (int, error) {
	if err := f.f.write.Load(); err != nil {
		return 0, *err
	}
	return f.file.WriteAt(b, at)
}

func (f faulty) Sync() error {
	if err := f.f.sync.Load(); err != nil {
		return *err
	}
	return f.file.Sync()
}

// TestCannotRead: what cannot be read is forgotten and counted, and can be stored anew.
func TestCannotRead(t *testing.T) {
	f := &faults{}
	tier := begin(t, Options{Dir: t.TempDir()}, f.open)
	defer tier.Close()
	name := []byte("a")
	tier.Put(name, []byte("meta"), [][]byte{[]byte("body")}, never)
	tier.settle()
	set(&f.read, syscall.EIO)
	if m := tier.Meta(tier.KeyOf(name)); m != nil {
		t.Errorf("%q", m)
	}
	if !tier.Has(name) {
		t.Error("it is forgotten before anybody has read it")
	}
	if o := tier.Get(name); o != nil || tier.Has(name) || tier.Errors.Load() != 1 || tier.Broken.Load() != 0 {
		t.Errorf("%v, %d errors, %d broken", o, tier.Errors.Load(), tier.Broken.Load())
	}
	f.read.Store(nil)
	tier.Put(name, []byte("meta"), [][]byte{[]byte("another")}, never)
	if tier.settle(); tier.Get(name) == nil {
		t.Error("it cannot be stored any more")
	}
}

// TestCannotWrite: a disk that cannot be written to serves what is there; what was to be replaced there is not served in
// the place of what was to come.
func TestCannotWrite(t *testing.T) {
	for _, fault := range []error{syscall.EROFS, syscall.EIO, syscall.ENOSPC} {
		f := &faults{}
		dir := t.TempDir()
		tier := begin(t, Options{Dir: dir}, f.open)
		tier.Put([]byte("stays"), nil, [][]byte{[]byte("body")}, never)
		tier.settle()
		tier.Close()
		tier = begin(t, Options{Dir: dir}, f.open) // whose next file is another one
		tier.Put([]byte("old"), nil, [][]byte{[]byte("old")}, never)
		tier.settle()
		set(&f.write, fault)
		set(&f.create, fault)
		tier.Put([]byte("new"), nil, [][]byte{[]byte("new")}, never)
		tier.Put([]byte("old"), nil, [][]byte{[]byte("new")}, never)
		tier.settle()
		if tier.Has([]byte("new")) || tier.Has([]byte("old")) || tier.Errors.Load() == 0 {
			t.Errorf("%v: %d objects, %d errors", fault, tier.Len(), tier.Errors.Load())
		}
		if o := tier.Get([]byte("stays")); o == nil || string(o.Body) != "body" {
			t.Errorf("%v: what is there is not served", fault)
		}
		f.write.Store(nil)
		f.create.Store(nil)
		tier.Put([]byte("new"), nil, [][]byte{[]byte("new")}, never)
		if tier.settle(); !tier.Has([]byte("new")) {
			t.Errorf("%v: nothing is stored when that is over", fault)
		}
		tier.Close()
		tier = begin(t, Options{Dir: dir}, createFile)
		if tier.Has([]byte("old")) || !tier.Has([]byte("stays")) || !tier.Has([]byte("new")) {
			t.Errorf("%v: another state after a start", fault)
		}
		tier.Close()
	}
}

// TestCannotSync: a file that is full and cannot be made safe is given up, with all that is in it.
func TestCannotSync(t *testing.T) {
	f := &faults{}
	tier := begin(t, Options{Dir: t.TempDir()}, f.open)
	defer tier.Close()
	set(&f.sync, syscall.EIO)
	body := make([]byte, 1<<20)
	for i := range 5 {
		tier.Put(fmt.Append(nil, i), nil, [][]byte{body}, never)
		tier.settle()
	}
	if tier.Has([]byte("0")) || tier.Errors.Load() == 0 {
		t.Errorf("%d objects, %d errors", tier.Len(), tier.Errors.Load())
	}
	f.sync.Store(nil)
	tier.Put([]byte("more"), nil, [][]byte{body}, never)
	if tier.settle(); tier.Get([]byte("more")) == nil {
		t.Error("nothing is stored any more")
	}
}

// folder returns a closed folder with some objects and notes, as its files by name, and what is in it.
func folder(t *testing.T) (files map[string][]byte, want map[string]string) {
	t.Helper()
	dir := t.TempDir()
	tier := begin(t, Options{Dir: dir, Size: MinSize, Largest: 1 << 20, Journal: notes(nil)}, createFile)
	want = map[string]string{}
	for i := range 4 {
		name, body := fmt.Sprint("name ", i), strings.Repeat(fmt.Sprint(i), 30*i)
		tier.Put([]byte(name), []byte("meta"), [][]byte{[]byte(body)}, never)
		if err := tier.opt.Journal.Append([]byte("note of " + name)); err != nil {
			t.Fatal(err)
		}
		want[name] = body
	}
	tier.settle()
	tier.Close()
	files = map[string][]byte{}
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		if files[e.Name()], err = os.ReadFile(filepath.Join(dir, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return files, want
}

// notes returns a journal whose notes are appended to all; nil: to nothing.
func notes(all *[]string) *Journal {
	var kept [][]byte
	return &Journal{
		Load: func(note []byte) {
			if note != nil && all != nil {
				*all = append(*all, string(note))
			}
			if note != nil {
				kept = append(kept, bytes.Clone(note))
			}
		},
		Compact: func() [][]byte { return kept },
	}
}

// lay writes files into a new folder, one of them as another one.
func lay(t *testing.T, files map[string][]byte, name string, as []byte) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for n, b := range files {
		if n == name {
			b = as
		}
		if err := os.WriteFile(filepath.Join(dir, n), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestDamagedFolder: whichever file has another byte, or is cut, wherever that is, nothing is found that was not stored,
// no note is heard that was not written, and the folder can be written to.
func TestDamagedFolder(t *testing.T) {
	files, want := folder(t)
	for name, b := range files {
		for at := range b {
			if name != "state" && at%7 > 0 { // TestFlip and TestCut have all bytes of a record
				continue
			}
			flipped := bytes.Clone(b)
			flipped[at] ^= 0x41
			for i, damaged := range [][]byte{flipped, b[:at]} {
				var heard []string
				dir := lay(t, files, name, damaged)
				tier := begin(t, Options{Dir: dir, Size: MinSize, Largest: 1 << 20, Journal: notes(&heard)}, createFile)
				for n, body := range want {
					if o := tier.Get([]byte(n)); o != nil && (string(o.Body) != body || string(o.Meta) != "meta") {
						t.Errorf("%s, byte %d, way %d: %s is %q %q", name, at, i, n, o.Meta, o.Body)
					}
				}
				for _, note := range heard {
					if want[strings.TrimPrefix(note, "note of ")] == "" && note != "note of name 0" {
						t.Errorf("%s, byte %d, way %d: the note %q", name, at, i, note)
					}
				}
				tier.Put([]byte("more"), nil, [][]byte{[]byte("more")}, never)
				if tier.settle(); tier.Get([]byte("more")) == nil {
					t.Errorf("%s, byte %d, way %d: nothing is stored any more", name, at, i)
				}
				tier.Close()
			}
		}
	}
}

// TestUnusable: a folder that cannot be read is left alone: the tier is empty, takes nothing, and can be closed.
func TestUnusable(t *testing.T) {
	for _, name := range []string{"00000001" + segmentEnd, "state", journalName} {
		dir := t.TempDir()
		if err := os.MkdirAll(filepath.Join(dir, name, "within"), 0o700); err != nil {
			t.Fatal(err)
		}
		if name != "state" {
			if err := writeState(dir, 7, clean); err != nil {
				t.Fatal(err)
			}
		}
		tier := Open(Options{Dir: dir, Size: MinSize, Largest: 1 << 20, Journal: notes(nil)})
		<-tier.done
		tier.Put([]byte("a"), nil, nil, never)
		if tier.Loaded() || tier.Has([]byte("a")) || tier.Len() != 0 || tier.Errors.Load() == 0 || tier.KeyOf([]byte("a")) != (Key{}) {
			t.Errorf("%s: loaded %v, %d objects, %d errors", name, tier.Loaded(), tier.Len(), tier.Errors.Load())
		}
		tier.Close()
		tier.Close() // twice is once
	}
}

// TestRenewMeanwhile: an object that is renewed while it waits to be written has the later meta, or is gone.
func TestRenewMeanwhile(t *testing.T) {
	tier := begin(t, Options{Dir: t.TempDir()}, createFile)
	defer tier.Close()
	for i := range 200 {
		name := fmt.Append(nil, i)
		tier.Put(name, []byte("old"), [][]byte{[]byte("body")}, never)
		if i%2 == 0 {
			tier.settle()
		}
		tier.Renew(name, []byte("old"), []byte("new"), never)
		tier.settle()
		o := tier.Get(name)
		if o == nil && i%2 == 0 || o != nil && (string(o.Meta) != "new" || string(o.Body) != "body") {
			t.Fatalf("%d: %v", i, o)
		}
	}
	tier.Renew([]byte("none"), []byte("old"), []byte("new"), never)
	tier.Renew([]byte("0"), []byte("new"), make([]byte, mostMeta+1), never)
	if tier.settle(); tier.Has([]byte("none")) || tier.Has([]byte("0")) {
		t.Error("what is not there, or does not fit, is renewed")
	}
}

// slow is a file whose writes wait.
type slow struct {
	file
	hold *sync.RWMutex
}

func (s slow) WriteAt(b []byte, at int64) (int, error) {
	s.hold.RLock()
	defer s.hold.RUnlock()
	return s.file.WriteAt(b, at)
}

// TestTooSlow: what a disk cannot take in time is not stored there; what it was to replace is not found in its place.
func TestTooSlow(t *testing.T) {
	var hold sync.RWMutex
	tier := begin(t, Options{Dir: t.TempDir(), Size: 4 * MinSize, Largest: 1 << 20}, func(path string) (file, error) {
		f, err := createFile(path)
		return slow{f, &hold}, err
	})
	defer tier.Close()
	for i := range 100 {
		tier.Put(fmt.Append(nil, i), nil, [][]byte{[]byte("old")}, never)
	}
	tier.settle()
	body := [][]byte{make([]byte, 1<<20)}
	hold.Lock()
	for i := range 100 { // more than may wait
		tier.Put(fmt.Append(nil, i), nil, body, never)
		if tier.Has(fmt.Append(nil, i)) {
			t.Errorf("%d is found while it waits", i)
		}
	}
	hold.Unlock()
	tier.settle()
	dropped := 0
	for i := range 100 {
		switch o := tier.Get(fmt.Append(nil, i)); {
		case o == nil:
			dropped++
		case len(o.Body) != 1<<20:
			t.Errorf("%d: %q is back", i, o.Body)
		}
	}
	if n := int(tier.Dropped.Load()); n < 30 || dropped != n {
		t.Errorf("%d were not stored, %d are counted", dropped, n)
	}
	tier.Put([]byte("large"), nil, [][]byte{make([]byte, 1<<20+1)}, never)
	if tier.settle(); tier.Has([]byte("large")) {
		t.Error("more than the largest is stored")
	}
}

// TestKeys: an object is found by its key and its name, as long as it is there.
func TestKeys(t *testing.T) {
	dir := t.TempDir()
	tier := begin(t, Options{Dir: dir}, createFile)
	name := []byte("a")
	k := tier.KeyOf(name)
	tier.Put(name, []byte("meta"), [][]byte{[]byte("body")}, never)
	if !tier.HasKey(k) {
		t.Error("what waits is not known")
	}
	if tier.settle(); string(tier.Meta(k)) != "meta" || !tier.HasKey(k) || tier.HasKey(Key{}) || tier.Meta(Key{}) != nil {
		t.Errorf("%q", tier.Meta(k))
	}
	old := tier.Get(name)
	tier.Put(name, []byte("other"), nil, never)
	if tier.settle(); tier.Current(name, old) || !tier.Current(name, tier.Get(name)) {
		t.Error("what was replaced is current")
	}
	tier.Delete(name)
	if tier.settle(); tier.HasKey(k) || tier.Meta(k) != nil || tier.Current(name, old) {
		t.Error("it is there after it was deleted")
	}
	tier.Put(name, []byte("meta"), nil, never)
	tier.settle()
	tier.Close()
	tier = begin(t, Options{Dir: dir}, createFile)
	defer tier.Close()
	if tier.KeyOf(name) != k || string(tier.Meta(k)) != "meta" {
		t.Error("another key after a start")
	}
}

// TestLoadedTold: a start tells of what it has found, and of nothing that has gone.
func TestLoadedTold(t *testing.T) {
	dir := t.TempDir()
	tier := begin(t, Options{Dir: dir}, createFile)
	for i := range 3 {
		tier.Put(fmt.Append(nil, i), fmt.Append(nil, "meta ", i), nil, never)
	}
	tier.settle()
	tier.kill()
	var told []string
	tier = begin(t, Options{Dir: dir, Size: MinSize, Largest: 1 << 20, Loaded: func(k Key, meta []byte) {
		if k == (Key{}) {
			t.Error("no key")
		}
		told = append(told, string(meta))
	}}, createFile)
	defer tier.Close()
	if slices.Sort(told); strings.Join(told, ",") != "meta 0,meta 1,meta 2" {
		t.Error(told)
	}
}

// TestReplace: a file is another one, or stays as it is, and nothing is left beside it.
func TestReplace(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	for _, b := range []string{"one", "", "three"} {
		if err := replace(path, []byte(b)); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != b {
			t.Errorf("%q %v", got, err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "g"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "g", "x"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := replace(filepath.Join(dir, "g"), nil); err == nil {
		t.Error("a folder was replaced")
	}
	if _, err := os.Stat(filepath.Join(dir, "g.new")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("something is left: %v", err)
	}
}
