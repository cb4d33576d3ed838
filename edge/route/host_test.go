package route

import (
	"strconv"
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

func TestPortOf(t *testing.T) {
	f := func(authority, scheme string, want int) {
		t.Helper()
		if got := PortOf([]byte(authority), scheme); got != want {
			t.Errorf("PortOf(%q, %s) = %d, want %d", authority, scheme, got, want)
		}
	}
	f("", "http", 80)
	f("a.org", "http", 80)
	f("a.org", "https", 443)
	f("a.org:8443", "https", 8443)
	f("a.org:", "https", 443)
	f("[::1]", "http", 80)
	f("[::1]:81", "http", 81)
	f("a.org:x1", "http", 0)
	f("a.org:123456", "http", 80)
}

func TestRuleHost(t *testing.T) {
	f := func(text, key, message string) {
		t.Helper()
		got, gotMessage := ruleHost(text)
		gotKey := got.name
		if got.port != 0 {
			gotKey += ":" + strconv.Itoa(got.port)
		}
		if gotKey != key || !strings.Contains(gotMessage, message) || (message == "") != (gotMessage == "") {
			t.Errorf("ruleHost(%q) = %q, %q; want %q, %q", text, gotKey, gotMessage, key, message)
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
	f("A.org:80", "a.org:80", "")
	f("[::1]:80", "[::1]:80", "")
	f("*.a.org:8443", ".a.org:8443", "")
	f("*:8443", ":8443", "")
	f("a.org:", "", "no port from 1 to 65535")
	f("a.org:0", "", "no port from 1 to 65535")
	f("a.org:65536", "", "no port from 1 to 65535")
	f("a.org:+1", "", "no port from 1 to 65535")
	f(":80", "", "not a host name")
	f("https://a", "", "no port from 1 to 65535")
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
