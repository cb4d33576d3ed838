package section

import (
	"strings"
	"testing"

	"github.com/penstock-edge/penstock/edge/config"
)

func readPool(text string) (*Config, config.Errors) {
	file := config.Parse("t.toml", []byte(text), config.Options{})
	var c *Config
	for _, t := range file.Root.Children("pool") {
		c = Read(t, nil)
	}
	return c, file.Finish()
}

func TestConfig(t *testing.T) {
	f := func(text string, want ...string) {
		t.Helper()
		_, errs := readPool(text)
		if len(errs) != len(want) {
			t.Fatalf("%d errors, want %d:\n%v", len(errs), len(want), errs)
		}
		for i, w := range want {
			if !strings.Contains(errs[i].Error(), w) {
				t.Fatalf("error %d is %q, want it to hold %q", i, errs[i], w)
			}
		}
	}
	f("[pool.a]\ntargets = [\"127.0.0.1:80\", { address = \"b.example:81\", weight = 3, backup = true }]\n")
	f("[pool.a]\ntargets = [\"unix:/run/app.sock\"]\nbalance = \"random\"\n")
	f("[pool.a]\n", "needs at least one target")
	f("[pool.a]\ntarget = [\"a:1\"]\n", "unknown key (did you mean \"targets\"?)")
	f("[pool.a]\ntargets = []\n", "needs at least one target")
	f("[pool.a]\ntargets = [\"127.0.0.1\"]\n", "t.toml:2:12: pool.a.targets[1]: target \"127.0.0.1\" is not host:port")
	f("[pool.a]\ntargets = [\"a:0\", \"a:70000\", \":80\", 7]\n", "no port", "no port", "not host:port", "a target is")
	f("[pool.a]\ntargets = [\"a:1\", \"a:1\"]\n", "in the pool already")
	f("[pool.a]\ntargets = [\"a:1\"]\nhash_key = \"header\"\n", "must be ip, path, uri")
	f("[pool.a]\ntargets = [\"a:1\"]\nbalance = \"robin\"\n", "balance")
	f("[pool.a]\ntargets = [\"a:1\"]\nproxy_protocol = \"v2\"\n")
	f("[pool.a]\ntargets = [\"a:1\"]\nproxy_protocol = \"V2\"\n", "t.toml:3:18: pool.a.proxy_protocol: no version")
	f("[pool.a]\ntargets = [\"a:1\"]\nproxy_protocol = \"v22\"\n", "did you mean \"v2\"")
	f("[pool.a]\ntargets = [\"a:1\"]\nproxy_protocol = true\n", "must be a string")
	f("[pool.a]\ntargets = [\"a:1\"]\nconect_timeout = \"1s\"\n", "did you mean \"connect_timeout\"")
	f("[pool.a]\ntargets = [\"a:1\"]\n[pool.a.tls]\nenabled = true\nca = \"/nonexistent\"\n", "cannot read")
	f("[pool.a]\ntargets = [\"a:1\"]\n[pool.a.tls]\nenabled = true\ncert = \"x\"\n", "cert and key go together")
}

func TestHashKeyNamesAreCanonical(t *testing.T) {
	c, errs := readPool("[pool.a]\ntargets = [\"a:1\"]\nbalance = \"consistent_hash\"\nhash_key = \"header:x-user-ID\"\n")
	if errs != nil || c.HashKey != "header:X-User-Id" {
		t.Fatalf("hash key %q, errors %v", c.HashKey, errs)
	}
}
