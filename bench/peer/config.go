package peer

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// replace fills in what a configuration says in capitals between @ signs.
func (s Setup) replace(text string, more ...string) string {
	port := s.Addr[strings.LastIndexByte(s.Addr, ':')+1:]
	pairs := []string{"@ADDR@", s.Addr, "@PORT@", port, "@ORIGIN@", s.Origin, "@DIR@", s.Dir, "@ADMIN@", s.Admin,
		"@CERT@", s.Cert, "@LOG@", filepath.Join(s.Dir, "access.log")}
	return strings.NewReplacer(append(pairs, more...)...).Replace(text)
}

func penstock(s Setup) string {
	out, secure, guards := "off", "", ""
	routes := "[[route]]\nname = \"all\"\nprefix = \"/\"\npool = \"origin\"\n"
	if s.Work.Guarded {
		guards = guarded
	}
	if s.Work.Limited {
		routes += "rate_limits = [\"per_ip\"]\n[rate_limit.per_ip]\nrate = \"1000000/s\"\n"
		routes += fmt.Sprintf("headers = %v\n", s.Work.Told)
	}
	if s.Work.Cached {
		routes += "cache = \"main\"\n[cache.main]\nsize = \"64MiB\"\ncookies = \"ignore\"\n"
	}
	if s.Work.Log {
		out = filepath.Join(s.Dir, "access.log")
	}
	if s.Work.TLS {
		secure = s.replace("[[listener.certificate]]\ncert = \"@CERT@.crt\"\nkey = \"@CERT@.key\"\n")
	}
	if s.Work.Routes > 1 {
		routes = numbered(s.Work, "[[route]]\npath = \"%s\"\npool = \"origin\"\n")
	}
	return s.replace(`
[admin]
address = "@ADMIN@"
[log]
level = "warn"
[log.access]
output = "@OUT@"
format = "combined"
[[listener]]
address = "@ADDR@"
@SECURE@
[pool.origin]
targets = ["@ORIGIN@"]
max_connections = 20000 # the others know no bound
@GUARDS@
`, "@OUT@", out, "@SECURE@", secure, "@GUARDS@", guards) + routes
}

// guarded is all that a pool has. With one target no second attempt is made, so that the cost is that of
// watching.
const guarded = `
balance = "ewma"
panic_percent = 30
health = { path = "/1" }
outlier = { error_percent = 20, success_rate_stdev = 1.9, latency_factor = 5 }
breaker = { error_percent = 50, slow_call = "1s", slow_percent = 50, per_target = true }
retry = { on = ["connect", "reset", "timeout", "500-599"], per_try_timeout = "2s" }
hedge = { after = "p95" }
concurrency = { adaptive = true, limit = 500, min = 200 }
admission = { k = 2 }
`

func nginx(s Setup) string {
	log, secure, routes, limit := "off", "", "location / { proxy_pass http://origin; }\n", ""
	if s.Work.Limited {
		limit = "limit_req_zone $binary_remote_addr zone=ip:10m rate=1000000r/s;\n" +
			"  limit_req zone=ip burst=100000 nodelay;\n"
	}
	if s.Work.Cached {
		limit += "proxy_cache_path " + memoryFolder(s) + " keys_zone=main:10m max_size=64m inactive=1h " +
			"use_temp_path=off;\n  proxy_cache main; proxy_cache_valid 200 1h;\n"
	}
	if s.Work.Log {
		log = s.replace("@LOG@ combined buffer=64k flush=1s")
	}
	if s.Work.TLS {
		secure = s.replace(" ssl; ssl_protocols TLSv1.3; " +
			"ssl_certificate @CERT@.crt; ssl_certificate_key @CERT@.key")
	}
	if s.Work.Routes > 1 {
		routes = numbered(s.Work, "location = %s { proxy_pass http://origin; }\n")
	}
	return s.replace(`
worker_processes 1;
daemon off;
user root;
pid @DIR@/pid;
error_log stderr crit;
worker_rlimit_nofile 65536;
events { worker_connections 60000; }
http {
  access_log @TO@;
  @LIMIT@
  client_body_temp_path @DIR@/t1; proxy_temp_path @DIR@/t2; fastcgi_temp_path @DIR@/t3;
  uwsgi_temp_path @DIR@/t4; scgi_temp_path @DIR@/t5;
  upstream origin { server @ORIGIN@; keepalive 256; keepalive_requests 1000000000; keepalive_time 24h; }
  server {
    listen @ADDR@ backlog=4096@SECURE@;
    keepalive_requests 1000000000; keepalive_timeout 75s; keepalive_time 24h;
    client_header_timeout 10s; proxy_connect_timeout 1s; proxy_read_timeout 15s; proxy_max_temp_file_size 0;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header Host $http_host;
    proxy_set_header X-Forwarded-For $remote_addr;
    proxy_set_header X-Forwarded-Proto $scheme;
    proxy_set_header X-Forwarded-Host $http_host;
    proxy_set_header X-Request-Id $request_id;
    proxy_set_header Via "1.1 nginx";
    add_header X-Request-Id $request_id;
    add_header Via "1.1 nginx";
    @ROUTES@
  }
}
`, "@TO@", log, "@SECURE@", secure, "@ROUTES@", routes, "@LIMIT@", limit)
}

