package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
)

// Cached is a configuration whose route has a cache; keys are those of [cache.main].
func Cached(target, keys string, more ...string) string {
	return Simple(target, `cache = "main"`, "[cache.main]\nsize = \"16MiB\"\n", keys, strings.Join(more, "\n"))
}

// OnDisk is a configuration whose cache has a folder.
func OnDisk(target, dir string, more ...string) string {
	return Cached(target, fmt.Sprintf("disk = %q\ndisk_size = \"64MiB\"\n%s", dir, strings.Join(more, "\n")))
}

// TrustLoopback makes the tests' own address a trusted proxy.
const TrustLoopback = "\n[server]\ntrusted_proxies = [\"127.0.0.0/8\"]\n"

// SharedBy is a configuration whose route has one limit of the fleet; keys are those of [rate_limit.main].
func SharedBy(target, redis, keys string, more ...string) string {
	server := "[redis]\naddress = \"" + redis + "\"\n"
	return LimitedTo(target, "scope = \"fleet\"\n"+keys, server+strings.Join(more, "\n"))
}

// PoolOf is a configuration with one pool of targets, as TOML.
func PoolOf(targets, keys string, more ...string) string {
	return "[[listener]]\naddress = \"{{addr}}\"\n[pool.app]\ntargets = [" + targets + "]\n" + keys +
		"\n[[route]]\nprefix = \"/\"\npool = \"app\"\n" + strings.Join(more, "\n")
}

// Quoted lists addresses as TOML strings.
func Quoted(addrs ...string) string { return `"` + strings.Join(addrs, `", "`) + `"` }

// LimitedTo is a configuration whose route has these limits; keys are those of [rate_limit.main].
func LimitedTo(target, keys string, more ...string) string {
	return Simple(target, `rate_limits = ["main"]`, "[rate_limit.main]", keys, strings.Join(more, "\n"))
}

// QuotaOf is a configuration whose route has a quota of one node.
func QuotaOf(target, file, keys string) string {
	return LimitedTo(target, "algorithm = \"quota\"\nfile = \""+file+"\"\nkey = \"header:X-Key\"\n"+keys)
}

// SecureListener is the text of a listener with certificates, each a name of files in dir.
func SecureListener(dir string, names ...string) string {
	s := "[[listener]]\nname = \"main\"\naddress = \"{{addr}}\"\n"
	for _, n := range names {
		s += fmt.Sprintf("  [[listener.certificate]]\n  cert = %q\n  key = %q\n",
			filepath.Join(dir, n+".crt"), filepath.Join(dir, n+".key"))
	}
	return s
}

// Secure is a whole configuration with such a listener.
func Secure(listener, target string, more ...string) string {
	return listener + "[pool.app]\ntargets = [\"" + target + "\"]\n[[route]]\nprefix = \"/\"\npool = \"app\"\n" +
		strings.Join(more, "\n")
}
