package route

import (
	"strings"
	"testing"
)

func TestNormalHost(t *testing.T) {
	f := func(host, want string) {
		t.Helper()
		if got := string(NormalHost([]byte("kept"), []byte(host))); got != "kept"+want {
			t.Errorf("NormalHost(%q) = %q, want %q", host, got, "kept"+want)
		}
	}
	f("", "")
	f("a.example", "a.example")
	f("A.Example.ORG:8080", "a.example.org")
	f("a.example.", "a.example")
	f("a.example.:80", "a.example")
	f("a.example:", "a.example")
	f("10.0.0.1:80", "10.0.0.1")
	f("[2001:DB8::1]:443", "[2001:db8::1]")
	f("[::1]", "[::1]")
	f("[::1", "")
	f("::1", "::1")
	f("a..", "a.")
}

func TestRuleHost(t *testing.T) {
	f := func(host, key, message string) {
		t.Helper()
		gotKey, gotMessage := ruleHost(host)
		if gotKey != key || !strings.Contains(gotMessage, message) || (message == "") != (gotMessage == "") {
			t.Errorf("ruleHost(%q) = %q, %q; want %q, %q", host, gotKey, gotMessage, key, message)
		}
	}
	f("API.example.com", "api.example.com", "")
	f("example.com.", "example.com", "")
	f("*.Example.org", ".example.org", "")
	f("xn--bcher-kva.example", "xn--bcher-kva.example", "")
	f("[2001:DB8::1]", "[2001:db8::1]", "")
	f("*", "", `instead of "*"`)
	f("*.*.org", "", "first label")
	f("a.*.org", "", "first label")
	f("*a.org", "", "first label")
	f("a.org:80", "", "port")
	f("[::1]:80", "", "IPv6")
	f("[1.2.3.4]", "", "IPv6")
	f("", "", "not a host name")
	f("a..b", "", "not a host name")
	f("*.", "", "not a host name")
	f("bücher.example", "", "not a host name")
	f("a b", "", "not a host name")
	f("a~b", "", "not a host name")
	f(strings.Repeat("a", 64)+".org", "", "not a host name")
	f(strings.Repeat("a.", 127)+"org", "", "not a host name")
}
