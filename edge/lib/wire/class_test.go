package wire

import (
	"bytes"
	"strings"
	"testing"
)

// TestPlainEnd puts each byte at each place of short texts and compares with a plain loop.
func TestPlainEnd(t *testing.T) {
	slow := func(src []byte, at int) int {
		for at < len(src) && src[at] >= ' ' && src[at] != 0x7f {
			at++
		}
		return at
	}
	for _, fill := range []byte{'a', '~', ' ', 0x80, 0xff} {
		for length := range 20 {
			for place := range length {
				src := bytes.Repeat([]byte{fill}, length)
				for c := range 256 {
					src[place] = byte(c)
					for at := range length {
						if got, want := plainEnd(src, at), slow(src, at); got != want {
							t.Fatalf("%q from %d: got %d, want %d", src, at, got, want)
						}
					}
				}
			}
		}
	}
}

// TestClassify checks that every known name is found in any case, and its neighbours are not.
func TestClassify(t *testing.T) {
	f := func(name string, want kind) {
		t.Helper()
		var fd field
		src := []byte(name + ":\r\n")
		if bad := fd.scan(src, 0); bad != faultNone {
			t.Fatalf("%q: fault %d", name, bad)
		}
		got := kindOther
		if fd.maybeKnown {
			got = classify(fd.name(src))
		}
		if got != want {
			t.Fatalf("%q: kind %d, want %d", name, got, want)
		}
	}
	for _, k := range known {
		f(k.name, k.kind)
		f(string(bytes.ToUpper([]byte(k.name))), k.kind)
		f(k.name+"x", kindOther)
		f("x"+k.name, kindOther)
		f(k.name[:len(k.name)-1]+"!", kindOther)
	}
	f("x-forwarded-", kindClaim)
	f("X-Forwarded-For", kindClaim)
	f("x-forwarded-"+strings.Repeat("a", 40), kindClaim)
	f("x-forwarded", kindOther)
	f("accept-and-a-name-much-longer-than-all-known-ones", kindOther)
}
