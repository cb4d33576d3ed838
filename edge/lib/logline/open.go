package logline

import (
	"io"
	"os"
)

// File returns an open function for NewSink that appends to the file at path and
// makes it, for its owner alone, when it is not there.
func File(path string) func() (io.WriteCloser, error) {
	return func() (io.WriteCloser, error) {
		return os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	}
}

// Stream returns an open function for NewSink that always gives w, which outlives the
// sink: standard output, for one. Closing and reopening leave it as it is.
func Stream(w io.Writer) func() (io.WriteCloser, error) {
	return func() (io.WriteCloser, error) { return stream{w}, nil }
}

type stream struct{ io.Writer }

func (stream) Close() error { return nil }
