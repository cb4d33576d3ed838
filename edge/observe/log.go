package observe

import (
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/clock"
	"github.com/penstock-edge/penstock/edge/lib/logline"
)

// accessLog writes a line an exchange.
type accessLog struct {
	output string
	name   string // of the format, for status
	format *format
	query  bool     // query strings are logged
	secure []string // names of the listeners that speak TLS
	sink   *logline.Sink
	clock  clock.Coarse
	lines  sync.Pool // of *line
}

// line is the room for one line while it is built.
type line struct {
	entry entry
	text  []byte
}

// maxKeptLine is the capacity up to which the room of a line is used again.
const maxKeptLine = 16 << 10

// newAccessLog returns nil when there is no log to write: off, dry, or wrong in the file.
func newAccessLog(h *edge.Host, c *Config) *accessLog {
	l := &accessLog{output: c.Output, name: formatName(c.Format), query: c.Query}
	l.format = compile(c)
	for i := range h.Config.Listeners {
		if s := &h.Config.Listeners[i]; len(s.Certificates) > 0 {
			l.secure = append(l.secure, s.Name)
		}
	}
	if !validOutput(c) || c.Output == "off" || l.format == nil {
		return nil
	}
	if h.Dry {
		checkFolder(c)
		return nil
	}
	key := "accesslog/" + c.Output + "?backlog=" + c.MaxBacklogBytes.String()
	var err error
	l.sink, err = edge.Keep(h.State, key, func() (*logline.Sink, error) {
		return newSink(c, h.Log)
	}, closeSink)
	if err != nil {
		c.Table.Errorf("output", "%s", err)
		return nil
	}
	l.register(h)
	return l
}

func (l *accessLog) register(h *edge.Host) {
	count := func(f func() uint64) func() float64 { return func() float64 { return float64(f()) } }
	h.Metrics.CounterFunc("penstock_access_log_lines_total", "Lines of the access log that were written.",
		count(l.sink.Written))
	h.Metrics.CounterFunc("penstock_access_log_dropped_total",
		"Lines of the access log that were lost: it could not be written, or not fast enough.",
		count(l.sink.Dropped))
	h.Metrics.CounterFunc("penstock_access_log_errors_total",
		"Failures to open, write or close the access log.", count(l.sink.Errors))
}

// checkFolder reports what opening the log would, as far as that can be known without creating it.
func checkFolder(c *Config) {
	if !strings.Contains(c.Output, "/") {
		return
	}
	folder := filepath.Dir(c.Output)
	if info, err := os.Stat(folder); err != nil {
		c.Table.Errorf("output", "cannot open log: %s", err)
	} else if !info.IsDir() {
		c.Table.Errorf("output", "cannot open log: %s is no folder", folder)
	} else if info, err := os.Stat(c.Output); err == nil && info.IsDir() {
		c.Table.Errorf("output", "cannot open log: %s is a folder", c.Output)
	}
}

// validOutput reports an output that is neither a known word nor a path.
func validOutput(c *Config) bool {
	known := []string{"stdout", "stderr", "off"}
	for _, word := range known {
		if c.Output == word {
			return true
		}
	}
	if strings.Contains(c.Output, "/") {
		return true
	}
	// A word without a slash is more often misspelt than meant as a file in the working directory.
	c.Table.Unknown("output", `stream (the path of a file has a /)`, c.Output, known)
	return false
}

func opener(output string) func() (io.WriteCloser, error) {
	switch output {
	case "stdout":
		return logline.Standard(syscall.Stdout, output)
	case "stderr":
		return logline.Standard(syscall.Stderr, output)
	}
	return logline.File(output)
}

func newSink(c *Config, log *slog.Logger) (*logline.Sink, error) {
	s, err := logline.NewSink(opener(c.Output), int(c.MaxBacklogBytes))
	if err != nil {
		return nil, err
	}
	output := c.Output
	s.OnLoss(func(lines uint64, cause error) {
		why := "it is not read, or written, as fast as lines come: more than max_backlog_bytes of them wait"
		if cause != nil {
			why = cause.Error()
		}
		log.Warn("lines of the access log are lost", "output", output, "lines", lines, "cause", why)
	})
	return s, nil
}

// closeTimeout is how long the last lines may take to be written when the log is no longer used.
const closeTimeout = 5 * time.Second

func closeSink(s *logline.Sink) {
	if err := s.End(closeTimeout); err != nil {
		slog.Warn("the access log may lack its last lines", "error", err)
	}
}

// write hands one line to the sink; it never waits for the disk.
func (l *accessLog) write(x *edge.Exchange, route string, status int, code string, took *durations) {
	n, _ := l.lines.Get().(*line)
	if n == nil {
		n = &line{text: make([]byte, 0, 1<<10)}
	}
	e := &n.entry
	*e = entry{x: x, log: l, route: route, code: code, status: status, took: *took}
	e.began = time.Unix(0, l.clock.UnixNano(x.Times.Done)-int64(took.total))
	n.text = l.format.append(n.text[:0], e)
	l.sink.Write(x.Lane, n.text)
	*e = entry{} // the exchange is not ours any more
	if cap(n.text) <= maxKeptLine {
		l.lines.Put(n)
	}
}

// secured reports whether a listener speaks TLS.
func (l *accessLog) secured(listener string) bool {
	for _, name := range l.secure {
		if name == listener {
			return true
		}
	}
	return false
}

// Status is the access log as /status shows it.
type Status struct {
	Output    string `json:"output"`
	Format    string `json:"format"` // "json", "combined" or "template"
	Written   uint64 `json:"written"`
	Dropped   uint64 `json:"dropped"`
	Errors    uint64 `json:"errors"`
	LastError string `json:"last_error,omitempty"`
}

func (l *accessLog) status() any {
	s := Status{Output: l.output, Format: l.name,
		Written: l.sink.Written(), Dropped: l.sink.Dropped(), Errors: l.sink.Errors()}
	if err := l.sink.LastError(); err != nil {
		s.LastError = err.Error()
	}
	return s
}
