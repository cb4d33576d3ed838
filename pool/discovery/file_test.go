package discovery

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestReadTargets(t *testing.T) {
	f := func(content, want string) {
		t.Helper()
		a, err := readTargets("u.toml", []byte(content))
		var got string
		if err == nil {
			var set []Endpoint
			if set, err = a.set(); err == nil {
				got = text(set)
			}
		}
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s\n got %s\nwant %s", content, got, want)
		}
	}
	f(`targets = ["b:1", "10.0.0.1:80", { address = "a:1", weight = 3, zone = "eu-1", backup = true }]`,
		"10.0.0.1:80 a:1*3/eu-1! b:1")
	f("[[targets]]\naddress = \"a:1\"\n[[targets]]\naddress = \"unix:/run/a\"\n", "a:1 unix:/run/a")
	f(`targets = []`, errEmpty.Error())
	f(``, `u.toml:1:1: targets: is required: such as targets = ["10.0.0.1:9000"]`)
	f(`targets = "a:1"`, `u.toml:1:11: targets: must be a list, is the string "a:1"`)
	f("targets = [\n\"a\"]", `u.toml:2:1: targets[1]: "a" is not host:port`)
	f("targets = [\"a:1\",\n\"A:1\"]", `u.toml:2:1: targets[2]: target "a:1" is in the file already; give it a weight instead`)
	f(`targets = ["unix:a"]`, `u.toml:1:12: targets[1]: target "unix:a" names no socket: want unix:/path`)
	f(`targets = [{ weight = 2 }]`, `u.toml:1:12: targets[1].address: is required`)
	f(`targets = [{ address = "a:1", weight = -1 }]`, `u.toml:1:40: targets[1].weight: must be between 0 and 65535, is -1`)
	f(`targets = [{ address = "a:1", weight = 0 }, { address = "b:1", drain = true }, { address = "c:1", disabled = true }]`,
		"a:1*0 b:1-")
	f(`targets = [{ address = "a:1", wait = 0 }]`, `u.toml:1:31: targets[1].wait: unknown key`)
	f(`targets = [{ address = "a:1", zone = "a b" }]`,
		`u.toml:1:12: targets[1]: zone "a b" is not letters, digits and signs of ASCII without a space`)
	f(`targets = ["a:1", 5, "b:1"`+"\n", "u.toml:1:27: expected a comma (',') or array terminator (']'), but got end of file")
	f("targets = [\"a:1\"]\nother = 1", "u.toml:2:1: other: unknown key")
	if _, err := readTargets("u.toml", []byte(`targets = ["${HOME}:1"]`)); err == nil || strings.Contains(err.Error(), os.Getenv("HOME")) {
		t.Errorf("a variable is read: %v", err)
	}
	_, err := readTargets("u.toml", []byte(`targets = [1, 2, 3, 4, 5, 6, 7]`))
	if err == nil || !strings.HasSuffix(err.Error(), "; and 2 more") || strings.Contains(err.Error(), "\n") {
		t.Error(err)
	}
}

func FuzzReadTargets(f *testing.F) {
	f.Add([]byte(`targets = ["b:1", { address = "a:1", weight = 3, zone = "eu-1", backup = true }]`))
	f.Add([]byte("[[targets]]\naddress = \"unix:/a\""))
	f.Fuzz(func(t *testing.T, content []byte) {
		a, err := readTargets("u.toml", content)
		if err != nil {
			return
		}
		kept := a.list[:0]
		for _, e := range a.list {
			if !strings.HasPrefix(e.Address, "unix:/") {
				kept = append(kept, e)
			}
		}
		a.list = kept
		checkSet(t, a)
	})
}

// TestFile: a file that is replaced, half written, gone and there again.
func TestFile(t *testing.T) {
	dir := t.TempDir()
	path := write(t, dir, "users.toml", `targets = ["a:1"]`)
	l := listen(t, sourceOf(t, `{ file = %q }`, path))
	l.wants("a:1")
	rename := func(content string) {
		t.Helper()
		if err := os.Rename(write(t, dir, "tmp", content), path); err != nil {
			t.Fatal(err)
		}
	}
	rename(`targets = ["a:1", "b:1"]`)
	l.wants("a:1 b:1")
	rename(`targets = ["a:1",`)
	l.fails(path + ":1:")
	rename(`targets = ["a:1", "b:1"]`)
	l.wants("a:1 b:1")
	write(t, dir, "users.toml", `targets = ["c:1"]`)
	l.wants("c:1")
	rename(`targets = []`)
	l.fails("is empty")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	l.failsOnce("no such file")
	rename(`targets = ["c:1"]`)
	l.wants("c:1")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	l.failsOnce("no such file")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	l.failsOnce("no regular file")
}

// TestFileLinks: a link in the directory is turned to another directory, as Kubernetes does it.
func TestFileLinks(t *testing.T) {
	dir := t.TempDir()
	swap := func(version, content string) {
		t.Helper()
		if err := os.Mkdir(filepath.Join(dir, version), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, version), "users.toml", content)
		link := filepath.Join(dir, "..data_tmp")
		if err := os.Symlink(version, link); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(link, filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	swap("..1", `targets = ["a:1"]`)
	path := filepath.Join(dir, "users.toml")
	if err := os.Symlink("..data/users.toml", path); err != nil {
		t.Fatal(err)
	}
	l := listen(t, sourceOf(t, `{ file = %q }`, path))
	l.wants("a:1")
	swap("..2", `targets = ["b:1"]`)
	l.wants("b:1")
	if err := os.RemoveAll(filepath.Join(dir, "..1")); err != nil {
		t.Fatal(err)
	}
	swap("..3", `targets = ["c:1"]`)
	l.wants("c:1")
}

// TestFileDirectory: the directory itself comes late, goes, and is another one then.
func TestFileDirectory(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "sub")
	path := filepath.Join(dir, "users.toml")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	l := listen(t, sourceOf(t, `{ file = %q }`, path))
	l.fails("no such file")
	follow := func(name string) { // long before the next look
		t.Helper()
		for _, digit := range []string{"0", "1", "2", "3", "4"} {
			must(os.Rename(write(t, dir, "tmp", `targets = ["`+name+digit+`:1"]`), path))
			l.wants(name + digit + ":1")
		}
	}
	for _, name := range []string{"a", "b"} {
		must(os.Mkdir(dir, 0o700))
		follow(name)
		must(os.RemoveAll(dir))
		l.failsOnce("no such file")
	}
	must(os.Mkdir(dir, 0o700))
	follow("c")
	other := filepath.Join(parent, "other")
	must(os.Mkdir(other, 0o700))
	write(t, other, "users.toml", `targets = ["d:1"]`)
	must(os.Rename(dir, dir+".old"))
	must(os.Rename(other, dir))
	l.wants("d:1")
	follow("e")
}
