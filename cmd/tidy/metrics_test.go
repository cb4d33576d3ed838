package main

import (
	"go/parser"
	"go/token"
	"strings"
	"testing"
)

func TestMetricsText(t *testing.T) {
	const code = `package a
const help = "What " + "it is | was."
func f(m *metric.Scope) {
	m.Counter("penstock_a_total", help, "route", name, "code", "x")
	m.Histograms("penstock_b_seconds", "How long.", nil, "pool")
	m.CounterRows("penstock_c_total", "Rows.", []string{"route"}, []string{"code"})
	for _, one := range []struct{ name, help string }{{"penstock_d_bytes", "Memory."}} {
		m.GaugeFunc(one.name, one.help, nil, "cache", c)
	}
	m.Gauge("other", "not ours")
}`
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, "a.go", code, 0)
	if err != nil {
		t.Fatal(err)
	}
	tr := &tree{gos: []*goFile{{name: "a.go", fset: files, ast: file}}}
	text := metricsText(tr)
	for _, line := range []string{
		"| `penstock_a_total` | counter | `route`, `code` | What it is \\| was. |",
		"| `penstock_b_seconds` | histogram | `pool` | How long. |",
		"| `penstock_c_total` | counter | `route`, `code` | Rows. |",
		"| `penstock_d_bytes` | gauge |  | Memory. |",
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("no line %s in\n%s", line, text)
		}
	}
	if strings.Contains(text, "other") {
		t.Error("what is not the gateway's is on the page")
	}
	tr.lines = map[string][]string{metricsPage: strings.Split(strings.TrimSuffix(text, "\n"), "\n")}
	if found := checkMetrics(tr); found != nil {
		t.Errorf("%v", found)
	}
	tr.lines[metricsPage] = tr.lines[metricsPage][1:]
	if found := checkMetrics(tr); len(found) != 1 {
		t.Errorf("an old page: %v", found)
	}
}
