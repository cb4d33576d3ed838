package key

import (
	"os"
	"slices"
	"strings"
	"testing"
)

func TestOmits(t *testing.T) {
	o := newOmitter([][]byte{[]byte("X-Real-Ip"), []byte("X_tenant")})
	f := func(want bool, names ...string) {
		t.Helper()
		for _, name := range names {
			if o.omits([]byte(name)) != want {
				t.Errorf("%s: left out is %v", name, !want)
			}
		}
	}
	f(false, "Host", "X-Forwarded-For", "Accept", "User-Agent", "Authorization", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Real-Ip", "X_tenant",
		"X-Request-Id", "Via", "Traceparent", "Origin", "Sec-Ch-Ua", "X-Lang", "Proxy-Status", "X-Hosting", "Destinations", "Content-Type")
	f(true, "X-Forwarded", "X-Forwarded-Anything", "Forwarded", "Forwarded-Host", "X_forwarded_host", "X-Forwarded.host",
		"Xforwardedproto", "X-Real_ip", "Xrealip", "X-Original-Url", "X--Original-Url", "X-Auth-Request-User", "Proxy", "Pro-Xy", "P.roxy",
		"H-Ost", "Co_okie", "Accept_encoding", "X-Tenant", "Authorization!", "Contenttype", "X.other", "X_other", "Cf-Connecting-Ipv6")
	long := strings.Repeat("X-Forwarded-", 20)
	f(true, long)
	f(false, "A"+long)
	want := []string{"Accept", "X-Forwarded-For", "X-Real-Ip"}
	var got []string
	for _, name := range o.Varying([][]byte{[]byte("Accept"), []byte("X-Forwarded-For"), []byte("X-Real-Ip"), []byte("Range")}) {
		got = append(got, string(name))
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if n := testing.AllocsPerRun(100, func() { o.omits([]byte(long[:60])) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// omittedTable returns the table in Markdown, as the documents show it.
func omittedTable() string {
	var b strings.Builder
	b.WriteString("| left out | why |\n|---|---|\n")
	for _, row := range omissions {
		b.WriteString("| `" + strings.ReplaceAll(row.names, " ", "`, `") + "` | " + row.reason + " |\n")
	}
	return b.String()
}

// TestOmissions: the documents have the table, no name is in it twice, and none is folded into what is sent.
func TestOmissions(t *testing.T) {
	for _, file := range []string{"../README.md", "../../docs/caching.md"} {
		text, err := os.ReadFile(file)
		if err != nil || !strings.Contains(string(text), omittedTable()) {
			t.Errorf("%s does not have this table (%v):\n%s", file, err, omittedTable())
		}
	}
	seen := map[string]string{}
	for _, row := range omissions {
		for name := range strings.FieldsSeq(row.names) {
			folded := string(fold(nil, []byte(name)))
			if seen[folded] != "" {
				t.Errorf("%s is there as %s already", name, seen[folded])
			}
			seen[folded] = name
		}
	}
	for _, name := range vital {
		if seen[string(fold(nil, []byte(name)))] != "" {
			t.Errorf("%s is left out", name)
		}
	}
}
