package header

import (
	"strings"
	"testing"
)

func TestFold(t *testing.T) {
	for _, name := range []string{"X-Forwarded-For", "x_forwarded_for", "X.Forwarded!FOR", "X|forwarded-for"} {
		if got := string(AppendFold(nil, []byte(name))); got != "x-forwarded-for" {
			t.Errorf("%s: %s", name, got)
		}
		if got := IsPlain([]byte(name)); got != (name == "X-Forwarded-For") {
			t.Errorf("%s: plain is %v", name, got)
		}
	}
}

func TestNames(t *testing.T) {
	n := NewNames("X-Forwarded-*", "Via", "X-Request-Id")
	f := func(name string, want bool) {
		t.Helper()
		if n.Cover([]byte(name)) != want {
			t.Errorf("%q: %v", name, !want)
		}
	}
	f("via", true)
	f("Via-", false)
	f("x.request_ID", true)
	f("x-request-id2", false)
	f("X_Forwarded.", true)
	f("X_Forwarded", false)
	f("x!forwarded!"+strings.Repeat("y", 100), true)
	f("", false)
	name := []byte("x_forwarded_for")
	if allocs := testing.AllocsPerRun(100, func() { n.Cover(name) }); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}
