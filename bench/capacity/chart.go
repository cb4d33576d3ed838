package capacity

import (
	"fmt"
	"math"
	"strings"

	"github.com/penstock-edge/penstock/bench/duel"
)

// chart is a picture whose places are worked out; the page's template only writes it down.
type chart struct {
	ID, Title, Text string
	Above           string // what the values are
	Height          float64
	Grid, Marks     []rule
	Curves          []curve
	Bars            []bar
	Dots, Legend    []dot
	x, y            scale
}

// rule is a line with a label.
type rule struct {
	Path, Label, Anchor string
	X, Y                float64
}

type curve struct{ Path, Class string }

type dot struct {
	X, Y, TextX, TextY float64
	Class, Label       string
}

type bar struct {
	X, Y, TextY, Width           float64
	Label, Value, Whisker, Class string
}

// scale puts values from low to high between two places. In a logarithmic one each doubling is as wide.
type scale struct {
	low, high float64
	from, to  float64
	log       bool
}

func (s scale) at(v float64) float64 {
	low, high := s.low, s.high
	if s.log {
		v, low, high = math.Log2(v), math.Log2(low), math.Log2(high)
	}
	if high <= low {
		return s.from
	}
	return math.Round((s.from+(v-low)/(high-low)*(s.to-s.from))*10) / 10
}

// steps gives round values from low to high, some five of them.
func steps(low, high float64) (all []float64) {
	if high <= low || math.IsInf(high-low, 0) || math.IsNaN(high-low) {
		return nil
	}
	step := math.Pow(10, math.Floor(math.Log10((high-low)/5)))
	for _, f := range []float64{2, 2.5, 2} {
		if (high-low)/step > 6 {
			step *= f
		}
	}
	for v := math.Ceil(low/step) * step; v <= high+step/1e6; v += step {
		all = append(all, v)
	}
	return all
}

// axes draws the grid of a chart whose y begins at 0.
func (c *chart) axes(xs []float64, label func(float64) string) {
	for _, v := range xs {
		x := c.x.at(v)
		c.Grid = append(c.Grid, rule{fmt.Sprintf("M%g %gV%g", x, c.y.from, c.y.to), label(v), "middle", x,
			c.y.from + 16})
	}
	for _, v := range steps(c.y.low, c.y.high) {
		y := c.y.at(v)
		c.Grid = append(c.Grid, rule{fmt.Sprintf("M%g %gH%g", c.x.from, y, c.x.to), short(v), "end", c.x.from - 6,
			y + 4})
	}
}

func (c *chart) legend(i int, class, label string) {
	x := 90 + 240*float64(i)
	c.Legend = append(c.Legend, dot{x, c.Height - 12, x + 10, c.Height - 8, class, label})
}

func short(v float64) string {
	if math.Abs(v) >= 10_000 {
		return fmt.Sprintf("%gk", math.Round(v/100)/10)
	}
	return fmt.Sprintf("%g", math.Round(v*100)/100)
}

// path joins points.
func path(xy [][2]float64) string {
	var b strings.Builder
	for i, p := range xy {
		b.WriteByte("ML"[min(i, 1)])
		fmt.Fprintf(&b, "%g %g", p[0], p[1])
	}
	return b.String()
}

// bars draws the cost of each row with its interval.
func bars(id, title, above string, rows []Row) chart {
	c := chart{ID: id, Title: title, Above: above, x: scale{from: 190, to: 680}}
	var shown []Row
	var said []string
	for _, r := range rows {
		if r.Missing != "" {
			continue
		}
		shown = append(shown, r)
		said = append(said, fmt.Sprintf("%s %.0f", r.Name, r.Cost.Median))
		c.x.low, c.x.high = min(c.x.low, r.Cost.Low), max(c.x.high, r.Cost.High)
	}
	c.Text = strings.Join(said, ", ")
	c.Height = 60 + 24*float64(len(shown))
	c.y = scale{from: c.Height - 26, to: 22}
	for _, v := range steps(c.x.low, c.x.high) {
		x := c.x.at(v)
		c.Grid = append(c.Grid, rule{fmt.Sprintf("M%g %gV%g", x, c.y.from, c.y.to), short(v), "middle", x,
			c.y.from + 16})
	}
	for i, r := range shown {
		y, zero, end := 28+24*float64(i), c.x.at(0), c.x.at(r.Cost.Median)
		b := bar{X: min(zero, end), Y: y, TextY: y + 11, Width: math.Abs(end - zero), Label: clip(r.Name, 26),
			Class: "f0", Value: fmt.Sprintf("%+.0f", r.Cost.Median),
			Whisker: fmt.Sprintf("M%g %gH%g", c.x.at(r.Cost.Low), y+7, c.x.at(r.Cost.High))}
		if r.Untrusted {
			b.Class, b.Label = "off", clip(r.Name, 15)+" (untrusted)"
		}
		c.Bars = append(c.Bars, b)
	}
	return c
}

