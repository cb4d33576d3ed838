package cookie

import "testing"

func TestIsLikely(t *testing.T) {
	f := func(name string, want bool) {
		t.Helper()
		if IsLikely(name) != want {
			t.Errorf("%s: %v", name, !want)
		}
	}
	f("session", true)
	f("JSESSIONID", true)
	f("PHPSESSID", true)
	f("ASP.NET_SessionId", true)
	f("__Host-session", true)
	f("ASPSESSIONIDABCD", true)
	f("penstock", false)
	f("release", false)
	f("shop", false)
	f("", false)
}
