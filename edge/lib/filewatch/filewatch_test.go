package filewatch

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestChanged(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	do(os.WriteFile(path("one"), []byte("1"), 0o600))
	do(os.WriteFile(path("two"), []byte("2"), 0o600))
	do(os.Symlink("two", path("link")))
	f := New(path("one"), path("link"), path("later"))
	want := func(what string, changed bool) {
		t.Helper()
		if f.Changed() != changed {
			t.Errorf("%s: changed %v", what, !changed)
		}
		if f.Changed() {
			t.Errorf("%s: changed twice", what)
		}
	}
	want("nothing", false)
	do(os.WriteFile(path("one"), []byte("11"), 0o600))
	want("size", true)
	do(os.Chtimes(path("one"), time.Time{}, time.Unix(1, 0)))
	want("time", true)
	do(os.WriteFile(path("new"), []byte("22"), 0o600))
	do(os.Chtimes(path("new"), time.Time{}, time.Unix(1, 0)))
	do(os.Rename(path("new"), path("one")))
	want("another file of the same size and time", true)
	do(os.WriteFile(path("other"), []byte("2"), 0o600))
	do(os.Symlink("other", path("newlink")))
	do(os.Rename(path("newlink"), path("link")))
	want("a link that was turned", true)
	do(os.WriteFile(path("later"), nil, 0o600))
	want("a file that is there now", true)
	do(os.Remove(path("later")))
	want("and gone again", true)
}
