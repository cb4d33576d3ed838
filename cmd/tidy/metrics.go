package main

import (
	"fmt"
	"go/ast"
	"go/token"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

const metricsPage = "docs/metrics.md"

// metricName matches what is on the page; those of the Go runtime and the process are known elsewhere.
var metricName = regexp.MustCompile(`^penstock_[a-z0-9_]+$`)

// metric is one family, as the code registers it.
type metric struct {
	name, help, kind string
	labels           []string
}

// labelsAt is the number of the first argument with labels, by the method that registers a metric; paired
// reports whether values stand between them.
var labelsAt = map[string]struct {
	at     int
	paired bool
}{
	"Counter": {2, true}, "Gauge": {2, true}, "Histogram": {3, true},
	"CounterFunc": {3, true}, "GaugeFunc": {3, true},
	"Counters": {2, false}, "Histograms": {3, false}, "CounterRows": {2, false},
}

// checkMetrics reports a page of metrics that is not what the code registers.
func checkMetrics(t *tree) []finding {
	lines := t.lines[metricsPage]
	if lines == nil || slices.Equal(lines, strings.Split(strings.TrimSuffix(metricsText(t), "\n"), "\n")) {
		return nil
	}
	return []finding{{metricsPage, 1, "is not what the code registers: make metrics"}}
}

const pageHead = `# Metrics

Every metric of the gateway, from the code: "make metrics" writes this page. Values of labels are from the
configuration only. Beside them /metrics has those of the Go runtime (go_) and of the process (process_).

| metric | type | labels | what |
|---|---|---|---|
`

// metricsText returns the page.
func metricsText(t *tree) string {
	all := map[string]metric{}
	for _, f := range t.gos {
		if !f.test {
			f.metrics(all)
		}
	}
	var b strings.Builder
	b.WriteString(pageHead)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		m := all[name]
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", m.name, m.kind, strings.Join(m.labels, ", "),
			strings.ReplaceAll(m.help, "|", "\\|"))
	}
	return b.String()
}

// metrics adds what the file registers: by a call with name and help, or in a table that begins with them.
func (f *goFile) metrics(all map[string]metric) {
	known := f.constants()
	ast.Inspect(f.ast, func(n ast.Node) bool {
		var m metric
		switch n := n.(type) {
		case *ast.CompositeLit:
			m = family(known, n.Elts)
		case *ast.CallExpr:
			m = family(known, n.Args)
			if s, ok := n.Fun.(*ast.SelectorExpr); ok && m.name != "" {
				m.readArgs(known, s.Sel.Name, n.Args)
			}
		}
		if old, seen := all[m.name]; m.name != "" && (!seen || len(old.labels) < len(m.labels)) {
			all[m.name] = m
		}
		return true
	})
}

// family reads name and help, which come first; the name is empty when they are no metric's.
func family(known map[string]string, list []ast.Expr) (m metric) {
	if len(list) < 2 {
		return m
	}
	name, help := text(known, list[0]), text(known, list[1])
	if !metricName.MatchString(name) || help == "" {
		return m
	}
	m = metric{name: name, help: help, kind: "gauge"}
	if strings.HasSuffix(name, "_total") {
		m.kind = "counter"
	}
	return m
}

// readArgs reads what the arguments of a method add to name and help.
func (m *metric) readArgs(known map[string]string, method string, args []ast.Expr) {
	if strings.HasPrefix(method, "Histogram") {
		m.kind = "histogram"
	}
	where, ok := labelsAt[method]
	for i := where.at; ok && i < len(args); i++ {
		if where.paired && (i-where.at)%2 == 1 {
			continue
		}
		list := []ast.Expr{args[i]}
		if lit, ok := args[i].(*ast.CompositeLit); ok {
			list = lit.Elts
		}
		for _, e := range list {
			if label := text(known, e); label != "" {
				m.labels = append(m.labels, "`"+label+"`")
			}
		}
	}
}

// constants returns the strings that the file gives names to.
func (f *goFile) constants() map[string]string {
	known := map[string]string{}
	ast.Inspect(f.ast, func(n ast.Node) bool {
		if s, ok := n.(*ast.ValueSpec); ok {
			for i, name := range s.Names {
				if i < len(s.Values) {
					known[name.Name] = text(known, s.Values[i])
				}
			}
		}
		return true
	})
	return known
}

// text returns the constant string that an expression is; empty: it is none.
func text(known map[string]string, e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		if e.Kind == token.STRING {
			s, _ := strconv.Unquote(e.Value) // it has been parsed
			return s
		}
	case *ast.Ident:
		return known[e.Name]
	case *ast.BinaryExpr:
		if a, b := text(known, e.X), text(known, e.Y); a != "" && b != "" {
			return a + b
		}
	}
	return ""
}
