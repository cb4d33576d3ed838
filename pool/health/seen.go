package health

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"
)

// seen is what a check saw of an unhealthy target.
type seen struct {
	text  string // one line
	cause error  // may be nil
}

func (s *seen) Error() string { return s.text }
func (s *seen) Unwrap() error { return s.cause }

func sawf(format string, args ...any) error {
	return &seen{text: oneLine(fmt.Sprintf(format, args...))}
}

// failed describes an error that ended a check. When the time is over, the check was waiting for late;
// otherwise before stands in front of the error.
func (h *Checker) failed(ctx context.Context, late, before string, err error) error {
	if isOver(ctx) {
		return &seen{fmt.Sprintf("no %s within %s", late, h.conf.Timeout), err}
	}
	return &seen{oneLine(before + plain(err)), err}
}

// isOver reports whether the time of ctx is over. What looks at its deadline by itself, such as a dialer, can
// be a moment faster than ctx.
func isOver(ctx context.Context) bool {
	deadline, ok := ctx.Deadline()
	return ctx.Err() != nil || ok && !time.Now().Before(deadline)
}

// isLost reports whether the target ended the connection.
func isLost(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET)
}

// plain describes an error without the steps that led to it.
func plain(err error) string {
	var errno syscall.Errno
	var dns *net.DNSError
	switch {
	case errors.As(err, &errno):
		return errno.Error()
	case errors.As(err, &dns):
		return fmt.Sprintf("cannot resolve %q: %s", dns.Name, dns.Err)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "closed by the target"
	}
	return err.Error()
}

// maxLine bounds an error's text in bytes: some of it is the target's.
const maxLine = 240

// oneLine returns text without control characters and what is not UTF-8, and without its end if it is long.
func oneLine(text string) string {
	text = strings.ToValidUTF8(text, "?")
	text = strings.Map(func(r rune) rune {
		if isControl(r) {
			return ' '
		}
		return r
	}, text)
	text = strings.TrimRight(text, ": ") // of a message that is empty
	if len(text) <= maxLine {
		return text
	}
	end := maxLine
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + "..."
}
