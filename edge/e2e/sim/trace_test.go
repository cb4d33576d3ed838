//go:build sim

package sim

import (
	"context"
	"fmt"
	"html"
	"log/slog"
	"slices"
	"strings"
	"time"
)

// trace is what has happened in a world.
type trace []event

// event is something that somebody did or saw. Its text is put together when it is wanted.
type event struct {
	at     time.Duration // since the world began
	step   int
	who    string
	format string
	args   []any
}

// tracer makes the events that the gateway logs a part of the trace.
type tracer struct{}

// now is the world that is running.
var now *world

// Enabled implements slog.Handler.
func (tracer) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelInfo }

// Handle implements slog.Handler.
func (tracer) Handle(_ context.Context, r slog.Record) error {
	text := r.Message
	r.Attrs(func(a slog.Attr) bool {
		text += fmt.Sprintf(" %s=%v", a.Key, a.Value)
		return true
	})
	if w := now; w != nil && !strings.Contains(text, w.dir) {
		w.note("gateway", "%s", text)
	}
	return nil
}

// WithAttrs implements slog.Handler.
func (h tracer) WithAttrs([]slog.Attr) slog.Handler { return h }

// WithGroup implements slog.Handler.
func (h tracer) WithGroup(string) slog.Handler { return h }

func (e *event) text() string { return fmt.Sprintf(e.format, e.args...) }

func (t trace) text() string {
	var b strings.Builder
	for i := range t {
		fmt.Fprintf(&b, "%12.6f ms %-12s %s\n", float64(t[i].at)/1e6, t[i].who, t[i].text())
	}
	return b.String()
}

// Measures of a picture, in pixels.
const (
	laneHeight = 26
	eventWidth = 14
	nameWidth  = 110
)

// svg draws the trace: one line for each actor, time to the right, an event where it happened. Events are set apart
// evenly, with the time that has passed below them, since moments that matter lie close together. The text of an event
// shows when the pointer rests on it.
func (t trace) svg() string {
	var lanes []string
	for i := range t {
		if !slices.Contains(lanes, t[i].who) {
			lanes = append(lanes, t[i].who)
		}
	}
	slices.Sort(lanes)
	width, height := nameWidth+eventWidth*(len(t)+2), laneHeight*(len(lanes)+2)
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="11">`+
		"\n<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n", width, height)
	for i, name := range lanes {
		y := laneHeight * (i + 1)
		fmt.Fprintf(&b, "<text x=\"4\" y=\"%d\">%s</text><line x1=\"%d\" y1=\"%d\" x2=\"%d\" y2=\"%d\" stroke=\"#ccc\"/>\n",
			y+4, html.EscapeString(name), nameWidth, y, width, y)
	}
	bottom := laneHeight * (len(lanes) + 1)
	for i := range t {
		e := &t[i]
		x, y := nameWidth+eventWidth*(i+1), laneHeight*(slices.Index(lanes, e.who)+1)
		text := e.text()
		colour, radius := "#4477aa", 4
		if strings.HasPrefix(text, "BROKEN") {
			colour, radius = "#cc3311", 7
		}
		fmt.Fprintf(&b, "<circle cx=\"%d\" cy=\"%d\" r=\"%d\" fill=\"%s\"><title>%v %s: %s</title></circle>\n",
			x, y, radius, colour, e.at, html.EscapeString(e.who), html.EscapeString(text))
		if i%8 == 0 {
			fmt.Fprintf(&b, "<text x=\"%d\" y=\"%d\" fill=\"#888\">%.3f ms</text>\n", x, bottom, float64(e.at)/1e6)
		}
	}
	b.WriteString("</svg>\n")
	return b.String()
}
