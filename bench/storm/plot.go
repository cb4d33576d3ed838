package storm

import (
	"fmt"
	"math"
	"strings"
)

// Plot is a picture of curves over one axis.
type Plot struct {
	Title, X, Y string // what it shows, and what the axes are
	Ticks       []Tick // of the x axis; the first and the last one are its ends
	Log         bool   // the y axis doubles and doubles; it then begins at Low
	Low, High   float64
	Curves      []Curve
	Levels      []Level
}

// Tick is a place of the x axis with its label.
type Tick struct {
	At    float64
	Label string
}

// Curve is a line through points.
type Curve struct {
	Name, Color string
	Points      [][2]float64
}

// Level is a line across.
type Level struct {
	Y    float64
	Name string
}

const (
	plotLeft, plotRight = 70.0, 740.0
	plotTop, plotBottom = 44.0, 300.0
)

func (p *Plot) x(v float64) float64 {
	first, last := p.Ticks[0].At, p.Ticks[len(p.Ticks)-1].At
	return plotLeft + (v-first)/(last-first)*(plotRight-plotLeft)
}

func (p *Plot) y(v float64) float64 {
	v = min(max(v, p.Low), p.High)
	part := (v - p.Low) / (p.High - p.Low)
	if p.Log {
		part = math.Log(v/p.Low) / math.Log(p.High/p.Low)
	}
	return plotBottom - part*(plotBottom-plotTop)
}

// lines are the values of the y axis that have a line.
func (p *Plot) lines() (all []float64) {
	if p.Log {
		for v := p.Low; v <= p.High; v *= 2 {
			all = append(all, v)
		}
		return all
	}
	for i := range 6 {
		all = append(all, p.Low+(p.High-p.Low)*float64(i)/5)
	}
	return all
}

// SVG draws the plot. It looks the same on light and dark pages.
func (p *Plot) SVG() string {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 360" font-family="sans-serif" `+
		`font-size="12">`+"\n<title>%s</title>\n"+`<rect width="760" height="360" fill="#fff"/>`+"\n", p.Title)
	text := func(x, y float64, anchor, fill, s string) {
		fmt.Fprintf(&b, `<text x="%.1f" y="%.1f" text-anchor="%s" fill="%s">%s</text>`+"\n", x, y, anchor, fill, s)
	}
	text(plotLeft, 18, "start", "#222", p.Title)
	text(plotLeft, 36, "start", "#555", p.Y)
	text(plotRight, plotBottom+34, "end", "#555", p.X)
	for _, v := range p.lines() {
		fmt.Fprintf(&b, `<path d="M%.0f %.1fH%.0f" stroke="#ddd"/>`+"\n", plotLeft, p.y(v), plotRight)
		text(plotLeft-6, p.y(v)+4, "end", "#555", fmt.Sprintf("%.4g", v))
	}
	for _, t := range p.Ticks {
		fmt.Fprintf(&b, `<path d="M%.1f %.0fV%.0f" stroke="#eee"/>`+"\n", p.x(t.At), plotTop, plotBottom)
		text(p.x(t.At), plotBottom+16, "middle", "#555", t.Label)
	}
	for _, l := range p.Levels {
		fmt.Fprintf(&b, `<path d="M%.0f %.1fH%.0f" stroke="#333" stroke-dasharray="5 4"/>`+"\n", plotLeft, p.y(l.Y),
			plotRight)
		text(plotRight-4, p.y(l.Y)-5, "end", "#333", l.Name)
	}
	for i, c := range p.Curves {
		b.WriteString(`<path fill="none" stroke-width="2" stroke="` + c.Color + `" d="`)
		for j, at := range c.Points {
			fmt.Fprintf(&b, "%c%.1f %.1f", "ML"[min(j, 1)], p.x(at[0]), p.y(at[1]))
		}
		b.WriteString(`"/>` + "\n")
		fmt.Fprintf(&b, `<circle cx="%.0f" cy="346" r="5" fill="%s"/>`, plotLeft+230*float64(i), c.Color)
		text(plotLeft+230*float64(i)+10, 350, "start", "#222", c.Name)
	}
	return b.String() + "</svg>\n"
}
