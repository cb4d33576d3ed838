package discovery

import (
	"strings"
	"testing"
)

func TestConfig(t *testing.T) {
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	f := func(discover, want string) {
		t.Helper()
		s, errs := parse(discover)
		got := ""
		if s != nil {
			got = s.String()
		}
		if errs != nil {
			got = errs[0].Key + ": " + errs[0].Message
		}
		if len(errs) > 1 || s != nil && errs != nil && !strings.Contains(want, "unknown key") ||
			s == nil && errs == nil || !strings.HasPrefix(got, want) || want == "" {
			t.Errorf("%s\n got %s (source %v, %d mistakes)\nwant %s", discover, got, s, len(errs), want)
		}
	}
	const in = "pool.users.discover"
	f(`{}`, in+": names no source")
	f(`{ dns = "a:b:1", file = "/x" }`, in+".file: a pool is discovered in one place")
	f(`{ file = "/x", min_ttl = "5s" }`, in+".min_ttl: goes with dns")
	f(`{ file = "/x", servers = [] }`, in+".servers: goes with dns")

	f(`{ dns = "srv:_http._tcp.users.example" }`, "dns srv:_http._tcp.users.example")
	f(`{ dns = "a:users.example.:80", servers = ["10.0.0.53", "[::1]:54"] }`,
		"dns a:users.example.:80 at 10.0.0.53:53, [::1]:54")
	f(`{ dns = "aaaa:users:80" }`, "dns aaaa:users:80")
	f(`{ dns = "" }`, in+`.dns: must be "srv:NAME"`)
	f(`{ dns = "users.example:80" }`, in+`.dns: must be "srv:NAME"`)
	f(`{ dns = "a:users.example" }`, in+`.dns: must be "srv:NAME"`)
	f(`{ dns = "a:users.example:0" }`, in+`.dns: must be "srv:NAME"`)
	f(`{ dns = "a:10.0.0.1:80" }`, in+".dns: \"10.0.0.1\" is no name")
	f(`{ dns = "srv:a b" }`, in+".dns: \"a b\" is no name")
	f(`{ dns = "a:b:1", servers = ["ns.example"] }`, in+".servers[1]: must be IP")
	f(`{ dns = "a:b:1", min_ttl = "10m" }`, in+".min_ttl: must not be above max_ttl")
	f(`{ dns = 5 }`, in+".dns: must be a string")

	f(`{ file = "/etc/../x.toml" }`, "file /x.toml")
	f(`{ file = "x.toml" }`, in+".file: must be a path")

	f(`{ consul = { service = "users" } }`, "consul users at http://127.0.0.1:8500")
	f(`{ consul = { service = "users", token = "hush", tag = "a", datacenter = "b", passing_only = false } }`,
		"consul users at http://127.0.0.1:8500, datacenter b, tag a, passing or not")
	f(`{ consul = {} }`, in+".consul.service: is required")
	f(`{ consul = 5 }`, in+".consul: must be a table")
	f(`{ consul = { service = "users", addr = "x" } }`, in+".consul.addr: unknown key")
	f(`{ consul = { service = "users", address = "u@x:1" } }`, in+".consul.address: ")
	f(`{ consul = { service = "users", ca = "/x" } }`, in+".consul.ca: goes with")
	f(`{ consul = { service = "users", scheme = "https", ca = "/not/there" } }`, in+".consul.ca: ")

	f(`{ kubernetes = { service = "users" } }`, in+".kubernetes.api: is needed outside a cluster")
	f(`{ kubernetes = { service = "users", api = "https://k:6443/" } }`, "kubernetes default/users at https://k:6443")
	f(`{ kubernetes = { service = "users", port = "http", api = "https://k" } }`, "kubernetes default/users:http")
	f(`{ kubernetes = { service = "a/b", api = "https://k" } }`, in+".kubernetes.service: is no name")
	f(`{ kubernetes = { service = "a", port = "70000", api = "https://k" } }`, in+".kubernetes.port: ")
	f(`{ kubernetes = { service = "a", api = "https://u:hush@k" } }`, in+".kubernetes.api: must be a URL such as")
	t.Setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
	t.Setenv("KUBERNETES_SERVICE_PORT", "443")
	f(`{ kubernetes = { service = "users" } }`, "kubernetes default/users at https://[fd00::1]:443")

	f(`{ etcd = { prefix = "/users/" } }`, "etcd /users/ at http://127.0.0.1:2379")
	f(`{ etcd = { prefix = "" } }`, in+".etcd.prefix: ")
	f(`{ etcd = { prefix = "/u/", endpoints = [] } }`, in+".etcd.endpoints: there must be one")
	f(`{ etcd = { prefix = "/u/", endpoints = ["x:1"] } }`, in+".etcd.endpoints: must be a URL")
	f(`{ etcd = { prefix = "/u/", endpoints = ["http://x:1/v3"] } }`, in+".etcd.endpoints: must be a URL")
	f(`{ etcd = { prefix = "/u/", username = "u" } }`, in+".etcd.username: username and password")
	f(`{ etcd = { prefix = "/u/", ca = "/x" } }`, in+".etcd: ca, cert and key go with")
	f(`{ etcd = { prefix = "/u/", endpoints = ["https://x"], cert = "/x" } }`, in+".etcd.cert: cert and key")
}

// TestSecrets: a secret is in no name, and in no error, even if whoever is asked sends it back.
func TestSecrets(t *testing.T) {
	for _, discover := range []string{
		`{ consul = { service = "users", token = "hush" } }`,
		`{ etcd = { prefix = "/users/", username = "u", password = "hush" } }`,
		`{ etcd = { prefix = "/users/", endpoints = ["https://u:hush@x"] } }`,
	} {
		s, errs := parse(discover)
		if errs != nil && strings.Contains(errs.Error(), "hush") || s != nil && strings.Contains(s.String(), "hush") {
			t.Errorf("%s: %v, %v", discover, s, errs)
		}
	}
	c := &caller{secrets: []string{"", "hush"}}
	if got := c.short("token\nhush  is\tnot it"); got != "token [secret] is not it" {
		t.Error(got)
	}
}
