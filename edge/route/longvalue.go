package route

import "regexp"

// longest is the length in bytes up to which a value is compared with a pattern; a longer one matches none.
const longest = 8 << 10

// hasty is how many bytes a hasty lookup compares with patterns, all in all. A pattern takes some
// nanoseconds a byte, a nasty one some microseconds.
const hasty = 512

// test reports whether v, which is of the request, matches re.
func (k *Key) test(re *regexp.Regexp, v []byte) bool {
	if len(v) > longest {
		return false
	}
	if k.Hasty {
		if k.tested += len(v); k.tested > hasty {
			k.unsettled = true
			return false
		}
	}
	return re.Match(v)
}
