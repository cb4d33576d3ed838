// Package peers starts the proxies that conformance is checked of.
package peers

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/penstock-edge/penstock/bench/rig"
)

// Names are the proxies that can be started, as shared caches with what they offer for that.
var Names = []string{"penstock", "nginx", "varnish"}

// Start starts a peer in front of an origin and returns the address that it answers at, and what stops it.
// Its files go to dir, which is its own; ours is Penstock's program.
func Start(name, dir, ours, origin string) (addr string, stop func(), err error) {
	addr, err = rig.FreeAddr()
	if err != nil {
		return "", nil, err
	}
	p := rig.Program{Core: rig.ProxyCore, Err: filepath.Join(dir, "stderr"), Ready: addr}
	file := filepath.Join(dir, name+".conf")
	var text string
	switch name {
	case "penstock":
		text, p.Args = penstock, []string{ours, "run", "--config", file}
	case "nginx":
		text, p.Args = nginx, []string{"nginx", "-p", dir, "-c", file}
	case "varnish":
		text = varnish
		p.Args = []string{"varnishd", "-F", "-j", "none", "-n", filepath.Join(dir, "work"), "-a", addr,
			"-s", "malloc,64m", "-f", file}
	default:
		return "", nil, fmt.Errorf("no peer %q", name)
	}
	if _, err := exec.LookPath(p.Args[0]); err != nil {
		return "", nil, fmt.Errorf("cannot start %s: %w", name, err)
	}
	host, port, _ := strings.Cut(origin, ":")
	text = strings.NewReplacer("@ADDR@", addr, "@DIR@", dir, "@ORIGIN@", origin, "@HOST@", host,
		"@PORT@", port).Replace(text)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		return "", nil, err
	}
	r, err := rig.Start(p)
	if err != nil {
		return "", nil, err
	}
	return addr, r.Stop, nil
}

const penstock = `
[log]
level = "warn"
[log.access]
output = "off"
[[listener]]
address = "@ADDR@"
[pool.origin]
targets = ["@ORIGIN@"]
[[route]]
prefix = "/"
pool = "origin"
cache = { name = "main", methods = ["QUERY"] }
[cache.main]
size = "64MiB"
`

// nginx revalidates, serves stale and collapses requests only when it is told to. Without proxy_cache_valid
// it keeps what answers say is fresh.
const nginx = `
worker_processes 1;
daemon off;
user root;
pid @DIR@/pid;
error_log stderr crit;
events { worker_connections 1000; }
http {
  access_log off;
  client_body_temp_path @DIR@/t1; proxy_temp_path @DIR@/t2; fastcgi_temp_path @DIR@/t3;
  uwsgi_temp_path @DIR@/t4; scgi_temp_path @DIR@/t5;
  proxy_cache_path @DIR@/cache keys_zone=main:10m inactive=1h use_temp_path=off;
  map $http_via $via { "" "1.1 nginx"; default "$http_via, 1.1 nginx"; }
  upstream origin { server @ORIGIN@ max_fails=0; keepalive 16; }
  server {
    listen @ADDR@;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header Host $http_host;
    proxy_set_header Via $via;
    add_header Via "1.1 nginx" always;
    if_modified_since before;
    proxy_cache main;
    proxy_cache_key $scheme$http_host$request_uri;
    proxy_cache_revalidate on;
    proxy_cache_background_update on;
    proxy_cache_lock on;
    proxy_cache_use_stale error timeout invalid_header updating http_500 http_502 http_503 http_504;
    location / { proxy_pass http://origin; }
  }
}
`

const varnish = `vcl 4.1;
backend default { .host = "@HOST@"; .port = "@PORT@"; }
`
