package metric

import (
	"io"
	"math"
	"strconv"

	"github.com/penstock-edge/penstock/edge/lib/lanes"
)

// Write writes all series in the text format of Prometheus (version 0.0.4), families
// by name, series by labels. Building and closing generations does not wait for w. The
// error is that of w.
func (r *Registry) Write(w io.Writer) error {
	t := &text{w: w}
	r.set.WritePrometheus(t)
	t.flush()
	return t.err
}

// write writes the series into t.
func (r *Registry) write(t *text) {
	for _, v := range r.snapshot() {
		t.head(v.family.name, v.family.help, v.family.kind.String())
		for _, s := range v.series {
			t.series(r, s)
		}
	}
}

// flushAt is how much text is gathered before it is written.
const flushAt = 32 << 10

// text builds the text and hands it to w in pieces.
type text struct {
	w    io.Writer
	b    []byte
	snap lanes.Snap
	err  error // the first of w; nothing is written after it
}

// Write implements io.Writer, for metrics of the set itself. It never fails: see err.
func (t *text) Write(b []byte) (int, error) {
	if t.b = append(t.b, b...); len(t.b) >= flushAt {
		t.flush()
	}
	return len(b), nil
}

func (t *text) flush() {
	if t.err == nil && len(t.b) > 0 {
		_, t.err = t.w.Write(t.b)
	}
	t.b = t.b[:0]
}

func (t *text) head(name, help, kind string) {
	t.b = append(append(append(t.b, "# HELP "...), name...), ' ')
	t.b = appendEscaped(t.b, help, false)
	t.b = append(append(append(t.b, "\n# TYPE "...), name...), ' ')
	t.b = append(append(t.b, kind...), '\n')
}

// name appends what stands before a value; last is one more label, "" for none.
func (t *text) name(name, suffix, labels, last string) {
	t.b = append(append(t.b, name...), suffix...)
	if labels != "" || last != "" {
		t.b = append(append(t.b, '{'), labels...)
		if labels != "" && last != "" {
			t.b = append(t.b, ',')
		}
		t.b = append(append(t.b, last...), '}')
	}
	t.b = append(t.b, ' ')
}

func (t *text) end() {
	t.b = append(t.b, '\n')
	if len(t.b) >= flushAt {
		t.flush()
	}
}

func (t *text) float(v float64) {
	switch {
	case math.IsInf(v, 1):
		t.b = append(t.b, "+Inf"...)
	case math.IsInf(v, -1):
		t.b = append(t.b, "-Inf"...)
	case v == math.Trunc(v) && math.Abs(v) < 1<<53:
		t.b = strconv.AppendInt(t.b, int64(v), 10)
	default:
		t.b = strconv.AppendFloat(t.b, v, 'g', -1, 64)
	}
	t.end()
}

func (t *text) series(r *Registry, s *series) {
	switch {
	case s.hist != nil:
		t.histogram(s)
	case s.row != nil:
		for i, c := range s.row {
			t.name(s.family.name, "", s.labels, s.family.row[i])
			t.b = strconv.AppendUint(t.b, c.Sum(), 10)
			t.end()
		}
	case s.counter != nil:
		t.name(s.family.name, "", s.labels, "")
		t.b = strconv.AppendUint(t.b, s.counter.Sum(), 10)
		t.end()
	case s.gauge != nil:
		t.name(s.family.name, "", s.labels, "")
		t.b = strconv.AppendInt(t.b, s.gauge.Sum(), 10)
		t.end()
	default:
		if f := r.function(s); f != nil {
			v := f()
			t.name(s.family.name, "", s.labels, "")
			t.float(v)
		}
	}
}

func (t *text) histogram(s *series) {
	s.hist.Snapshot(&t.snap)
	name := s.family.name
	var room [32]byte
	for i, n := range t.snap.Buckets {
		le := append(room[:0], `le="`...)
		if i < len(t.snap.Bounds) {
			le = strconv.AppendFloat(le, t.snap.Bounds[i].Seconds(), 'g', -1, 64)
		} else {
			le = append(le, "+Inf"...)
		}
		le = append(le, '"')
		t.name(name, "_bucket", s.labels, string(le))
		t.b = strconv.AppendUint(t.b, n, 10)
		t.end()
	}
	t.name(name, "_sum", s.labels, "")
	t.float(t.snap.Sum)
	t.name(name, "_count", s.labels, "")
	t.b = strconv.AppendUint(t.b, t.snap.Count, 10)
	t.end()
}
