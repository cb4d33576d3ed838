package section

import (
	"strings"
	"testing"
)

func TestAdmissionStatus(t *testing.T) {
	f := func(text string, in, out int) {
		t.Helper()
		c, errs := readPool("[pool.a]\ntargets = [\"a:1\"]\n" + text)
		if errs != nil || !c.Refusals.Has(in) || c.Refusals.Has(out) {
			t.Errorf("%q: %v; want %d among the refusals and not %d", text, errs, in, out)
		}
	}
	f("", 503, 429)
	f("admission = {}", 503, 429)
	f("admission = { status = \"429,502-504\" }", 502, 500)
	_, errs := readPool("[pool.a]\ntargets = [\"a:1\"]\n[pool.a.admission]\nstatus = \"busy\"\n")
	if len(errs) != 1 || !strings.HasPrefix(errs[0].Error(), "t.toml:4:1: pool.a.admission.status: must be codes") {
		t.Errorf("%v", errs)
	}
}
