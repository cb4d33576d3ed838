package pool

import (
	"strings"
	"testing"
)

func TestStateDirIsAbsolute(t *testing.T) {
	h := newHost("[server]\nstate_dir = \"var\"\nready_after = \"2h\"\n[[listener]]\naddress = \":1\"\n[[route]]\nprefix = \"/\"\n")
	defer build(h).Close()
	want := `t.toml:2:1: server.state_dir: must be a path that begins with /, is "var"`
	if errs := h.Config.File.Finish(); !strings.Contains(errs.Error(), want) ||
		!strings.Contains(errs.Error(), "t.toml:3:15: server.ready_after: must be") {
		t.Errorf("%v", errs)
	}
}
