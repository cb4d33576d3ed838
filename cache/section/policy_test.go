package section

import (
	"strings"
	"testing"

	"github.com/penstock-edge/penstock/edge/config"
)

func TestTTLByStatus(t *testing.T) {
	file := config.Parse("test.toml", []byte("[cache.main]\nsize = \"16MiB\"\n"+
		`ttl = { "404" = "10s", "400-499" = "20s", "301-308" = "30s", "410" = "0s" }`), config.Options{})
	c := Read(file.Root.Children("cache")[0])
	if errs := file.Finish(); len(errs) > 0 {
		t.Fatal(errs)
	}
	f := func(status int, want int64) {
		t.Helper()
		got, ok := c.ByStatus.Of(status)
		if !ok {
			got = -1
		}
		if got != want {
			t.Errorf("%d: %d ms, want %d", status, got, want)
		}
	}
	f(404, 10_000)
	f(403, 20_000)
	f(302, 30_000)
	f(410, 0)
	f(200, -1)
	f(309, -1)
	f(-1, -1)
	f(600, -1)
	g := func(value, want string) {
		t.Helper()
		file := config.Parse("test.toml", []byte("[cache.main]\nsize = \"16MiB\"\n"+value), config.Options{})
		Read(file.Root.Children("cache")[0])
		if errs := file.Finish(); len(errs) != 1 || !strings.Contains(errs[0].Error(), want) || errs[0].Line != 3 {
			t.Errorf("%s: %v, want %q", value, errs, want)
		}
	}
	g(`ttl = { "4xx" = "1s" }`, "4xx")
	g(`ttl = { "199" = "1s" }`, "199")
	g(`ttl = { "600" = "1s" }`, "600")
	g(`ttl = { "0404" = "1s" }`, "0404")
	g(`ttl = { "405-404" = "1s" }`, "405-404")
	g(`ttl = { "404" = "9000h" }`, "0s to 8760h")
	g(`ttl = { "304" = "1s" }`, "not stored")
	g(`ttl = { "400-410" = "1s", "405-415" = "2s" }`, "in common")
	g(`query_drop = ["a*b"]`, "at the end")
	g(`override = { set_cookie = "drop" }`, "set_cookie")
	g(`override = { no_stor = true }`, "no_store")
}
