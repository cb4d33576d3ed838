package caught

import (
	"errors"
	"strings"
	"testing"
)

func TestCall(t *testing.T) {
	if p := Call(func() {}); p != nil {
		t.Errorf("nothing panicked, and %v was caught", p)
	}
	p := Call(func() {
		var list []int
		_ = list[len(list)]
	})
	if p == nil || !strings.Contains(p.Error(), "index out of range") ||
		!strings.Contains(string(p.Stack), "TestCall") {
		t.Errorf("caught %v", p)
	}
}

func TestTry(t *testing.T) {
	own := errors.New("own")
	if err := Try(func() error { return own }); err != own { //nolint:errorlint // the very same
		t.Errorf("got %v", err)
	}
	if err := Try(func() error { return nil }); err != nil {
		t.Errorf("got %v", err)
	}
	var p *Panic
	if err := Try(func() error { panic("x") }); !errors.As(err, &p) || p.Error() != "x" {
		t.Errorf("got %v", err)
	}
}
