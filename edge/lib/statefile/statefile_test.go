package statefile

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func TestWholeOrNotAtAll(t *testing.T) {
	f := File{filepath.Join(t.TempDir(), "a", "b"), "x.json"}
	if _, err := f.Read(10); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("before the first write: %v", err)
	}
	write := func(b []byte) {
		t.Helper()
		if err := f.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	write([]byte("one"))
	if b, err := f.Read(3); err != nil || string(b) != "one" {
		t.Errorf("%q, %v", b, err)
	}
	if _, err := f.Read(2); err == nil || !strings.Contains(err.Error(), "more than 2 bytes") {
		t.Errorf("%v", err)
	}
	if info, err := os.Stat(f.Path()); err != nil || info.Mode() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if info, err := os.Stat(f.Dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	// Many at once: whoever reads finds all of one.
	a, b := bytes.Repeat([]byte("a"), 1<<16), bytes.Repeat([]byte("b"), 1<<17)
	write(a)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 10 {
				if i%2 == 0 {
					write([][]byte{a, b}[i/2%2])
				} else if got, err := f.Read(1 << 20); err != nil || !bytes.Equal(got, a) && !bytes.Equal(got, b) {
					t.Errorf("%d bytes, %v", len(got), err)
				}
			}
		})
	}
	wg.Wait()
	if names, _ := filepath.Glob(f.Dir + "/*"); len(names) != 1 {
		t.Errorf("left behind: %v", names)
	}
}

// TestFullDisk: what cannot be written leaves the file as it was, and nothing beside it.
func TestFullDisk(t *testing.T) {
	f := File{t.TempDir(), "x"}
	if err := f.Write([]byte("before")); err != nil {
		t.Fatal(err)
	}
	full := filepath.Join(f.Dir, "full")
	err := f.replace([]byte("after"), func() (*os.File, error) {
		if err := os.Symlink("/dev/full", full); err != nil {
			return nil, err
		}
		return os.OpenFile(full, os.O_WRONLY, 0)
	})
	if !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("a full disk: %v", err)
	}
	if b, err := f.Read(100); err != nil || string(b) != "before" {
		t.Errorf("%q, %v", b, err)
	}
	if names, _ := filepath.Glob(f.Dir + "/*"); len(names) != 1 {
		t.Errorf("left behind: %v", names)
	}
	for _, dir := range []string{f.Path(), "/dev/null/x", "/proc/nowhere"} {
		if err := (File{dir, "x"}).Write(nil); err == nil {
			t.Errorf("%s takes a file", dir)
		}
	}
	if err := os.Mkdir(filepath.Join(f.Dir, "d"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := (File{f.Dir, "d"}).Write(nil); err == nil {
		t.Error("a folder was replaced")
	}
	if _, err := (File{f.Dir, "d"}).Read(9); err == nil || !strings.Contains(err.Error(), "no regular file") {
		t.Errorf("a folder was read: %v", err)
	}
}

func TestSweep(t *testing.T) {
	f := File{t.TempDir(), "x"}
	for _, name := range []string{"x", "x.1.new", "x.2.new", "y.3.new"} {
		if err := os.WriteFile(filepath.Join(f.Dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	old := time.Now().Add(-time.Hour)
	for _, name := range []string{"x", "x.1.new", "y.3.new"} {
		if err := os.Chtimes(filepath.Join(f.Dir, name), old, old); err != nil {
			t.Fatal(err)
		}
	}
	f.Sweep()
	names, _ := filepath.Glob(f.Dir + "/*")
	for i := range names {
		names[i] = filepath.Base(names[i])
	}
	if got := strings.Join(names, " "); got != "x x.2.new y.3.new" {
		t.Error(got)
	}
}

// TestSameWords: a failure that stays is told in the same words each time, though the new content has another name.
func TestSameWords(t *testing.T) {
	f := File{t.TempDir(), "x"}
	if err := os.Mkdir(f.Path(), 0o700); err != nil {
		t.Fatal(err)
	}
	first, second := f.Write([]byte("1")), f.Write([]byte("2"))
	if first == nil || second == nil || first.Error() != second.Error() || !strings.Contains(first.Error(), f.Path()) {
		t.Errorf("%v, then %v", first, second)
	}
	if !errors.Is(first, fs.ErrExist) && !errors.Is(first, syscall.EISDIR) {
		t.Errorf("%v does not say what is wrong", first)
	}
}
