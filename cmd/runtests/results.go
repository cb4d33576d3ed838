package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strings"
)

// event is a line of go test -json; see go doc test2json.
type event struct {
	Action, Package, Test, Output string
	FailedBuild                   string
}

// results are the outcomes of the tests of some packages.
type results struct {
	w        io.Writer
	verbose  bool // keep the output of tests that passed
	packages map[string]*result
	failed   []*result // in the order in which they ended
}

// result is a package. Subtests belong to the test they are part of.
type result struct {
	name   string
	text   strings.Builder             // what belongs to no test
	tests  map[string]*strings.Builder // outputs of tests that run or failed
	failed []string
	built  bool
}

func newResults(w io.Writer) *results { return &results{w: w, packages: map[string]*result{}} }

// read takes in the output of go test -json; lines that are no events are passed on.
func (r *results) read(stdout io.Reader) {
	in := bufio.NewReader(stdout)
	for {
		line, err := in.ReadString('\n')
		var e event
		if json.Unmarshal([]byte(line), &e) == nil && e.Action != "" {
			r.add(e)
		} else {
			fmt.Fprint(r.w, line)
		}
		if err != nil {
			return
		}
	}
}

func (r *results) add(e event) {
	if e.Package == "" { // of a build
		fmt.Fprint(r.w, e.Output)
		return
	}
	p := r.packages[e.Package]
	if p == nil {
		p = &result{name: e.Package, tests: map[string]*strings.Builder{}, built: true}
		r.packages[e.Package] = p
	}
	if e.Test == "" {
		r.addPackage(p, e)
		return
	}
	name, _, sub := strings.Cut(e.Test, "/")
	switch {
	case e.Action == "output":
		if p.tests[name] == nil {
			p.tests[name] = &strings.Builder{}
		}
		p.tests[name].WriteString(e.Output)
	case sub:
	case e.Action == "fail":
		p.failed = append(p.failed, name)
	case e.Action == "pass" && !r.verbose, e.Action == "skip":
		delete(p.tests, name)
	}
}

// summary is the line of a package that passed; the others are for those that failed.
var summary = regexp.MustCompile(`^(ok  |\?   )\t`)

func (r *results) addPackage(p *result, e event) {
	switch e.Action {
	case "output":
		if p.text.WriteString(e.Output); summary.MatchString(e.Output) {
			fmt.Fprint(r.w, e.Output)
		}
	case "fail":
		p.built = e.FailedBuild == ""
		r.failed = append(r.failed, p)
		for _, name := range p.failed {
			fmt.Fprint(r.w, p.tests[name].String())
		}
		fmt.Fprint(r.w, p.text.String())
		fmt.Fprintln(r.w)
	}
}

// serious is what no second run makes good.
var serious = regexp.MustCompile(`DATA RACE|(?i:\bleak)|(?m:^\s*(panic|fatal error): )|shows "(panic|BUG:)"`)

// isBlackBox reports whether a package tests the built gateway. conform is the table that one of them asks.
func isBlackBox(pkg string) bool {
	return strings.Contains(pkg, "/edge/e2e/") && !strings.HasSuffix(pkg, "/conform")
}

// mayRunAgain reports whether only black-box tests failed in the package, and each for itself.
func (p *result) mayRunAgain() bool {
	if !isBlackBox(p.name) || !p.built || len(p.failed) == 0 {
		return false
	}
	for _, name := range p.failed {
		if serious.MatchString(p.tests[name].String()) {
			return false
		}
	}
	return !serious.MatchString(p.text.String())
}
