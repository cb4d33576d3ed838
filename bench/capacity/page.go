package capacity

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
)

//go:embed page.html
var pageText string

// page is the report as one self-contained page of HTML.
func (r *Report) page() ([]byte, error) {
	t, err := template.New("page").Funcs(template.FuncMap{
		"ns": func(v float64) string { return fmt.Sprintf("%.0f", v) },
		"us": func(v float64) string { return fmt.Sprintf("%.0f", v/1e3) },
	}).Parse(pageText)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	var laws []string
	for _, s := range r.Scaling {
		laws = append(laws, s.name()+": "+s.law())
	}
	var b bytes.Buffer
	err = t.Execute(&b, map[string]any{
		"Report": r, "Sentences": r.sentences(), "Laws": laws, "Notes": r.notes(), "Busy": r.Knee.Busy() * 100,
		"Chains":   bars("chains", "CPU time over the bare hop by route", "ns a request", r.Chains),
		"Features": bars("features", "CPU time by feature", "ns a request", r.Features),
		"Scaling":  r.throughput(), "Latency": r.latency(),
	})
	return b.Bytes(), err
}
