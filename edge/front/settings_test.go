package front

import (
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/penstock-edge/penstock/edge/config"
)

func TestListenReusePort(t *testing.T) {
	f := &Front{}
	a, _, err := f.listen(&config.Listener{Address: "127.0.0.1:0", ReusePort: true})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	again := &config.Listener{Address: a.Addr().String(), ReusePort: true}
	b, _, err := f.listen(again)
	if err != nil {
		t.Fatalf("a second socket on the port: %v", err)
	}
	b.Close()
	again.ReusePort = false
	if c, _, err := f.listen(again); err == nil {
		c.Close()
		t.Fatal("a second socket that did not ask for it")
	}
}

func TestListenTakesInheritedSockets(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dup, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer dup.Close()
	fd, err := syscall.Dup(int(dup.Fd())) // each file closes its own when it is collected
	if err != nil {
		t.Fatal(err)
	}
	named := os.NewFile(uintptr(fd), "public")
	defer named.Close()
	f := &Front{inherited: []*os.File{named}}
	for _, conf := range []config.Listener{
		{Name: "public", Address: "127.0.0.1:1"},    // by its name
		{Name: "other", Address: l.Addr().String()}, // by its address
	} {
		got, _, err := f.listen(&conf)
		if err != nil {
			t.Fatal(err)
		}
		if got.Addr().String() != l.Addr().String() {
			t.Fatalf("%s: listens on %s, not on the inherited socket", conf.Name, got.Addr())
		}
		got.Close()
	}
}

func TestListenUnix(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	f := &Front{}
	conf := &config.Listener{Address: "unix:" + path}
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	if l, _, err := f.listen(conf); err == nil {
		l.Close()
		t.Fatal("a socket that is in use was taken over")
	}
	stale.Close()
	l, _, err := f.listen(conf)
	if err != nil {
		t.Fatalf("a stale socket file is in the way: %v", err)
	}
	l.Close()
}

func TestSameAddress(t *testing.T) {
	f := func(have, configured string, want bool) {
		t.Helper()
		a, err := net.ResolveTCPAddr("tcp", have)
		if err != nil {
			t.Fatal(err)
		}
		if sameAddress(a, configured) != want {
			t.Fatalf("%s and %s: want %v", have, configured, want)
		}
	}
	f("127.0.0.1:80", "127.0.0.1:80", true)
	f("127.0.0.1:80", "127.0.0.1:81", false)
	f("[::]:80", ":80", true)
	f("0.0.0.0:80", ":80", true)
	f("0.0.0.0:80", "127.0.0.1:80", false)
	f("127.0.0.1:80", "unix:/x", false)
}
