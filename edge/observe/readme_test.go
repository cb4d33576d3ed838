package observe

import (
	"os"
	"strings"
	"testing"

	"github.com/penstock-edge/penstock/edge/config"
)

// The example is the same in the README and in configs, and both are what the code takes.
func TestExample(t *testing.T) {
	example, err := os.ReadFile("../../configs/observe.toml")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(readme), "```toml\n"+string(example)+"```\n") {
		t.Error("the README does not hold configs/observe.toml")
	}
	c := config.Load("observe.toml", example, config.Options{})
	var section struct {
		Access Config `toml:"access"`
	}
	c.Log.Table.Decode(&section)
	got := section.Access
	if !validOutput(&got) || compile(&got) == nil || got.Output != "/var/log/penstock-access.log" {
		t.Errorf("got %+v", got)
	}
	for _, e := range c.File.Finish() {
		if strings.HasPrefix(e.Key, "log.") {
			t.Error(e)
		}
	}
}

func TestReadmeNamesEveryField(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range fieldNames {
		if !strings.Contains(string(readme), "`"+name+"`") {
			t.Errorf("field %s is not in the README", name)
		}
	}
}

func TestDefaults(t *testing.T) {
	var section struct {
		Access Config `toml:"access"`
	}
	c := config.Load("p.toml", []byte(listeners), config.Options{})
	c.Log.Table.Decode(&section)
	section.Access.Table = nil
	if want := (Config{Output: "stdout", Format: "json", MaxBacklogBytes: 8 << 20}); section.Access != want {
		t.Errorf("got %+v, want %+v", section.Access, want)
	}
}
