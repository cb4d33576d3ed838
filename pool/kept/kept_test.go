package kept

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/penstock-edge/penstock/edge/lib/lanes"
	"github.com/penstock-edge/penstock/pool/discovery"
)

func TestReadKept(t *testing.T) {
	s := Store{Dir: t.TempDir(), Pool: "a"}
	file := s.file()
	f := func(text, want string) {
		t.Helper()
		if err := os.WriteFile(file.Path(), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		k, err := s.Read("dns x")
		got := fmt.Sprint(err)
		if err == nil && k != nil {
			got = fmt.Sprint(k.Found)
		}
		if !strings.Contains(got, want) {
			t.Errorf("%s\n got %s\nwant %s", text, got, want)
		}
	}
	if k, err := s.Read("dns x"); k != nil || err != nil {
		t.Errorf("of no file: %v, %v", k, err)
	}
	f(`{"source":"dns x","at":"2026-01-02T03:04:05Z","targets":[{"address":"b:2","weight":70000,"zone":"z"},`+
		`{"address":"unix:/a","weight":0,"backup":true,"drain":true}]}`, "[{b:2 65535 z false false} {unix:/a 0  true true}]")
	f(`{"source":"dns y","targets":[{"address":"b:2","weight":1}]}`, "<nil>")
	f(`{"source":"dns x","targets":[{"address":"b","weight":1}]}`, `"b" is not host:port`)
	f(`{"source":"dns x","targets":[]}`, "the answer is empty")
	f(`{"source":"dns x","targets":[{"address":"b:2"`, "is no list of targets")
	f(``, "is no list of targets")
	f(strings.Repeat(" ", maxKept+1), "more than")
}

// TestWriterWritesTheLast: of many sets that come at once the last one is in the file at the end.
func TestWriterWritesTheLast(t *testing.T) {
	s := Store{Dir: t.TempDir(), Pool: "a", Errors: lanes.NewCounter()}
	w := &Writer{}
	for i := range 200 {
		w.Write(s, &Targets{Source: "s", Found: []discovery.Endpoint{{Address: fmt.Sprintf("a:%d", i+1), Weight: 1}}})
	}
	w.Wait()
	k, err := s.Read("s")
	if err != nil || k.Found[0].Address != "a:200" {
		t.Errorf("%v, %v", k, err)
	}
	if n := s.Errors.Sum(); n > 0 {
		t.Errorf("%d errors", n)
	}
	s.Dir = "/dev/null/x"
	for range 3 {
		w.Write(s, &Targets{})
		w.Wait()
	}
	if n := s.Errors.Sum(); n != 3 || w.failed == "" {
		t.Errorf("%d errors, %q", n, w.failed)
	}
}
