package requestid

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/clock"
	"github.com/penstock-edge/penstock/edge/live"
	"github.com/penstock-edge/penstock/pool"
)

// exchange returns an exchange whose request has the given lines.
func exchange(t testing.TB, trusted bool, lines ...string) *edge.Exchange {
	t.Helper()
	x := new(edge.Exchange)
	x.Trusted = trusted
	x.Times.Start = clock.Now()
	x.Req.SetLines([]byte(strings.Join(append(lines, ""), "\r\n")), nil)
	return x
}

func isMade(id string) bool {
	return len(id) == 32 && strings.Trim(id, "0123456789abcdef") == "" && id[12] == '7' && id[16] >= '8'
}

func TestIdentify(t *testing.T) {
	id := &identify{clock: new(clock.Coarse)}
	f := func(trusted bool, want string, lines ...string) {
		t.Helper()
		x := exchange(t, trusted, lines...)
		x.RequestID = append(x.RequestID, "left over"...)
		if v := id.Run(x); v != edge.Next {
			t.Fatalf("verdict %v", v)
		}
		got := string(x.RequestID)
		if want != "" && got != want || want == "" && !isMade(got) {
			t.Errorf("%q trusted %v: %q, want %q", lines, trusted, got, want)
		}
	}
	long := strings.Repeat("x", maxID)
	f(false, "")
	f(true, "")
	f(false, "", "X-Request-Id: abc")
	f(true, "abc", "X-Request-Id: abc")
	f(true, "aZ09._~+/=-", "x-request-id: aZ09._~+/=-")
	f(true, long, "X-Request-Id: "+long)
	f(true, "", "X-Request-Id: "+long+"x")
	f(true, "", "X-Request-Id:")
	f(true, "", "X-Request-Id: a b")
	f(true, "", `X-Request-Id: a"b`)
	f(true, "", "X-Request-Id: a,b")
	f(true, "", "X-Request-Id: é")
	f(true, "", "X-Request-Id: a", "X-Request-Id: b")
}

func TestMadeIDs(t *testing.T) {
	id := &identify{clock: new(clock.Coarse)}
	seen := map[string]bool{}
	x := exchange(t, false)
	now := clock.Now()
	for i := range int64(1000) {
		x.Times.Start = now + i*1e6
		last := string(x.RequestID)
		id.Run(x)
		if got := string(x.RequestID); seen[got] || got[:12] < last[:min(12, len(last))] {
			t.Fatalf("%s after %s", got, last)
		}
		seen[string(x.RequestID)] = true
	}
}

func TestRefusedHead(t *testing.T) {
	x := new(edge.Exchange)
	(&identify{clock: new(clock.Coarse)}).Run(x)
	if !isMade(string(x.RequestID)) {
		t.Errorf("%q", x.RequestID)
	}
}

func TestForward(t *testing.T) {
	f := func(want []string, lines ...string) {
		t.Helper()
		x := exchange(t, false, lines...)
		x.RequestID = []byte("mine")
		forward{}.Run(x)
		head := string(x.Req.Lines())
		var got []string
		for line := range strings.SplitSeq(head, "\r\n") {
			if strings.HasPrefix(line, "X-Request-Id") || strings.HasPrefix(line, "Accept") || strings.HasPrefix(line, "tr") {
				got = append(got, line)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", lines, got, want)
		}
	}
	f([]string{"X-Request-Id: mine"})
	f([]string{"X-Request-Id: mine", "Accept: a", "Accept: b"}, "X-Request-Id: theirs", "Accept: a", "Accept: b")
	f([]string{"X-Request-Id: mine", "Accept: a"}, "X-Request-Id: 1", "x-request-id: 2", "Accept: a", "X-REQUEST-ID: 3")
	f([]string{"traceparent: 00-1-2-01", "X-Request-Id: mine"}, "traceparent: 00-1-2-01")
	f([]string{"X-Request-Id: mine", "Accept: a", "Accept: b", "Accept: c"},
		"X-Request-Id: 1", "X-Request-Id: 2", "Accept: a", "Accept: b", "Accept: c")
}

func TestReply(t *testing.T) {
	r := reply{&identify{clock: new(clock.Coarse)}}
	f := func(want []string, lines ...string) {
		t.Helper()
		x := exchange(t, false)
		x.RequestID = []byte("mine")
		x.SetHead(203, []byte("Well"), []byte(strings.Join(append(lines, ""), "\r\n")))
		r.Run(x)
		var got []string
		for k, v := range x.Resp.Each() {
			got = append(got, string(k)+": "+string(v))
		}
		if !slices.Equal(got, want) || x.Status() != 203 || string(x.Reason()) != "Well" {
			t.Errorf("%q: %d %s %q, want %q", lines, x.Status(), x.Reason(), got, want)
		}
	}
	f([]string{"X-Request-Id: mine"})
	f([]string{"Link: a", "X-Request-Id: mine", "Server: s"}, "Link: a", "X-Request-Id: 1", "Server: s")
	// Nothing but the ids changes, and nothing changes its place.
	f([]string{"X-Request-Id: mine", "Set-Cookie: b=2", "Link: a", "Date: then", "Content-Type: t", "Link: b",
		"Set-Cookie: a=1", "Server: s", "Link: c"},
		"X-Request-Id: 1", "x-request-id: 2", "Set-Cookie: b=2", "Link: a", "Date: then", "Content-Type: t", "Link: b",
		"Set-Cookie: a=1", "Server: s", "X-Request-Id: 3", "Link: c")
	x := exchange(t, false)
	r.Run(x)
	if !isMade(string(x.Resp.Get(name))) {
		t.Errorf("no id was made: %q", x.Resp.Get(name))
	}
}

func TestExample(t *testing.T) {
	text, err := os.ReadFile("../../configs/requestid.toml")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("README.md")
	if err != nil || !bytes.Contains(readme, text) {
		t.Errorf("README.md does not show the example (%v)", err)
	}
	b, err := live.Check("requestid.toml", text, []edge.Feature{Feature, pool.Feature})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	f := func(what string, got, want int) {
		if got != want {
			t.Errorf("%s: %d filters, want %d", what, got, want)
		}
	}
	f("early", len(b.Early), 1)
	f("rewrite", len(b.Plans[0].Filters(edge.Rewrite)), 1)
	f("respond", len(b.Plans[0].Filters(edge.Respond)), 1)
	f("unrouted rewrite", len(b.Nowhere.Filters(edge.Rewrite)), 0)
	f("unrouted respond", len(b.Nowhere.Filters(edge.Respond)), 1)
}

func FuzzValid(f *testing.F) {
	f.Add([]byte("019a7f3c2b1e7d0a9c4e1f2a3b4c5d6e"))
	f.Add([]byte("a\r\nb"))
	f.Fuzz(func(t *testing.T, id []byte) {
		const allowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._~+/=-"
		want := len(id) >= 1 && len(id) <= 128 && strings.Trim(string(id), allowed) == ""
		for _, c := range id {
			want = want && strings.IndexByte(allowed, c) >= 0
		}
		if valid(id) != want {
			t.Errorf("%q: %v", id, !want)
		}
	})
}