func clip(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}

// throughput draws the points of each set of cores and the law that fits them.
func (r *Report) throughput() chart {
	c := chart{ID: "scaling", Title: "Throughput by connections, with the Universal Scalability Law",
		Above: "requests a second, by connections", Height: 340,
		x: scale{low: 1, high: 128, from: 70, to: 730, log: true}, y: scale{from: 280, to: 26}}
	for _, s := range r.Scaling {
		for _, p := range s.Points {
			c.y.high = max(c.y.high, p.X*1.08)
		}
	}
	c.axes([]float64{1, 2, 4, 8, 16, 32, 64, 128}, short)
	for i, s := range r.Scaling {
		for _, p := range s.Points {
			class := fmt.Sprintf("f%d", i)
			if p.Untrusted {
				class = "off"
			}
			c.Dots = append(c.Dots, dot{X: c.x.at(float64(p.N)), Y: c.y.at(p.X), Class: class,
				Label: fmt.Sprintf("%d connections: %.0f%s", p.N, p.X, untrusted(p.Untrusted))})
		}
		name := s.name()
		c.legend(i, fmt.Sprintf("f%d", i), name)
		c.Text += name + ": " + s.law() + ". "
		if s.Missing != "" {
			continue
		}
		var xy [][2]float64
		for e := 0.0; e <= 7; e += .125 {
			n := math.Exp2(e)
			xy = append(xy, [2]float64{c.x.at(n), c.y.at(min(s.Law.At(n), c.y.high))})
		}
		c.Curves = append(c.Curves, curve{path(xy), fmt.Sprintf("c%d", i)})
	}
	return c
}

// latency draws the percentiles against load, up to the first rate that was too much.
func (r *Report) latency() chart {
	k := r.Knee
	c := chart{ID: "latency", Title: "Latency by load, with the knee", Height: 340,
		Above: "µs, by requests a second", x: scale{from: 70, to: 700}, y: scale{from: 280, to: 26}}
	if k.Full == 0 {
		c.Text = "not measured"
		return c
	}
	c.Text = fmt.Sprintf("The knee is at %.0f requests a second; p99 may be %.0f µs.", k.Rate, k.Limit/1e3)
	shown := k.Within()
	c.x.low, c.x.high = shown[0].Rate, max(shown[len(shown)-1].Rate, k.Rate)
	c.y.high = k.Limit / 1e3 * 2
	c.axes(steps(c.x.low, c.x.high), short)
	top := func(v float64) float64 { return c.y.at(min(v/1e3, c.y.high)) }
	for i, p := range []struct {
		name string
		of   func(duel.Point) float64
	}{
		{"p50", func(p duel.Point) float64 { return p.P50 }}, {"p99", func(p duel.Point) float64 { return p.P99 }},
		{"p99.9", func(p duel.Point) float64 { return p.P999 }},
	} {
		var xy [][2]float64
		for _, x := range shown {
			xy = append(xy, [2]float64{c.x.at(x.Rate), top(p.of(x))})
			class := fmt.Sprintf("f%d", i)
			if x.Untrusted {
				class = "off"
			}
			c.Dots = append(c.Dots, dot{X: c.x.at(x.Rate), Y: top(p.of(x)), Class: class,
				Label: fmt.Sprintf("%s at %.0f: %.0f µs%s", p.name, x.Rate, p.of(x)/1e3, untrusted(x.Untrusted))})
		}
		c.Curves = append(c.Curves, curve{path(xy), fmt.Sprintf("c%d", i)})
		c.legend(i, fmt.Sprintf("f%d", i), p.name)
	}
	x, y := c.x.at(k.Rate), top(k.Limit)
	c.Marks = append(c.Marks, rule{fmt.Sprintf("M%g %gV%g", x, c.y.from, c.y.to), "knee", "end", x - 6, 38},
		rule{fmt.Sprintf("M%g %gH%g", c.x.from, y, c.x.to), "limit of p99", "start", c.x.from + 6, y - 6})
	return c
}
