package hop

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/penstock-edge/penstock/edge/e2e"
)

const nginxConf = `
daemon off;
master_process off;
pid %[1]s/pid;
error_log stderr;
events {}
http {
  access_log off;
  types { text/plain txt; }
  default_type application/octet-stream;
  client_body_temp_path %[1]s/body;
  proxy_temp_path %[1]s/proxy;
  fastcgi_temp_path %[1]s/fastcgi;
  uwsgi_temp_path %[1]s/uwsgi;
  scgi_temp_path %[1]s/scgi;
  server {
    listen %[2]s;
    root %[1]s/root;
    location /dav/ {
      dav_methods PUT DELETE;
      client_max_body_size 64m;
    }
    location /small/ {
      dav_methods PUT;
      client_max_body_size 1k;
    }
  }
  %[3]s
}
`

// nginx starts Debian's nginx as an origin with the given files, and further servers, and returns its address.
func nginx(t *testing.T, files map[string][]byte, servers ...string) string {
	t.Helper()
	path := "/usr/sbin/nginx" // where Debian has it; not everybody's PATH leads there
	if _, err := os.Stat(path); err != nil {
		e2e.Needs(t, "nginx")
		path = "nginx"
	}
	dir, addr := t.TempDir(), e2e.FreeAddr(t)
	for name, content := range files {
		file := filepath.Join(dir, "root", name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	conf := filepath.Join(dir, "nginx.conf")
	user := ""
	if os.Geteuid() == 0 {
		user = "user root;" // the folder of a test is its owner's alone
	}
	if err := os.WriteFile(conf, fmt.Appendf(nil, user+nginxConf, dir, addr, strings.Join(servers, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	log := &e2e.LockedBuffer{}
	cmd := exec.Command(path, "-p", dir, "-c", conf)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended by itself
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("log of nginx:\n%s", log)
		}
	})
	e2e.Eventually(t, "nginx listens", func() bool {
		c, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	return addr
}

// TestNginx: what nginx answers through the gateway is what it answers directly, but for the lines that the
// gateway adds.
func TestNginx(t *testing.T) {
	t.Parallel()
	direct := nginx(t, map[string][]byte{
		"big.bin": e2e.Sample(3 << 20), "hello.txt": []byte("hello\n"), "empty.txt": nil, "dir/a b.txt": []byte("space\n"),
		"dav/x": nil, "small/x": nil,
	})
	g := e2e.Start(t, e2e.Simple(direct, keepHost))
	a, b := e2e.DialRaw(t, direct), e2e.DialRaw(t, g.Addr)
	var last *e2e.Reply
	f := func(stands, request string) {
		t.Helper()
		a.Send(request)
		b.Send(request)
		method := strings.Fields(request)[0]
		want, got := a.Answer(method), b.Answer(method)
		last = want
		for _, h := range []http.Header{want.Header, got.Header} {
			h.Del("Date")
			h.Del("Connection")
		}
		got.Header.Del("X-Request-Id")
		if via := got.Header["Via"]; len(via) != 1 || via[0] != "1.1 penstock" {
			t.Errorf("%s: Via %q", stands, via)
		}
		got.Header.Del("Via")
		if got.Status != want.Status || got.Body != want.Body || got.ContentLength != want.ContentLength ||
			fmt.Sprint(got.Header) != fmt.Sprint(want.Header) || got.Err != nil || want.Err != nil {
			t.Errorf("%s:\n got %s %v, %d bytes, %v\nwant %s %v, %d bytes, %v", stands, got.Status, got.Header, len(got.Body),
				got.Err, want.Status, want.Header, len(want.Body), want.Err)
		}
		if want.Close || want.StatusCode == 412 { // which nginx says to keep the connection with, and does not
			a = e2e.DialRaw(t, direct)
		}
		if got.Close {
			b = e2e.DialRaw(t, g.Addr)
		}
	}
	get := func(path string, fields ...string) string { return e2e.Lines("GET "+path+" HTTP/1.1", fields...) }
	f("small file", get("/hello.txt"))
	etag, modified := last.Header.Get("Etag"), last.Header.Get("Last-Modified")
	f("empty file", get("/empty.txt"))
	f("large file", get("/big.bin"))
	f("escaped path", get("/dir/a%20b.txt"))
	f("dot segments", get("/dir/../hello.txt"))
	f("not there", get("/nowhere"))
	f("redirect to a folder", get("/dir"))
	f("forbidden", get("/dir/"))
	f("HEAD", e2e.Lines("HEAD /big.bin HTTP/1.1"))
	f("HEAD of nothing", e2e.Lines("HEAD /nowhere HTTP/1.1"))
	f("range", get("/big.bin", "Range: bytes=1000-1999"))
	f("large range", get("/big.bin", "Range: bytes=100000-"))
	f("last bytes", get("/big.bin", "Range: bytes=-100"))
	f("beyond the end", get("/big.bin", "Range: bytes=99999999-"))
	f("If-Range that holds", get("/hello.txt", "Range: bytes=1-2", "If-Range: "+etag))
	f("If-Range that does not", get("/hello.txt", "Range: bytes=1-2", `If-Range: "x"`))
	f("not modified by ETag", get("/hello.txt", "If-None-Match: "+etag))
	if last.StatusCode != 304 {
		t.Errorf("status %d where 304 was to be compared", last.StatusCode)
	}
	f("not modified by date", get("/hello.txt", "If-Modified-Since: "+modified))
	f("precondition fails", get("/hello.txt", `If-Match: "x"`))
	f("method refused", e2e.Lines("DELETE /hello.txt HTTP/1.1"))
	f("method unknown", e2e.Lines("PURGE /hello.txt HTTP/1.1"))
	f("upload refused by size", e2e.Lines("PUT /small/y HTTP/1.1", "Content-Length: 5000")+string(e2e.Sample(5000)))
	f("many fields", get("/hello.txt", strings.Split(strings.Repeat("X-A: b\n", 50)+"X-A: c", "\n")...))

	// Several ranges are answered with a boundary that differs each time.
	b.Send(get("/big.bin", "Range: bytes=0-9,100-109"))
	if m := b.Answer("GET"); m.StatusCode != 206 || !strings.Contains(m.Body, string(e2e.Sample(3 << 20)[100:110])) {
		t.Errorf("several ranges: %d %q", m.StatusCode, m.Body)
	}

	// What goes up through the gateway comes down as it was, in both framings.
	up := func(framing, body string) {
		t.Helper()
		b.Send(e2e.Lines("PUT /dav/up HTTP/1.1", framing) + body)
		if p := b.Answer("PUT"); p.StatusCode != 201 && p.StatusCode != 204 {
			t.Errorf("PUT, %s: %d", framing, p.StatusCode)
		}
		f("what was put", get("/dav/up"))
		if last.Body != string(e2e.Sample(1<<20)) {
			t.Errorf("PUT, %s: %d bytes arrived", framing, len(last.Body))
		}
	}
	mib := string(e2e.Sample(1 << 20))
	up("Content-Length: 1048576", mib)
	up("Transfer-Encoding: chunked", fmt.Sprintf("100000\r\n%s\r\n0\r\n\r\n", mib))
	if n := g.InFlight(); n != 0 {
		t.Errorf("%v in flight", n)
	}
}

// keepHost passes the client's Host on, so that the whole head can be compared.
const keepHost = "preserve_host = true\n"
