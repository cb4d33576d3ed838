package balance_test

import (
	"os"
	"strings"
	"testing"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/live"
	"github.com/penstock-edge/penstock/pool"
)

// The example of the README is a good pool.
func TestReadme(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, example, _ := strings.Cut(string(text), "```toml\n")
	example, _, _ = strings.Cut(example, "```")
	example += "[[listener]]\naddress = \":0\"\n[[route]]\nprefix = \"/\"\npool = \"users\"\n"
	b, err := live.Check("README.md", []byte(example), []edge.Feature{pool.Feature})
	if err != nil {
		t.Fatal(err)
	}
	b.Close()
}
