package admin

import (
	"context"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestListenUnix(t *testing.T) {
	path := filepath.Join(t.TempDir(), "admin.sock")
	l, err := Listen("unix:" + path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Lstat(path)
	if err != nil || info.Mode() != os.ModeSocket|socketMode {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	names, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(names) != 1 {
		t.Errorf("left over: %v, %v", names, err)
	}
	p := openOn(t, Options{Status: func() any { return 1 }, Reload: func() ([]string, error) { return nil, nil }}, l)
	p.client.Transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	}}
	p.address = "any.name.will.do" // no browser gets here
	p.want("GET", "/status", 200, "1")
	p.want("POST", "/reload", 200, "generation")
	p.want("POST", "/reload", 403, "", "Origin: https://evil.example")
	if !strings.Contains(p.log.String(), `remote="unix socket"`) {
		t.Errorf("log: %s", p.log)
	}
	p.client.CloseIdleConnections()
	p.s.Close()
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("the socket is still there: %v", err)
	}
}

func TestListenMistakes(t *testing.T) {
	dir := t.TempDir()
	f := func(address, want string) {
		t.Helper()
		l, err := Listen(address)
		if err == nil {
			_ = l.Close()
			t.Errorf("%s: no error", address)
			return
		}
		if !strings.Contains(err.Error(), address) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %s", address, err)
		}
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	taken, err := Listen("unix:" + filepath.Join(dir, "taken.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	f("unix:"+file, "is no socket")
	f("unix:"+filepath.Join(dir, "taken.sock"), "another process listens")
	f("unix:"+filepath.Join(dir, "missing", "admin.sock"), "no such file")
	port, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer port.Close()
	f(port.Addr().String(), "address already in use")
}

// The socket of a dead process is replaced; one that has been replaced is not removed by the maker of the
// first.
func TestListenReplaces(t *testing.T) {
	path := filepath.Join(t.TempDir(), "admin.sock")
	dead, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	dead.(*net.UnixListener).SetUnlinkOnClose(false)
	_ = dead.Close()
	first, err := Listen("unix:" + path)
	if err != nil {
		t.Fatal(err)
	}
	if err = os.Rename(path, path+".moved"); err != nil {
		t.Fatal(err)
	}
	second, err := Listen("unix:" + path)
	if err != nil {
		t.Fatal(err)
	}
	_ = first.Close()
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("the second socket is gone: %v", err)
	}
	_ = second.Close()
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("the second socket is still there: %v", err)
	}
}
