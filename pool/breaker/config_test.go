package breaker

import (
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/penstock-edge/penstock/edge/config"
)

// load reads the breaker of the pool users, as the pool does.
func load(text string) (*Config, error) {
	f := config.Parse("breaker.toml", []byte(text), config.Options{})
	users := f.Root.Child("pool").Child("users")
	users.Value("targets")
	t, c := users.Child("breaker"), &Config{}
	t.Decode(c)
	c.Validate(t)
	return c, f.Finish().Err()
}

// The example of the README is a good file, and its defaults are the defaults.
func TestReadme(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	readme := string(text)
	_, example, _ := strings.Cut(readme, "```toml\n")
	example, _, _ = strings.Cut(example, "```")
	got, err := load(example)
	if err != nil {
		t.Fatal(err)
	}
	if got.SlowPercent != 80 || got.Probes != 3 {
		t.Errorf("%+v", got)
	}
	for _, field := range reflect.VisibleFields(reflect.TypeFor[Config]()) {
		row := fmt.Sprintf("| `%s` | %s |", field.Tag.Get("toml"), field.Tag.Get("default"))
		if !strings.Contains(readme, row) {
			t.Errorf("the README has no line that begins %q", row)
		}
	}
}

func TestValidate(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		_, err := load("[pool.users.breaker]\n" + text)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	f("", "")
	f("slow_call = \"1s\"\nslow_percent = 50", "")
	f("error_percent = 0\nconsecutive_errors = 3", "")
	f("open_for = \"5s\"\nmax_open_for = \"5s\"", "")
	f("slow_percent = 50", "needs slow_call")
	f("slow_call = \"1s\"", "needs slow_percent")
	f("error_percent = 0", "nothing opens this breaker")
	f("open_for = \"2m\"", "must not be shorter than open_for")
	f("error_percent = 101", "error_percent")
	f("probes = 0", "probes")
	f("window = \"1ms\"", "window")
}
