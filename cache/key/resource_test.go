package key

import (
	"testing"

	"github.com/penstock-edge/penstock/edge/config"
)

func TestResource(t *testing.T) {
	of := func(route string, r *Rules) string {
		t.Helper()
		file := config.Parse("test.toml", []byte("[[route]]\n"+route), config.Options{})
		return Resource(file.Root.List("route")[0], r)
	}
	f := func(same bool, a, b string) {
		t.Helper()
		if x, y := of(a, &Rules{}), of(b, &Rules{}); (x == y) != same {
			t.Errorf("%s and %s: %q and %q", a, b, x, y)
		}
	}
	const one = "pool = \"a\"\n"
	f(true, one, one+"name = \"n\"\nprefix = \"/\"\nhosts = [\"h\"]\nmethods = [\"GET\"]\ntimeout = \"1s\"\npriority = 3")
	f(true, one, one+"rewrite = \"/x\"\npreserve_host = false\nquery = { a = \"b\" }\ncache = \"main\"\nmirror = { pool = \"b\" }")
	f(true, one, "split = [{ pool = \"a\" }]")
	f(true, one, "split = [{ pool = \"a\", weight = 3 }, { pool = \"b\", weight = 0 }]\nsticky = \"ip\"")
	f(true, "split = [{ pool = \"a\", weight = 3 }, { pool = \"b\" }]", "split = [{ pool = \"b\", weight = 9 }, { pool = \"a\" }]")
	f(false, one, "pool = \"b\"")
	f(false, one, "split = [{ pool = \"a\" }, { pool = \"b\" }]")
	f(false, one, one+"headers = { \"X-Beta\" = \"yes\" }")
	f(false, one+"headers = { \"X-Beta\" = \"no\" }", one+"headers = { \"X-Beta\" = \"yes\" }")
	f(true, one+"headers = { \"A\" = \"1\", \"B\" = \"2\" }", one+"headers = { \"B\" = \"2\", \"A\" = \"1\" }")
	f(false, one, one+"cache = { name = \"main\", default_ttl = \"1s\" }")
	f(true, one+"cache = { name = \"main\", default_ttl = \"1s\" }", one+"cache = { default_ttl = \"1s\", name = \"main\" }")
	f(false, one, one+"something_new = [\"x\"]")
	f(false, one+"something_new = [\"x\", \"y\"]", one+"something_new = [\"x y\"]")
	f(false, one+"something_new = 1", one+"something_new = true")
	if of(one, &Rules{}) == of(one, keyedBy("A")) || of(one, keyedBy("A")) == of(one, keyedBy("B")) ||
		of(one, keyedBy("A")) == of(one, &Rules{Cookies: [][]byte{[]byte("A")}}) {
		t.Error("other fields in the key are the same")
	}
	if of(one, &Rules{}) != of(one, &Rules{SortQuery: true, QueryDrop: []string{"a"}}) {
		t.Error("what the URL has in the key is there twice")
	}
}
