package section

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/penstock-edge/penstock/cache/fresh"
	"github.com/penstock-edge/penstock/edge/config"
)

// read reads [cache.main] with these lines, and returns what is wrong with them.
func read(lines ...string) (c *Config, wrong config.Errors) {
	file := config.Parse("test.toml", []byte("[cache.main]\n"+strings.Join(lines, "\n")+"\n"), config.Options{})
	c = Read(file.Root.Children("cache")[0])
	return c, file.Finish()
}

// TestWrongTypes: a value of another type is one mistake, in the line where it stands, that names the key, whichever key
// it is.
func TestWrongTypes(t *testing.T) {
	values := map[string]string{"text": `"text"`, "number": "7", "fraction": "0.5", "bool": "true", "list": "[1]", "texts": `["X-A"]`,
		"table": `{ a = 1 }`, "date": "2026-01-01T00:00:00Z"}
	f := func(key string, fits ...string) {
		t.Helper()
		for kind, value := range values {
			_, wrong := read("", key+" = "+value)
			good := strings.Contains(" "+strings.Join(fits, " ")+" ", " "+kind+" ")
			if good && len(wrong) == 0 {
				continue
			}
			if good || len(wrong) != 1 || !strings.Contains(wrong[0].Error(), key[strings.LastIndexByte(key, '.')+1:]) || wrong[0].Line != 3 {
				t.Errorf("%s = %s: %v", key, value, wrong)
			}
		}
	}
	for _, key := range []string{"size", "max_object", "min_ttl", "default_ttl", "max_ttl", "stale_while_revalidate", "stale_if_error",
		"compress_min", "disk_size", "wait_timeout", "ttl", "cookies", "disk", "override.set_cookie"} {
		f(key)
	}
	for _, key := range []string{"heuristic", "fetch_whole", "sort_query", "ignore_client_no_cache", "override.no_store", "override.private"} {
		f(key, "bool")
	}
	for _, key := range []string{"compress_types", "query_keep", "query_drop", "key_headers", "key_cookies"} {
		f(key, "texts")
	}
	f("compress")
	f("warm", "text")
	f("warm_workers", "number")
	f("disk_objects")
	f("override")
}

// TestBounds: what is beyond its bounds is a mistake that says what they are; what stands on them is none.
func TestBounds(t *testing.T) {
	f := func(want string, lines ...string) {
		t.Helper()
		_, wrong := read(lines...)
		if want == "" && len(wrong) > 0 {
			t.Errorf("%q: %v", lines, wrong)
		}
		if want != "" && (len(wrong) != 1 || !strings.Contains(wrong[0].Error(), want)) {
			t.Errorf("%q: %v, want %q", lines, wrong, want)
		}
	}
	f("")
	f("", `size = "4MiB"`)
	f("4MiB", `size = "4095KiB"`)
	f("", `size = "16MiB"`, `max_object = "4MiB"`)
	f("a quarter of size", `size = "16MiB"`, `max_object = "4097KiB"`)
	f("", `size = "4MiB"`) // the max_object that is not set is less then
	f("1KiB", `max_object = "1B"`)
	f("", `min_ttl = "1m"`, `max_ttl = "1m"`)
	f("max_ttl", `min_ttl = "2m"`, `max_ttl = "1m"`)
	f("", `min_ttl = "2m"`)
	f("8760h", `default_ttl = "8761h"`)
	f("must be a duration", `max_ttl = "-1s"`)
	f("absolute", `disk = "cache"`)
	f("", `disk = "/var/cache/penstock"`)
	f("64MiB", `disk_size = "63MiB"`)
	f("1000", `disk_objects = 999`)
	f("10ms", `wait_timeout = "9ms"`)
	f("10m", `wait_timeout = "11m"`)
	f("256", `warm_workers = 257`)
	f("1", `warm_workers = 0`)
	f("pass", `cookies = "drop"`)
	f("gzip, br and zstd", `compress = ["deflate"]`)
	f("", `compress = ["zstd", "br", "gzip"]`)
	f("entry 2", `key_headers = ["X-A", "X B"]`)
	f("entry 1", `key_headers = [""]`)
	f("entry 2", `key_cookies = ["a", "b;c"]`)
	f("at the end", `query_keep = ["*a"]`)
	f("", `query_keep = ["a*", "*"]`)
	f("unknown", `sizes = "16MiB"`)
}

// TestMade: what a section makes of its keys.
func TestMade(t *testing.T) {
	c, wrong := read(`size = "16MiB"`, `key_headers = ["x-tenant", "ACCEPT"]`, `key_cookies = ["Sid"]`, `sort_query = true`,
		`query_drop = ["utm_*"]`, `compress = ["br", "gzip"]`, `ignore_client_no_cache = true`)
	if len(wrong) > 0 {
		t.Fatal(wrong)
	}
	if got := fmt.Sprintf("%s %s %v %v %v", c.Rules.Headers, c.Rules.Cookies, c.Rules.SortQuery, c.Rules.QueryDrop, c.Rules.IgnoreNoCache); got !=
		"[X-Tenant Accept] [Sid] true [utm_*] true" {
		t.Error(got)
	}
	if c.MaxObject != 4<<20 {
		t.Errorf("max_object is %s", c.MaxObject)
	}
	if len(c.Coders) != 2 || c.Coders[0].Name != "br" || c.Coders[1].Name != "gzip" || len(c.CompressTypes) == 0 {
		t.Errorf("%d codings, %q", len(c.Coders), c.CompressTypes)
	}
	if c, _ := read(`compress_types = ["x/y"]`); len(c.CompressTypes) != 1 {
		t.Errorf("%q", c.CompressTypes)
	}
}

