package entry

import (
	"fmt"
	"github.com/penstock-edge/penstock/cache/cachetest"
	"github.com/penstock-edge/penstock/cache/fresh"
	"strings"
	"testing"
)

// describeText is describe of an answer with these fields.
func describeText(fields ...string) *Description {
	y := cachetest.Request("/")
	lines := strings.Join(fields, "\r\n") + "\r\n"
	y.SetHead(200, nil, []byte(lines))
	return Describe(y)
}

func TestDescribe(t *testing.T) {
	f := func(want string, fields ...string) {
		t.Helper()
		d := describeText(fields...)
		life, ok := d.Lifetime(&fresh.Options{})
		got := fmt.Sprintf("%v %v %q %q %q", life/1000, ok, d.Vary, d.Tags, d.Lines)
		if got != want {
			t.Errorf("%q:\n%s, want\n%s", fields, got, want)
		}
	}
	f(`5 true [] [] "Cache-Control: max-age=5\r\n"`, "Cache-Control: max-age=5")
	f(`5 true [] [] "Cache-Control: max-age=5\r\nX: 1\r\n"`, "Cache-Control: max-age=5", "Age: 3", "X-Request-Id: 1", "X: 1")
	// RFC 9213 section 2.2: the most specific field counts alone, and Expires does not.
	f(`7 true [] [] "CDN-Cache-Control: max-age=7\r\nCache-Control: max-age=5\r\n"`, "CDN-Cache-Control: max-age=7", "Cache-Control: max-age=5")
	f(`9 true [] [] "CDN-Cache-Control: max-age=7\r\n"`, "Penstock-Cache-Control: max-age=9", "CDN-Cache-Control: max-age=7")
	f(`5 true [] [] "CDN-Cache-Control: max-age=7,,\r\nCache-Control: max-age=5\r\n"`, "CDN-Cache-Control: max-age=7,,", "Cache-Control: max-age=5")
	f(`0 false [] [] "CDN-Cache-Control: public\r\nExpires: Sun, 06 Nov 2050 08:49:37 GMT\r\n"`, "CDN-Cache-Control: public", "Expires: Sun, 06 Nov 2050 08:49:37 GMT")
	f(`0 false ["Accept" "X-A"] [] "Vary: x-a, accept\r\nVary: X-A\r\n"`, "Vary: x-a, accept", "Vary: X-A")
	f(`0 false ["Accept-Encoding"] [] "Content-Encoding: gzip\r\nVary: Accept-Encoding\r\n"`, "Content-Encoding: gzip")
	f(`0 false [] ["a" "b" "c" "d"] "Surrogate-Key: a b\r\nCache-Tag: c, d\r\n"`, "Surrogate-Key: a b", "Cache-Tag: c, d")
	// RFC 9111 sections 5.2.2.4 and 5.2.2.7: the fields that are named are not stored.
	f(`1 true [] [] "Cache-Control: max-age=1, private=\"X-A, set-cookie\"\r\nX-B: 2\r\n"`, `Cache-Control: max-age=1, private="X-A, set-cookie"`,
		"X-A: 1", "X-B: 2", "Set-Cookie: a=b")
}

func TestMerge(t *testing.T) {
	got := Merge([]byte("A: 1\r\nETag: old\r\nContent-Type: a/b\r\nB: 2\r\nB: 3\r\n"), []byte("B: 4\r\nEtag: new\r\nContent-Type: x/y\r\nContent-Length: 0\r\nContent-Encoding: gzip\r\nB: 5\r\n"))
	if want := "A: 1\r\nB: 4\r\nEtag: new\r\nContent-Type: x/y\r\nB: 5\r\n"; string(got) != want {
		t.Errorf("%q, want %q", got, want) // RFC 9111 section 3.2
	}
}
