package section

import (
	"fmt"
	"testing"
)

func TestTargetsWithoutClients(t *testing.T) {
	f := func(targets, more, want string) {
		t.Helper()
		c, errs := readPool("[pool.a]\ntargets = [" + targets + "]\n" + more)
		got := ""
		for _, spec := range c.Members {
			got += fmt.Sprintf("%s*%d", spec.Address, spec.Weight)
			if spec.Drain {
				got += "-"
			}
			got += " "
		}
		if errs != nil {
			got = errs[0].Error()
		}
		if got != want {
			t.Errorf("%s\n got %s\nwant %s", targets, got, want)
		}
	}
	f(`{ address = "a:1", weight = 0 }, { address = "b:1", drain = true, weight = 7 }, { address = "c:1", disabled = true }`, "",
		"a:1*0 b:1*7- ")
	f(`{ address = "a:1", weight = -1 }`, "", "t.toml:2:40: pool.a.targets[1].weight: must be between 0 and 65535, is -1")
	f(`"a:1", { address = "a:1", disabled = true }`, "",
		`t.toml:2:19: pool.a.targets[2]: target "a:1" is in the pool already; give it a weight instead`)
	f(`{ address = "a", disabled = true }, "b:1"`, "", `t.toml:2:12: pool.a.targets[1]: target "a" is not host:port or unix:/path`)
	f(`{ address = "a:1", disabled = true }`, "", "t.toml:2:11: pool.a.targets: all targets are disabled, and a pool needs "+
		"at least one; drain = true keeps one known without clients")
	f(`{ address = "a:1", disabled = true }`, "discover = { file = \"/x\" }\n", "")
}
