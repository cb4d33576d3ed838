package limit

import (
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/penstock-edge/penstock/edge/config"
)

// tables is the part of a pool that this package reads.
type tables struct {
	Concurrency *Config          `toml:"concurrency"`
	Admission   *AdmissionConfig `toml:"admission"`
}

func load(text string) (*tables, error) {
	f := config.Parse("limit.toml", []byte(text), config.Options{})
	got := &tables{}
	f.Root.Child("pool").Child("users").Decode(got)
	if got.Concurrency != nil {
		got.Concurrency.Validate(f.Root.Child("pool").Child("users").Child("concurrency"))
	}
	return got, f.Finish().Err()
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
	if !got.Concurrency.Adaptive || got.Concurrency.QueueTarget != 50*time.Millisecond || got.Admission.K != 2 {
		t.Errorf("%+v", got)
	}
	for _, table := range []any{Config{}, AdmissionConfig{}} {
		for _, field := range reflect.VisibleFields(reflect.TypeOf(table)) {
			row := fmt.Sprintf("| `%s` | %s |", field.Tag.Get("toml"), field.Tag.Get("default"))
			if !strings.Contains(readme, row) {
				t.Errorf("the README has no line that begins %q", row)
			}
		}
	}
}

func TestValidate(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		_, err := load("[pool.users.concurrency]\n" + text)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	f("limit = 5", "")
	f("adaptive = true", "")
	f("adaptive = true\nlimit = 8", "")
	f("adaptive = true\nlimit = 7", "where an adaptive limit begins must lie between min and max")
	f("adaptive = true\nlimit = 1001", "must lie between min and max")
	f("adaptive = true\nmin = 2000", "must not be larger than max")
	f("", "needs a limit, or adaptive = true")
	f("limit = -1", "limit")
	f("limit = 5\nqueue = -1", "queue")
}
