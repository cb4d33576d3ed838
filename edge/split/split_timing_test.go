package split

import "testing"

func BenchmarkPick(b *testing.B) {
	f := func(name, sticky, cookie string) {
		b.Run(name, func(b *testing.B) {
			built, _ := build1(b, "split = [{ pool = \"a\", weight = 95 }, { pool = \"b\", weight = 5 }]\n"+sticky)
			x := newExchange(built)
			x.Cookie = []byte(cookie)
			b.ReportAllocs()
			for b.Loop() {
				clear(x.Slot)
				pick(b, x)
			}
		})
	}
	f("random", "", "")
	f("cookie", `sticky = "cookie:id"`, "a=b; id=0123456789abcdef0123456789abcdef")
}
