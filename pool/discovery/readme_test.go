package discovery

import (
	"os"
	"strings"
	"testing"

	"github.com/penstock-edge/penstock/edge/config"
)

// The examples of the README are good.
func TestReadme(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, example, _ := strings.Cut(string(readme), "```toml\n")
	example, _, _ = strings.Cut(example, "```")
	f := config.Parse("README.md", []byte(example), config.Options{
		ReadFile: func(string) ([]byte, error) { return []byte("hush"), nil },
	})
	n := 0
	for _, pool := range f.Root.Children("pool") {
		var c struct {
			Discover Config `toml:"discover"`
		}
		pool.Decode(&c)
		if c.Discover.Source(pool.Child("discover")) != nil {
			n++
		}
	}
	if errs := f.Finish(); errs != nil || n != 5 {
		t.Error(n, errs)
	}
	_, example, _ = strings.Cut(string(readme), "```\ntargets")
	example, _, _ = strings.Cut(example, "```")
	if a, err := readTargets("README.md", []byte("targets"+example)); err != nil || len(a.list) != 4 {
		t.Error(a, err)
	}
}
