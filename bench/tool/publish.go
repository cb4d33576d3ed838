package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/penstock-edge/penstock/bench/duel"
)

// publish writes the report where the documentation shows it.
func (r *report) publish(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	var b strings.Builder
	r.markdown(&b)
	return errors.Join(
		os.WriteFile(filepath.Join(dir, "versus.md"), []byte(b.String()), 0o644),
		os.WriteFile(filepath.Join(dir, "versus.svg"), []byte(plot(r.Duels)), 0o644))
}

func (r *report) markdown(w io.Writer) {
	fmt.Fprintf(w, "Made by `%s` on %s UTC: %s, %d cores, Linux %s, %s.\n\n", r.Command, r.Machine.Date,
		r.Machine.CPU, r.Machine.Cores, r.Machine.Kernel, r.Machine.Go)
	for _, name := range slices.Sorted(maps.Keys(r.Machine.Peers)) {
		if v := r.Machine.Peers[name]; v != "" {
			fmt.Fprintf(w, "* %s: %s\n", name, v)
		}
	}
	fmt.Fprintf(w, "\n%s\n", r.doubt())
	fmt.Fprint(w, "\nCPU time of the proxy's processes per request that succeeded. "+
		"Below 1, Penstock spends less.\n\n"+
		"| work | peer | requests/s | Penstock µs | peer µs | ratio | 95 % | p99 µs | peer p99 µs "+
		"| errors | pairs |\n|---|---|--:|--:|--:|--:|---|--:|--:|---|---|\n")
	for _, o := range r.Duels {
		if o.Missing != "" {
			fmt.Fprintf(w, "| %s | %s | not compared: %s | | | | | | | | |\n", o.Work, o.Peer,
				firstLine(o.Missing))
			continue
		}
		note := ""
		if o.Untrusted {
			note = ", untrusted"
		}
		fmt.Fprintf(w, "| %s | %s | %.0f | %.2f | %.2f | **%.3f** | %.3f–%.3f | %.0f | %.0f "+
			"| %d : %d | %d, %d dropped%s |\n",
			o.Work, o.Peer, o.Rate, o.Ours.CPU/1e3, o.Theirs.CPU/1e3, o.CPU.Median, o.CPU.Low, o.CPU.High,
			o.Ours.P99/1e3, o.Theirs.P99/1e3, o.Ours.Failed, o.Theirs.Failed, o.Pairs, o.Dropped, note)
	}
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

// plot draws each ratio as a point on its interval, beside the line at 1.
func plot(all []duel.Outcome) string {
	const left, width, row = 190.0, 480.0, 24.0
	var b strings.Builder
	shown := slices.DeleteFunc(slices.Clone(all), func(o duel.Outcome) bool { return o.Missing != "" })
	end := 1.5
	for _, o := range shown {
		end = max(end, min(o.CPU.High*1.05, 4))
	}
	x := func(v float64) float64 { return left + min(v, end)/end*width }
	height := row*float64(len(shown)) + 50
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 %.0f" `+
		`font-family="sans-serif" font-size="12">`+"\n<title>CPU per request, Penstock to peer</title>\n", height)
	for v := 0.0; v <= end; v += .25 {
		color := "#ddd"
		if v == 1 {
			color = "#333"
		}
		fmt.Fprintf(&b, `<path d="M%.1f 10V%.1f" stroke="%s"/>`+
			`<text x="%.1f" y="%.1f" text-anchor="middle" fill="#555">%g</text>`+"\n",
			x(v), height-30, color, x(v), height-14, v)
	}
	for i, o := range shown {
		y, color := 26+row*float64(i), "#2a7d4f"
		if o.CPU.Low > 1 {
			color = "#b8442f"
		} else if o.CPU.High >= 1 {
			color = "#777"
		}
		fmt.Fprintf(&b, `<text x="%.0f" y="%.1f" text-anchor="end">%s, %s</text>`, left-10, y+4, escape(o.Work),
			escape(o.Peer))
		fmt.Fprintf(&b, `<path d="M%.1f %.1fH%.1f" stroke="%s" stroke-width="3"/>`, x(o.CPU.Low), y,
			x(o.CPU.High), color)
		fmt.Fprintf(&b, `<circle cx="%.1f" cy="%.1f" r="5" fill="%s"/>`, x(o.CPU.Median), y, color)
		fmt.Fprintf(&b, `<text x="%.0f" y="%.1f" fill="%s">%.2f</text>`+"\n", left+width+12, y+4, color,
			o.CPU.Median)
	}
	return b.String() + "</svg>\n"
}

func escape(s string) string { return strings.NewReplacer("<", "&lt;", "&", "&amp;").Replace(s) }
