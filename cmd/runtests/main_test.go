package main

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const hop, unit = "example.com/gate/edge/e2e/hop", "example.com/gate/pool"

// failing are the events of a package in which tests fail, each with one line of output.
func failing(pkg, output string, tests ...string) []event {
	var all []event
	for _, name := range tests {
		all = append(all, event{Action: "output", Package: pkg, Test: name + "/sub", Output: output + "\n"},
			event{Action: "fail", Package: pkg, Test: name + "/sub"}, event{Action: "fail", Package: pkg, Test: name})
	}
	return append(all, event{Action: "output", Package: pkg, Output: "FAIL\t" + pkg + "\t1s\n"},
		event{Action: "fail", Package: pkg})
}

// passing are those of a package whose tests pass.
func passing(pkg string, tests ...string) []event {
	var all []event
	for _, name := range tests {
		all = append(all, event{Action: "output", Package: pkg, Test: name, Output: "fine\n"},
			event{Action: "pass", Package: pkg, Test: name})
	}
	return append(all, event{Action: "output", Package: pkg, Output: "ok  \t" + pkg + "\t1s\n"},
		event{Action: "pass", Package: pkg})
}

// script is a go test that says what it is told to, a run each, and keeps the arguments.
type script struct {
	runs [][]event
	args []string
}

func (s *script) test(args []string, read func(io.Reader)) error {
	s.args = append(s.args, strings.Join(args, " "))
	var b strings.Builder
	var err error
	for _, e := range s.runs[0] {
		line, _ := json.Marshal(e) // strings alone
		b.WriteString(string(line) + "\n")
		if e.Action == "fail" {
			err = errors.New("exit status 1")
		}
	}
	s.runs = s.runs[1:]
	read(strings.NewReader(b.String()))
	return err
}

func TestRun(t *testing.T) {
	f := func(what string, passes bool, flaky int, again []string, runs ...[]event) {
		t.Helper()
		s, folder := &script{runs: runs}, t.TempDir()
		var out strings.Builder
		err := run(s.test, []string{"-race", "-shuffle=on", "./..."}, folder, &out)
		if (err == nil) != passes {
			t.Errorf("%s: %v\n%s", what, err, &out)
		}
		for i, a := range again {
			again[i] = "-race -shuffle=on -count=1 -run=^" + a + "$ " + hop
		}
		if !slices.Equal(s.args[1:], again) {
			t.Errorf("%s: run again: %q, want %q", what, s.args[1:], again)
		}
		if files, _ := filepath.Glob(folder + "/*"); len(files) != flaky {
			t.Errorf("%s: %d files of flaky tests, want %d", what, len(files), flaky)
		}
	}
	all := func(runs ...[]event) []event { return slices.Concat(runs...) }
	f("all pass", true, 0, nil, all(passing(unit, "TestA"), passing(hop, "TestB")))
	f("a unit test", false, 0, nil, all(failing(unit, "no", "TestA"), passing(hop, "TestB")))
	f("a unit test of the table", false, 0, nil, failing("example.com/gate/edge/e2e/conform", "no", "TestA"))
	f("a black-box test, once", true, 1, []string{"TestB"}, all(passing(unit, "TestA"), failing(hop, "no", "TestB")),
		passing(hop, "TestB"))
	f("a black-box test, twice", false, 0, []string{"TestB"}, failing(hop, "no", "TestB"), failing(hop, "no", "TestB"))
	f("beside a unit test", false, 0, nil, all(failing(unit, "no", "TestA"), failing(hop, "no", "TestB")))
	f("two", true, 2, []string{"TestB", "TestC"}, failing(hop, "no", "TestB", "TestC"), passing(hop, "TestB"), passing(hop, "TestC"))
	f("three", false, 3, []string{"TestB", "TestC", "TestD"}, failing(hop, "no", "TestB", "TestC", "TestD"),
		passing(hop, "TestB"), passing(hop, "TestC"), passing(hop, "TestD"))
	f("a race", false, 0, nil, failing(hop, "WARNING: DATA RACE", "TestB"))
	f("a race of the gateway", false, 0, nil, failing(hop, `x_test.go:1: the gateway's log shows "DATA RACE":`, "TestB"))
	f("a panic", false, 0, nil, failing(hop, "panic: test timed out after 1h", "TestB"))
	f("a panic of the gateway", false, 0, nil, failing(hop, `the gateway's log shows "panic":`, "TestB"))
	f("a leak", false, 0, nil, failing(hop, "goroutines leaked", "TestB"))
	f("no test", false, 0, nil, failing(hop, "no"))
	f("no build", false, 0, nil, []event{{Action: "build-output", Output: "x.go:1: no\n"},
		{Action: "fail", Package: hop, FailedBuild: hop}})
}

// TestOutput: what failed is shown, what passed is one line; a flaky test has both outputs in its file.
func TestOutput(t *testing.T) {
	var out strings.Builder
	folder := t.TempDir()
	s := &script{runs: [][]event{
		slices.Concat(passing(unit, "TestA"), failing(hop, "the first time", "TestB")), passing(hop, "TestB")}}
	if err := run(s.test, []string{"./..."}, folder, &out); err != nil {
		t.Fatal(err)
	}
	want := "ok  \t" + unit + "\t1s\nthe first time\nFAIL\t" + hop + "\t1s\n\n" +
		"--- again, alone: TestB of " + hop + "\nok  \t" + hop + "\t1s\n"
	if out.String() != want {
		t.Errorf("printed\n%swant\n%s", &out, want)
	}
	text, err := os.ReadFile(filepath.Join(folder, "00-TestB"))
	if want := "FLAKY TestB of " + hop + "\n--- first:\nthe first time\n--- second:\nfine\n"; err != nil || string(text) != want {
		t.Errorf("%v, %q, want %q", err, text, want)
	}
}

// TestStrangeLines: what is no event is passed on as it stands.
func TestStrangeLines(t *testing.T) {
	var out strings.Builder
	newResults(&out).read(strings.NewReader("go: downloading x\n{\"a\":1}\nlast"))
	if want := "go: downloading x\n{\"a\":1}\nlast"; out.String() != want {
		t.Errorf("%q, want %q", &out, want)
	}
}
