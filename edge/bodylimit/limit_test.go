package bodylimit

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/live"
	"github.com/penstock-edge/penstock/pool"
)

const base = "[[listener]]\naddress = \":8080\"\n[pool.app]\ntargets = [\"127.0.0.1:9000\"]\n" +
	"[[route]]\nprefix = \"/\"\npool = \"app\"\n"

// check builds a file whose only route has the given keys too.
func check(text string) (*live.Built, error) {
	return live.Check("test.toml", []byte(text), []edge.Feature{Feature, pool.Feature})
}

func TestLimit(t *testing.T) {
	f := func(keys string, listener, length int64, fault *edge.Fault, bound int64) {
		t.Helper()
		b, err := check(base + keys)
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		x := new(edge.Exchange)
		x.InMax, x.InLen = listener, length
		v := b.Plans[0].Filters(edge.Access)[0].Run(x)
		if (v == edge.Answered) != (fault != nil) || x.Fault != fault || x.InMax != bound {
			t.Errorf("%s, %d of %d bytes: verdict %d, fault %v, bound %d", keys, length, listener, v, x.Fault, x.InMax)
		}
	}
	f(``, 100, 0, nil, 100)
	f(``, 100, 100, nil, 100)
	f(``, 100, 101, edge.BodyTooLarge, 100)
	f(``, 100, -1, nil, 100)
	f(``, 0, 0, nil, 0)
	f(`max_body_bytes = "1KiB"`, 100, 1024, nil, 1024)
	f(`max_body_bytes = "1KiB"`, 1<<20, 1025, edge.BodyTooLarge, 1024)
	f(`max_body_bytes = "1KiB"`, 1<<20, -1, nil, 1024)
	f(`max_body_bytes = "0"`, 100, 0, nil, 0)
	f(`max_body_bytes = "0"`, 100, 1, edge.BodyTooLarge, 0)
}

func TestMistake(t *testing.T) {
	_, err := check(base + "max_body_bytes = 5\n")
	if err == nil || !strings.Contains(err.Error(), "test.toml:8:18: route[1].max_body_bytes: must be a size") {
		t.Error(err)
	}
}

func TestExample(t *testing.T) {
	text, err := os.ReadFile("../../configs/bodylimit.toml")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("README.md")
	if err != nil || !bytes.Contains(readme, text) {
		t.Errorf("README.md does not show the example (%v)", err)
	}
	b, err := check(string(text))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	for i, want := range []int64{asListener, 2 << 30, 0} {
		if got := b.Plans[i].Filters(edge.Access)[0].(*limit).max; got != want {
			t.Errorf("route %d: %d, want %d", i, got, want)
		}
	}
	if len(b.Nowhere.Filters(edge.Access)) != 0 {
		t.Error("requests without a route have a filter")
	}
}
