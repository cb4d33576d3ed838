package hop

import (
	"strings"
	"testing"

	"github.com/penstock-edge/penstock/edge/e2e"
)

// TestShortBodiesAreGathered: whatever stands in front of a short body, it is complete before a target is asked.
func TestShortBodiesAreGathered(t *testing.T) {
	t.Parallel()
	f := func(stands, conf string) {
		t.Helper()
		target, shadow := e2e.Record(t, nil), e2e.Record(t, nil)
		conf = strings.ReplaceAll(conf, "TARGET", target.Addr)
		g := e2e.Start(t, strings.ReplaceAll(conf, "SHADOW", shadow.Addr))
		g.Want(stands, e2e.Lines("POST /hasty HTTP/1.1", "Content-Length: 10")+"1", 408, "request_timeout")
		if n, m := len(target.Requests()), len(shadow.Requests()); n+m != 0 {
			t.Errorf("%s: a body that did not come reached the target %d times, the mirror %d times", stands, n, m)
		}
		c := e2e.DialRaw(t, g.Addr)
		c.Send(e2e.Lines("POST /x HTTP/1.1", "Content-Length: 10") + "0123456789")
		if a := c.Answer("POST"); a.StatusCode != 200 {
			t.Errorf("%s: %d %s", stands, a.StatusCode, a.Body)
		}
		got := target.Of("/x")
		if strings.Contains(conf, "mirror") {
			e2e.Eventually(t, "the copy has come", func() bool { return len(shadow.Of("/x")) == 1 })
		}
		if len(got) != 1 || got[0].Body != "0123456789" {
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
