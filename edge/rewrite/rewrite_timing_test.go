package rewrite

import (
	"testing"

	"github.com/penstock-edge/penstock/edge"
)

func BenchmarkRewrite(b *testing.B) {
	f := func(name, keys, path string) {
		b.Run(name, func(b *testing.B) {
			x := new(edge.Exchange)
			x.Authority = []byte("example.com:8080")
			_, plan := run(build1(b, base+keys), x, path)
			filters := plan.Filters(edge.Rewrite)
			b.ReportAllocs()
			for b.Loop() {
				x.OutPath = x.Path
				for _, f := range filters {
					f.Run(x)
				}
			}
		})
	}
	f("host", "prefix = \"/v1/\"", "/v1/users/7/posts")
	f("strip", "prefix = \"/v1/\"\nstrip_prefix = \"/v1\"", "/v1/users/7/posts")
	f("prefix", "prefix = \"/old/\"\nrewrite = \"/new/\"", "/old/users/7/posts")
	f("params", "path = \"/v1/users/{id}/{rest:*}\"\nrewrite = \"/u/{id}/{rest}\"", "/v1/users/7/a/b/c")
}
