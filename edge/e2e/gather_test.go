package e2e

import (
	"strings"
	"testing"
)

// TestShortBodiesAreGathered: whatever stands in front of a short body, it is complete before a target is asked.
func TestShortBodiesAreGathered(t *testing.T) {
	t.Parallel()
	f := func(stands, conf string) {
		t.Helper()
		target, shadow := record(t, nil), record(t, nil)
		conf = strings.ReplaceAll(conf, "TARGET", target.addr)
		g := start(t, strings.ReplaceAll(conf, "SHADOW", shadow.addr))
		g.want(stands, lines("POST /hasty HTTP/1.1", "Content-Length: 10")+"1", 408, "request_timeout")
		if n, m := len(target.requests()), len(shadow.requests()); n+m != 0 {
			t.Errorf("%s: a body that did not come reached the target %d times, the mirror %d times", stands, n, m)
		}
		c := dialRaw(t, g.addr)
		c.send(lines("POST /x HTTP/1.1", "Content-Length: 10") + "0123456789")
		if a := c.answer("POST"); a.StatusCode != 200 {
			t.Errorf("%s: %d %s", stands, a.StatusCode, a.body)
		}
		got := target.of("/x")
		if strings.Contains(conf, "mirror") {
			eventually(t, "the copy has come", func() bool { return len(shadow.of("/x")) == 1 })
		}
		if len(got) != 1 || got[0].body != "0123456789" {
			t.Errorf("%s: at the target: %+v", stands, got)
		}
	}
	conf := func(keys, pool string) string {
		return "[[listener]]\naddress = \"{{addr}}\"\n[pool.app]\ntargets = [\"TARGET\"]\n" + pool +
			"[pool.shadow]\ntargets = [\"SHADOW\"]\n" +
			"[[route]]\nname = \"all\"\nprefix = \"/\"\npool = \"app\"\n" + keys +
			"[[route]]\nname = \"hasty\"\nprefix = \"/hasty\"\npool = \"app\"\ntimeout = \"150ms\"\n" + keys
	}
	const retry = "[pool.app.retry]\nattempts = 3\n"
	f("nothing", conf("", ""))
	f("a mirror", conf("mirror = { pool = \"shadow\" }\n", ""))
	f("a replay", conf("", retry))
	f("both", conf("mirror = { pool = \"shadow\" }\n", retry))
}
