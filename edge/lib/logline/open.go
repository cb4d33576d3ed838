package logline

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// File returns an open function for NewSink that appends to the file at path and
// makes it, for its owner alone, when it is not there.
func File(path string) func() (io.WriteCloser, error) {
	return func() (io.WriteCloser, error) {
		// A pipe that nobody reads is an error, and not waited for.
		return os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE|unix.O_NONBLOCK, 0o600)
	}
}

// Stream returns an open function for NewSink that always gives w, which outlives the
// sink: standard output, for one. Closing and reopening leave it as it is.
func Stream(w io.Writer) func() (io.WriteCloser, error) {
	return func() (io.WriteCloser, error) { return stream{w}, nil }
}

type stream struct{ io.Writer }

func (stream) Close() error { return nil }

// Standard returns an open function for NewSink that gives descriptor 1 or 2 of the process under another
// number: a broken pipe behind these two would kill the process with SIGPIPE (see os/signal), and a lost
// reader of the log must cost lines only.
func Standard(fd int, name string) func() (io.WriteCloser, error) {
	return func() (io.WriteCloser, error) {
		own, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
		if err != nil {
			return nil, &os.PathError{Op: "duplicate", Path: name, Err: err}
		}
		return os.NewFile(uintptr(own), name), nil
	}
}
