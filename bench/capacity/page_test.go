package capacity

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/penstock-edge/penstock/bench/duel"
	"github.com/penstock-edge/penstock/bench/rig"
)

func report() *Report {
	u := USL{Lambda: 5000, Sigma: .1, Kappa: .001}
	law, _ := Fit(points(u, 0, 1))
	k, _ := duel.FindKnee(40_000, 3, func(rate float64) (duel.Point, error) {
		return duel.Point{Rate: rate, P50: 1000, P99: 10_000 / max(1-rate/41_000, .001)}, nil
	})
	evil := `<script>&"x"`
	row := Row{Name: evil, Routes: []string{evil, "b"}, Features: []string{"pool", evil}, Offered: 20_000, Pairs: 4,
		Counted: 3, With: duel.Sample{CPU: 20_000, User: 8000, System: 12_000, P50: 50_000, P99: 200_000},
		Cost: rig.Interval{Median: 1500, Low: 1000, High: 2000}, Notes: []string{evil, "same", "same"}}
	loose, gone := row, Row{Name: "gone", Missing: "for " + evil}
	loose.With.Failed = 7
	loose.Name, loose.Untrusted, loose.NoLatency, loose.Cost = "loose", true, true, rig.Interval{Median: -100, Low: -300, High: 50}
	r := &Report{Command: "tool " + evil, File: evil, Chains: []Row{row, loose, gone}, Features: []Row{row, gone},
		Route: evil, Omitted: 2, Knee: k, TLS: TLS{PerCore: 2000, Handshake: 4e5}, Missing: []string{evil},
		Memory:  Memory{Base: 1 << 20, Plain: Idle{3000, 1000}, TLS: Idle{9000, 1000}, Active: 20_000, Conns: 2000},
		Scaling: []Scaling{{Cores: 1, Points: points(u, 0, 1), Law: law}, {Cores: 2, Shared: true, Missing: evil}}}
	r.Statement = r.state(Host{4, 8})
	return r
}

func TestPage(t *testing.T) {
	text, err := report().page()
	if err != nil {
		t.Fatal(err)
	}
	s := string(text)
	if n := strings.Count(s, "<svg "); n != 4 {
		t.Errorf("%d pictures", n)
	}
	for _, want := range []string{`aria-labelledby="scaling-title`, `aria-labelledby="latency-title`,
		`aria-labelledby="chains-title`, `aria-labelledby="features-title`, "knee</text>", "untrusted", "R²=1.000",
		"not measured: for &lt;script&gt;", "And 2 more chains", "3/4, 7 failed"} {
		if !strings.Contains(s, want) {
			t.Errorf("no %s", want)
		}
	}
	for _, no := range []string{"<script", "ZgotmplZ", "NaN", "Inf", "<no value>"} {
		if strings.Contains(s, no) {
			t.Errorf("the page has %s", no)
		}
	}
	for rest := s; ; { // each picture is well-formed
		_, after, ok := strings.Cut(rest, "<svg ")
		if !ok {
			break
		}
		body, end, _ := strings.Cut(after, "</svg>")
		d := xml.NewDecoder(strings.NewReader("<svg " + body + "</svg>"))
		for {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
		}
		rest = end
	}
}

func TestPageOfNothing(t *testing.T) {
	r := &Report{File: "x.toml", Chains: []Row{{Name: "a", Missing: "no"}}}
	text, err := r.page()
	if err != nil || strings.Count(string(text), "<svg ") != 4 || strings.Contains(string(text), "NaN") {
		t.Errorf("%v\n%s", err, text)
	}
	r.Table(io.Discard)
}

func TestWrite(t *testing.T) {
	dir, r := filepath.Join(t.TempDir(), "new"), report()
	if err := r.Write(dir); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "capacity.json"))
	if err != nil {
		t.Fatal(err)
	}
	var back Report
	if err := json.Unmarshal(text, &back); err != nil || back.Knee.Rate != r.Knee.Rate ||
		back.Statement.Plain != r.Statement.Plain || back.Statement.Cores != 4 {
		t.Errorf("%v %+v", err, back)
	}
	if _, err := os.Stat(filepath.Join(dir, "capacity.html")); err != nil {
		t.Error(err)
	}
}

func TestTable(t *testing.T) {
	var b strings.Builder
	report().Table(&b)
	for _, want := range []string{"+1500", "+1000 to +2000", "3/4", "untrusted", "not measured: for", "shared with", "7 failed",
		"assuming that cores add up", "* same", "and 2 more chains", "σ=0.1000"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
	if strings.Count(b.String(), "* same") != 1 {
		t.Error("a note is said twice")
	}
}

func TestSteps(t *testing.T) {
	f := func(low, high float64) {
		t.Helper()
		all := steps(low, high)
		if len(all) < 3 || len(all) > 8 || all[0] < low || all[len(all)-1] > high*1.001 {
			t.Errorf("%g to %g: %v", low, high, all)
		}
	}
	f(0, 1)
	f(0, 7)
	f(0, 41_234)
	f(13_000, 41_000)
	f(-300, 1999)
	f(0, .003)
	if steps(0, 0) != nil {
		t.Error("steps of nothing")
	}
}