// TestWarnings: each key of override is warned of, and nothing else is.
func TestWarnings(t *testing.T) {
	f := func(want int, lines ...string) {
		t.Helper()
		file := config.Parse("test.toml", []byte("[cache.main]\n"+strings.Join(lines, "\n")), config.Options{})
		Read(file.Root.Children("cache")[0])
		if errs := file.Finish(); len(errs) > 0 || len(file.Warnings()) != want {
			t.Errorf("%q: %v, warnings %v", lines, errs, file.Warnings())
		}
	}
	f(0)
	f(0, `override = { no_store = false, private = false, set_cookie = "keep" }`)
	f(1, `override = { no_store = true }`)
	f(1, `override = { private = true }`)
	f(1, `override = { set_cookie = "strip" }`)
	f(3, "[cache.main.override]", "no_store = true", "private = true", `set_cookie = "strip"`)
}

// route reads the key cache of a route.
func route(value string) (r *RouteConfig, wrong config.Errors) {
	file := config.Parse("test.toml", []byte("[[route]]\ncache = "+value+"\n"), config.Options{})
	var keys struct {
		Cache RouteConfig `toml:"cache" unset:"none"`
	}
	file.Root.List("route")[0].Decode(&keys)
	return &keys.Cache, file.Finish()
}

// TestRoute: a route names its cache, alone or in a table with what holds for it; anything else is a mistake.
func TestRoute(t *testing.T) {
	f := func(value, note string) {
		t.Helper()
		r, wrong := route(value)
		if len(wrong) > 0 || r.Note() != note {
			t.Errorf("%s: %q %v, want %q", value, r.Note(), wrong, note)
		}
	}
	f(`"main"`, "main")
	f(`{ name = "main" }`, "main")
	f(`{ name = "main", default_ttl = "0s" }`, "main, default_ttl 0s")
	f(`{ name = "main", stale_if_error = "1h", stale_while_revalidate = "1m" }`, "main, stale_while_revalidate 1m0s, stale_if_error 1h0m0s")
	f(`{ name = "main", ttl = { "404" = "1s", "500-599" = "2s" } }`, "main, ttl of 2 statuses")
	f(`{ name = "main", methods = ["QUERY", "POST"] }`, "main, QUERY and POST with bodies of up to 64KiB")
	f(`{ name = "main", methods = ["POST"], max_key_body = "1MiB" }`, "main, POST with bodies of up to 1MiB")
	g := func(value, want string) {
		t.Helper()
		if _, wrong := route(value); len(wrong) != 1 || !strings.Contains(wrong[0].Error(), want) || wrong[0].Line != 2 {
			t.Errorf("%s: %v, want %q", value, wrong, want)
		}
	}
	g(`7`, "the name of a cache")
	g(`true`, "the name of a cache")
	g(`["main"]`, "the name of a cache")
	g(`{ default_ttl = "1s" }`, "name")
	g(`{ name = 7 }`, "name")
	g(`{ name = "main", size = "16MiB" }`, "size")
	g(`{ name = "main", default_ttl = 7 }`, "default_ttl")
	g(`{ name = "main", stale_if_error = "9000h" }`, "8760h")
	g(`{ name = "main", methods = ["GET"] }`, "GET and HEAD")
	g(`{ name = "main", methods = ["query"] }`, "QUERY")
	g(`{ name = "main", methods = "QUERY" }`, "methods")
	g(`{ name = "main", max_key_body = "1KiB" }`, "without methods")
	g(`{ name = "main", methods = ["QUERY"], max_key_body = "2MiB" }`, "1MiB")
}

// TestRouteOptions: what a route says goes before what its cache says, and what it does not say stays.
func TestRouteOptions(t *testing.T) {
	of := &fresh.Options{Default: 1000, Min: 2000, Max: 3000, Revive: 4000, Rescue: 5000, Heuristic: true, ByStatus: &fresh.ByStatus{}}
	of.ByStatus.Set(404, 6000)
	of.ByStatus.Set(503, 7000)
	f := func(value string, def, revive, rescue int64, statuses string) {
		t.Helper()
		r, wrong := route(value)
		if len(wrong) > 0 {
			t.Fatal(value, wrong)
		}
		o := r.Options(of)
		got := ""
		for _, status := range []int{404, 410, 503} {
			life, ok := o.ByStatus.Of(status)
			got += fmt.Sprint(time.Duration(life)*time.Millisecond, " ", ok, " ")
		}
		if o.Default != def || o.Revive != revive || o.Rescue != rescue || o.Min != 2000 || o.Max != 3000 || !o.Heuristic ||
			strings.TrimSpace(got) != statuses {
			t.Errorf("%s: %+v, %s", value, o, got)
		}
		if life, _ := of.ByStatus.Of(404); life != 6000 || of.Default != 1000 {
			t.Errorf("%s: the options of the cache are others now", value)
		}
	}
	f(`"main"`, 1000, 4000, 5000, "6s true 0s false 7s true")
	f(`{ name = "main", default_ttl = "0s" }`, 0, 4000, 5000, "6s true 0s false 7s true")
	f(`{ name = "main", stale_while_revalidate = "1s" }`, 1000, 1000, 5000, "6s true 0s false 7s true")
	f(`{ name = "main", stale_if_error = "0s" }`, 1000, 4000, 0, "6s true 0s false 7s true")
	f(`{ name = "main", ttl = { "400-499" = "9s" } }`, 1000, 4000, 5000, "9s true 9s true 7s true")
	f(`{ name = "main", ttl = { "400-499" = "9s", "410" = "0s" } }`, 1000, 4000, 5000, "9s true 0s true 7s true")
}
