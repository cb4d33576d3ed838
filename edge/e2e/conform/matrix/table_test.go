package matrix

import (
	"errors"
	"testing"

	"github.com/penstock-edge/penstock/edge/e2e/conform"
)

func TestTable(t *testing.T) {
	row := func(level, requirement string, err error) conform.Outcome {
		return conform.Outcome{Check: conform.Check{RFC: "9111", Section: "4", Level: level, Requirement: requirement}, Err: err}
	}
	bad := errors.New("no")
	got := Table(map[string][]conform.Outcome{
		"a": {row("MUST", "do", nil), row("MUST", "do | too", nil), row("is", "so", bad)},
		"b": {row("MUST", "do", bad), row("MUST", "do | too", nil), row("is", "so", bad)},
	}, []string{"b", "a"})
	want := `| section | level | requirement | b | a |
| --- | --- | --- | --- | --- |
| 9111 4 | MUST | do | no | yes |
| 9111 4 | MUST | do \| too | yes | yes |
| 9111 4 | is | so | no | no |

| level | rows | b | a |
| --- | --: | --: | --: |
| MUST | 2 | 1 | 2 |
| is | 1 | 0 | 0 |
| all | 3 | 1 | 2 |
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := Table(nil, nil); got != "" {
		t.Errorf("of nobody: %q", got)
	}
}

func TestReplace(t *testing.T) {
	f := func(doc, want string) {
		t.Helper()
		got, err := Replace([]byte(doc), "| new |\n")
		if string(got) != want || (err != nil) != (want == "") {
			t.Errorf("%q: got %q, %v; want %q", doc, got, err, want)
		}
	}
	f("head\n<!-- table -->\nold\n<!-- end of table -->\ntail\n",
		"head\n<!-- table -->\n| new |\n<!-- end of table -->\ntail\n")
	f("<!-- table -->\n<!-- end of table -->\n", "<!-- table -->\n| new |\n<!-- end of table -->\n")
	f("head\n", "")
	f("<!-- table -->\nold\n", "")
	f("<!-- end of table -->\n<!-- table -->\n", "")
	f("<!-- table -->\n<!-- table -->\n<!-- end of table -->\n", "")
}
