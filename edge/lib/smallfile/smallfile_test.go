package smallfile

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestRead(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("abc"), 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink("file", link); err != nil {
		t.Fatal(err)
	}
	f := func(path string, most int64, want, message string) {
		t.Helper()
		got, err := Read(path, most)
		if message == "" {
			if err != nil || string(got) != want {
				t.Errorf("%q, %v", got, err)
			}
		} else if err == nil || !strings.Contains(err.Error(), message) {
			t.Errorf("%q, %v, want %q", got, err, message)
		}
	}
	f(file, 3, "abc", "")
	f(link, 3, "abc", "")
	f(file, 2, "", "has more than 2 bytes")
	f(pipe, 3, "", "is no regular file")
	f("/dev/zero", 3, "", "is no regular file")
	f(dir, 3, "", "is no regular file")
	f(filepath.Join(dir, "none"), 3, "", "no such file")
}
