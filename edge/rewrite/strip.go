package rewrite

import (
	"bytes"

	"github.com/penstock-edge/penstock/edge"
)

// keepHost sends the client's Host on to the target.
type keepHost struct{}

// Run implements edge.Filter. A request without Host (HTTP/1.0) goes out under the target's address.
func (keepHost) Run(x *edge.Exchange) edge.Verdict {
	if len(x.Authority) > 0 {
		x.SetOutHost(x.Authority)
	}
	return edge.Next
}

// strip takes a prefix off the path.
type strip struct{ prefix []byte }

// Run implements edge.Filter. A path that is not below the prefix stays as it is.
func (s *strip) Run(x *edge.Exchange) edge.Verdict {
	p := x.OutPath
	if !below(p, s.prefix) {
		return edge.Next
	}
	x.SetOutPath(rooted(p, len(s.prefix)))
	return edge.Next
}

// below reports whether prefix is the beginning of path and ends where a segment does.
func below(path, prefix []byte) bool {
	return bytes.HasPrefix(path, prefix) &&
		(len(path) == len(prefix) || prefix[len(prefix)-1] == '/' || path[len(prefix)] == '/')
}

var root = []byte("/")

// rooted returns path from byte n on, with exactly one slash before it: two would make what follows look like
// a host (RFC 3986 section 4.2).
func rooted(path []byte, n int) []byte {
	for n < len(path) && path[n] == '/' {
		n++
	}
	if n == 0 || path[n-1] != '/' {
		return root // nothing is left: below has seen that a segment ends at n
	}
	return path[n-1:]
}