// memoryFolder is where nginx keeps its files: in memory, where there is such a place.
func memoryFolder(s Setup) string {
	if _, err := os.Stat("/dev/shm"); err != nil {
		return filepath.Join(s.Dir, "cache")
	}
	return filepath.Join("/dev/shm", "penstock-bench-nginx-"+filepath.Base(s.Dir))
}

func haproxy(s Setup) string {
	log, secure, route, limit := "", "", "default_backend origin", ""
	if s.Work.Limited {
		limit = "stick-table type ip size 100k expire 10s store http_req_rate(1s)\n" +
			"  http-request track-sc0 src\n" +
			"  http-request deny deny_status 429 if { sc_http_req_rate(0) gt 1000000 }"
	}
	if s.Work.Told {
		limit += "\n  http-response set-header RateLimit-Policy '\"per_ip\";q=1000000;w=1'\n" +
			"  http-response set-header RateLimit '\"per_ip\";r=%[sc_http_req_rate(0)];t=1'"
	}
	if s.Work.Log {
		log = "log global\n  option httplog"
	}
	if s.Work.TLS {
		secure = s.replace(" ssl crt @CERT@.pem ssl-min-ver TLSv1.3")
	}
	if s.Work.Routes > 1 {
		route = s.replace("use_backend %[path,map_str(@DIR@/routes.map,none)]\nbackend none\n  http-request deny")
	}
	return s.replace(`
global
  nbthread 1
  maxconn 9000
  log stdout format raw local0
defaults
  mode http
  timeout client 75s
  timeout server 15s
  timeout connect 1s
  timeout http-request 10s
  timeout http-keep-alive 75s
  option forwardfor
  http-reuse always
frontend f
  bind @ADDR@ backlog 4096@SECURE@
  @TO@
  @LIMIT@
  unique-id-format %[uuid()]
  http-request set-header X-Forwarded-Proto @SCHEME@
  http-request set-header X-Forwarded-Host %[req.hdr(host)]
  http-request set-header X-Request-Id %[unique-id]
  http-request set-header Via "1.1 haproxy"
  http-response set-header X-Request-Id %[unique-id]
  http-response set-header Via "1.1 haproxy"
  @ROUTE@
backend origin
  server o @ORIGIN@
`, "@TO@", log, "@SECURE@", secure, "@ROUTE@", route, "@SCHEME@", scheme(s), "@LIMIT@", limit)
}

func scheme(s Setup) string {
	if s.Work.TLS {
		return "https"
	}
	return "http"
}

func caddy(s Setup) string {
	log, secure, matcher := "", "", ""
	if s.Work.Log {
		log = s.replace("log {\n output file @LOG@\n }")
	}
	if s.Work.TLS {
		secure = s.replace("tls @CERT@.crt @CERT@.key {\n protocols tls1.3\n }")
	}
	if s.Work.Routes > 1 {
		matcher = "@known "
		log += "\n  @known path" + numbered(s.Work, " %s")
	}
	return s.replace(`{
  admin off
  auto_https off
  servers {
    metrics
  }
}
@SCHEME@://:@PORT@ {
  bind 127.0.0.1
  @TO@
  @SECURE@
  reverse_proxy @MATCHER@@ORIGIN@ {
    header_up X-Request-Id {http.request.uuid}
    header_up Via "1.1 caddy"
    header_down X-Request-Id {http.request.uuid}
    header_down Via "1.1 caddy"
    transport http {
      keepalive_idle_conns_per_host 256
      dial_timeout 1s
      response_header_timeout 15s
      compression off
    }
  }
}
`, "@TO@", log, "@SECURE@", secure, "@MATCHER@", matcher, "@SCHEME@", scheme(s))
}

func varnish(s Setup) string {
	host, port, _ := strings.Cut(s.Origin, ":")
	then := "return (pass);"
	if s.Work.Cached {
		then = "return (hash);\n}\nsub vcl_backend_response {\n  set beresp.ttl = 1h;\n  return (deliver);"
	}
	return fmt.Sprintf(`vcl 4.1;
backend default { .host = "%s"; .port = "%s"; .connect_timeout = 1s; .first_byte_timeout = 15s; }
sub vcl_recv {
  set req.http.X-Forwarded-Proto = "http";
  set req.http.X-Forwarded-Host = req.http.Host;
  set req.http.X-Request-Id = req.xid;
  %s
}
sub vcl_deliver { set resp.http.X-Request-Id = req.http.X-Request-Id; }
`, host, port, then)
}
