package outlier

import (
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/penstock-edge/penstock/edge/config"
)

// load reads the ejection of outliers of the pool users, as the pool does.
func load(text string) (*Config, error) {
	f := config.Parse("outlier.toml", []byte(text), config.Options{})
	users := f.Root.Child("pool").Child("users")
	users.Value("targets")
	t, c := users.Child("outlier"), &Config{}
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
	if got.ErrorPercent != 20 || got.LatencyFactor != 5 || got.ConsecutiveErrors != 5 {
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
		_, err := load("[pool.users.outlier]\n" + text)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	f("", "")
	f("eject_for = \"5m\"", "")
	f("eject_for = \"6m\"", "must not be shorter than eject_for")
	f("latency_factor = 1.4", "ordinary differences would count")
	f("latency_factor = 1.5", "")
	f("consecutive_errors = 0", "")
	f("consecutive_gateway_errors = 0", "")
	f("consecutive_errors = 0\nconsecutive_gateway_errors = 0", "nothing ejects a target here")
	f("consecutive_errors = 0\nconsecutive_gateway_errors = 0\nsuccess_rate_stdev = 2", "")
	f("max_ejected_percent = 101", "max_ejected_percent")
	f("interval = \"1ms\"", "interval")
}
