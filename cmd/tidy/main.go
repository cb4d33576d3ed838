// Command tidy checks what the compiler and the linters do not: which folder may import which, how long
// functions, files and lines may grow, how complex functions and how large packages may be, that exported
// names are documented and comments whole and in the words of the standard library, that the commands the
// Markdown files name exist, that every feature has its README and its test, that no file names the machine
// it was written on, and the form of the last commit's subject.
//
//	go run ./cmd/tidy [folder]
//	go run ./cmd/tidy -metrics [folder]
//	go run ./cmd/tidy -figures [folder]
//
// With -metrics it prints the page of all metrics instead, with -figures what it has counted.
//
// It prints one finding a line, as FILE:LINE: MESSAGE, and exits 1 when there is one, 2 when the tree
// cannot be read.
package main

import (
	"cmp"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
)

// finding is one thing to mend. Line 0 is printed as 1: the finding is about the whole file or folder.
type finding struct {
	file    string
	line    int
	message string
}

func main() {
	page := flag.Bool("metrics", false, "print the page of all metrics")
	counts := flag.Bool("figures", false, "print what is counted: lines, comments, interfaces, complexity")
	flag.Parse()
	var show func(*tree) string
	switch {
	case *page:
		show = metricsText
	case *counts:
		show = figuresText
	}
	os.Exit(run(cmp.Or(flag.Arg(0), "."), show, os.Stdout, os.Stderr))
}

// run checks the tree under root, or prints what show makes of it, and returns the exit status.
func run(root string, show func(*tree) string, stdout, stderr io.Writer) int {
	t, err := load(root)
	if err != nil {
		fmt.Fprintln(stderr, "tidy:", err)
		return 2
	}
	if show != nil {
		fmt.Fprint(stdout, show(t))
		return 0
	}
	found := append(check(t), checkSubject(root)...)
	for _, f := range found {
		fmt.Fprintf(stdout, "%s:%d: %s\n", f.file, max(f.line, 1), f.message)
	}
	if len(found) > 0 {
		return 1
	}
	return 0
}

// check runs every rule; the findings are sorted by file and line.
func check(t *tree) []finding {
	var found []finding
	for _, rule := range []func(*tree) []finding{
		checkParse, checkTop, checkImports, checkEngines, checkSizes, checkNames,
		checkDocs, checkCommands, checkWords, checkProse, checkTorn, checkFeatures, checkMetrics,
		checkComplexity, checkFigures, checkSeam,
	} {
		found = append(found, rule(t)...)
	}
	slices.SortFunc(found, func(a, b finding) int {
		byPlace := cmp.Or(cmp.Compare(a.file, b.file), cmp.Compare(a.line, b.line))
		return cmp.Or(byPlace, cmp.Compare(a.message, b.message))
	})
	return slices.Compact(found)
}
