package admin

import "testing"

func TestShown(t *testing.T) {
	f := func(uri, want string) {
		t.Helper()
		if got := shown([]byte(uri)); got != want {
			t.Errorf("%s: %s, want %s", uri, got, want)
		}
	}
	f("/reload", "/reload")
	f("/x/reset?key=a", "/x/reset?key=[secret]")
	f("/x/reset?key=a&key=b&soft=1", "/x/reset?key=[secret]&key=[secret]&soft=1")
	f("/x/reset?%6bey=a", "/x/reset?%6bey=[secret]")
	f("/x/reset?%zz=a", "/x/reset?%zz=[secret]")
	f("/cache/c/purge?url=https://a/?key=b", "/cache/c/purge?url=https://a/?key=b")
	f("/x?", "/x?")
}
