package transport

import (
	"io"
	"strings"
	"testing"

	"github.com/penstock-edge/penstock/edge"
)

func TestWhole(t *testing.T) {
	f := func(in io.ReadCloser, want string, whole bool) {
		t.Helper()
		b, ok := Whole(in)
		if string(b) != want || ok != whole {
			t.Errorf("%T: %q, %v", in, b, ok)
		}
	}
	begun := edge.NewBytesBody([]byte("hello"))
	_, _ = begun.Read(make([]byte, 1))
	f(nil, "", false)
	f(io.NopCloser(strings.NewReader("hello")), "", false)
	f(edge.NewBytesBody([]byte("hello")), "hello", true)
	f(edge.NewBytesBody(nil), "", true)
	if _, ok := Whole(begun); ok {
		t.Error("a body that has been read in part is whole")
	}
}
