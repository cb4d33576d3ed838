// Command runtests runs go test for .ci/run: it prints one line for each package and the output of what
// failed, and runs a black-box test that failed again, alone, once.
//
//	go run ./cmd/runtests [-flaky FOLDER] -- FLAGS PACKAGES
//
// Flags are those of go test, each one word (-timeout=60m). A test that passes the second time goes into
// FOLDER as a file with both outputs; the third file there fails the run. Only tests of edge/e2e run again,
// and none of a package in which there was a data race, a leak, a panic, or a failure that belongs to no
// test.
package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// maxFlaky is how many files with tests that failed once the folder may hold.
const maxFlaky = 2

// goTest runs go test with args and hands its standard output to read.
type goTest func(args []string, read func(stdout io.Reader)) error

func main() {
	folder := flag.String("flaky", "", "folder for the outputs of tests that failed once")
	flag.Parse()
	if err := run(runGo, flag.Args(), *folder, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "runtests:", err)
		os.Exit(1)
	}
}

func runGo(args []string, read func(io.Reader)) error {
	cmd := exec.Command(cmp.Or(os.Getenv("GO"), "go"), append([]string{"test", "-json"}, args...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	read(out)
	return cmd.Wait()
}

// run runs the tests that args name and returns nil when all of them pass, at most maxFlaky of them the
// second time.
func run(test goTest, args []string, folder string, w io.Writer) error {
	results := newResults(w)
	err := test(args, results.read)
	if err == nil {
		return nil
	}
	if len(results.failed) == 0 {
		return fmt.Errorf("go test: %w", err)
	}
	broken := 0
	for _, p := range results.failed {
		if !p.mayRunAgain() {
			broken++
		}
	}
	if broken > 0 {
		return fmt.Errorf("packages that failed: %d", len(results.failed))
	}
	var errs []error
	for _, p := range results.failed {
		for _, name := range p.failed {
			errs = append(errs, again(test, flagsOf(args), p, name, folder, w))
		}
	}
	return errors.Join(errs...)
}

// again runs one test of p alone and writes it down as flaky when it passes.
func again(test goTest, flags []string, p *result, name, folder string, w io.Writer) error {
	fmt.Fprintf(w, "--- again, alone: %s of %s\n", name, p.name)
	second := newResults(w)
	second.verbose = true
	err := test(append(flags, "-count=1", "-run=^"+name+"$", p.name), second.read)
	if err != nil {
		return fmt.Errorf("%s of %s failed twice: %w", name, p.name, err)
	}
	text := fmt.Sprintf("FLAKY %s of %s\n--- first:\n%s--- second:\n%s", name, p.name, p.tests[name],
		second.packages[p.name].tests[name])
	if folder == "" {
		fmt.Fprint(w, text)
		return nil
	}
	before, err := filepath.Glob(filepath.Join(folder, "*"))
	if err != nil {
		return err
	}
	file := filepath.Join(folder, fmt.Sprintf("%02d-%s", len(before), name))
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		return fmt.Errorf("cannot write down a flaky test: %w", err)
	}
	if len(before) >= maxFlaky {
		return fmt.Errorf("%d tests failed once: at most %d may", len(before)+1, maxFlaky)
	}
	return nil
}

// flagsOf returns args without the packages.
func flagsOf(args []string) []string {
	var flags []string
	for _, a := range args {
		if strings.HasPrefix(a, "-") {
			flags = append(flags, a)
		}
	}
	return flags
}
