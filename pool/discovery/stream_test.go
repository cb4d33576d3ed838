package discovery

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// TestStream: whether a stream is to be taken up again or has to be told is known from its error.
func TestStream(t *testing.T) {
	cut := errors.New("cut")
	f := func(content string, end error, events int, ended bool) {
		t.Helper()
		body := io.MultiReader(strings.NewReader(content), iotest.ErrReader(end))
		for _, r := range []io.Reader{body, iotest.DataErrReader(strings.NewReader(content))} {
			s := newStream(r)
			var e struct {
				A int `json:"a,string"`
			}
			var err error
			n := -1
			for ; err == nil; n++ {
				err = s.next(&e)
			}
			if n != events || s.ended(err) != ended {
				t.Errorf("%q: %d events, then %v", content, n, err)
			}
		}
	}
	const event = `{"a":"1"}`
	for _, end := range []error{io.EOF, cut, io.ErrUnexpectedEOF} {
		f("", end, 0, true)
		f(event, end, 1, true)
		f(event+"\n"+event+`{"a`, end, 2, true)
		f(event+"x", end, 1, false)
		f(event+`{"a":"x"}`, end, 1, false)
		f(event+`{"a":5}`, end, 1, false)
	}
	f(`{"b":"`+strings.Repeat("b", maxEvent)+`"}`, cut, 0, false)
}
