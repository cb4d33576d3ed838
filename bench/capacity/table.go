package capacity

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// Table prints the report.
func (r *Report) Table(out io.Writer) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "%s, %s UTC, %s, %d cores\n%s\n\n", r.File, r.Machine.Date, r.Machine.CPU, r.Machine.Cores,
		r.Command)
	fmt.Fprint(w, "route\tns/req\tuser\tsystem\tover bare hop\t95 %\tp50 µs\tp99 µs\tat req/s\tpairs\tchain\n")
	for _, x := range r.Chains {
		x.write(w, strings.Join(x.Routes, ", "), strings.Join(x.Features, ", "))
	}
	if r.Omitted > 0 {
		fmt.Fprintf(w, "and %d more chains\n", r.Omitted)
	}
	fmt.Fprint(w, "\nfeature\tns/req\tuser\tsystem\tof it\t95 %\tp50 µs\tp99 µs\tat req/s\tpairs\troute\n")
	for _, x := range r.Features {
		x.write(w, x.Name, x.Chain)
	}
	fmt.Fprintf(w, "\nWhat follows is of route %s.\n\n", r.Route)
	r.writeScaling(w)
	k := r.Knee
	fmt.Fprintf(w, "\nknee\t%.0f requests a second%s, %.0f %% of %.0f closed loop; p99 within %.0f µs; "+
		"gateway %.0f %% busy%s\n", k.Rate, mark(k.Open, " or more"), percent(k.Rate, k.Full), k.Full, k.Limit/1e3,
		k.Busy()*100, untrusted(k.Untrusted))
	t := r.TLS
	fmt.Fprintf(w, "TLS\t%.0f handshakes a second reached, gateway %.0f %% busy; %.0f a core by their "+
		"CPU time: %.0f µs, and %.0f µs of a request%s\n", t.Reached, t.Busy*100, t.PerCore, t.Handshake/1e3,
		t.Request/1e3, untrusted(t.Untrusted))
	m := r.Memory
	fmt.Fprintf(w, "memory\tof %d connections: idle plain %.0f B and %.0f B of the kernel's, idle TLS %.0f B "+
		"and %.0f B, in use %.0f B\n", m.Conns, m.Plain.Process, m.Plain.Kernel, m.TLS.Process, m.TLS.Kernel,
		m.Active)
	for _, s := range r.Missing {
		fmt.Fprintf(w, "missing\t%s\n", s)
	}
	w.Flush()
	fmt.Fprintln(out)
	for _, line := range r.sentences() {
		fmt.Fprintln(out, line)
	}
	for _, n := range r.notes() {
		fmt.Fprintf(out, "* %s\n", n)
	}
}

func (r *Row) write(w io.Writer, name, last string) {
	if r.Missing != "" {
		line, _, _ := strings.Cut(r.Missing, "\n")
		fmt.Fprintf(w, "%s\tnot measured: %s\n", name, line)
		return
	}
	p50, p99 := fmt.Sprintf("%.0f", r.With.P50/1e3), fmt.Sprintf("%.0f", r.With.P99/1e3)
	if r.NoLatency {
		p50, p99 = "-", "-"
	}
	failed := mark(r.Failed() > 0, fmt.Sprintf(", %d failed", r.Failed()))
	fmt.Fprintf(w, "%s\t%.0f\t%.0f\t%.0f\t%+.0f\t%+.0f to %+.0f\t%s\t%s\t%.0f\t%d/%d%s%s\t%s\n", name,
		r.With.CPU, r.With.User, r.With.System, r.Cost.Median, r.Cost.Low, r.Cost.High, p50, p99, r.Offered,
		r.Counted, r.Pairs, untrusted(r.Untrusted), failed, last)
}

func (r *Report) writeScaling(w io.Writer) {
	fmt.Fprint(w, "gateway on\tconnections: requests a second (busy)\n")
	for _, s := range r.Scaling {
		name := s.name()
		var all []string
		for _, p := range s.Points {
			all = append(all, fmt.Sprintf("%d: %.0f (%.0f %%)%s", p.N, p.X, p.Busy*100, untrusted(p.Untrusted)))
		}
		fmt.Fprintf(w, "%s\t%s\n\t%s\n", name, strings.Join(all, "  "), s.law())
	}
}

func (s *Scaling) name() string {
	name := fmt.Sprintf("%d cores", s.Cores)
	if s.Cores == 1 {
		name = "1 core"
	}
	return name + mark(s.Shared, ", shared with the loader")
}

// law prints the parameters of the law.
func (s *Scaling) law() string {
	if s.Missing != "" {
		return "no law: " + s.Missing
	}
	peak := "no peak"
	if s.Law.Peak > 0 {
		peak = fmt.Sprintf("peak at N*=%.0f", s.Law.Peak)
	}
	u := s.Law
	return fmt.Sprintf("λ=%.0f σ=%.4f κ=%.2g R²=%.3f, %s", u.Lambda, u.Sigma, u.Kappa, u.R2, peak)
}

// sentences is the statement in words.
func (r *Report) sentences() []string {
	s := r.Statement
	scale := fmt.Sprintf("each core at %.0f %% of one alone, as the law of two cores says", s.Efficiency*100)
	if s.Linear {
		scale = "assuming that cores add up, which was not measured"
	}
	kernel := "the kernel's memory is counted"
	if !s.Kernel {
		kernel = "the kernel's memory is not counted"
	}
	all := []string{
		fmt.Sprintf("A host of %d cores and %.3g GiB carries, planned at 65 %% of the knee:", s.Cores, s.MemoryGB),
		fmt.Sprintf("%.0f requests a second (%.0f a core; %s)%s", s.Rate, s.PerCore, scale,
			untrusted(s.Untrusted)),
		fmt.Sprintf("%d idle connections, or %d over TLS, in 80 %% of the memory (%s); %d in use at once", s.Plain,
			s.TLS, kernel, s.Active),
		fmt.Sprintf("%.0f TLS handshakes a second, if it does nothing else", s.Handshakes),
	}
	if busy := r.Knee.Busy(); busy < .8 {
		all = append(all, fmt.Sprintf("the gateway used %.0f %% of its core at the knee: something else was the "+
			"limit, and it may carry more", busy*100))
	}
	for _, f := range s.Shares {
		says := fmt.Sprintf("%s takes %.1f %% of a request's CPU time", f.Feature, f.Percent)
		if f.Low <= 0 && f.High >= 0 {
			says = f.Feature + " takes no part of a request's CPU time that these runs can tell from 0"
		}
		all = append(all, fmt.Sprintf("%s (%.1f to %.1f %%)%s", says, f.Low, f.High, untrusted(f.Untrusted)))
	}
	return all
}

// notes are those of all copies, each once.
func (r *Report) notes() []string {
	seen, all := map[string]bool{}, []string(nil)
	for _, c := range r.Chains {
		for _, n := range c.Notes {
			if !seen[n] {
				seen[n] = true
				all = append(all, n)
			}
		}
	}
	return all
}

func untrusted(is bool) string { return mark(is, " untrusted") }

func mark(is bool, s string) string {
	if is {
		return s
	}
	return ""
}

func percent(part, of float64) float64 {
	if of == 0 {
		return 0
	}
	return part / of * 100
}
