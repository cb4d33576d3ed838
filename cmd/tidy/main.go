// Command tidy checks what the compiler and the linters do not: which folder may import which, how long
// functions, files and lines may grow, that exported names are documented, that the commands the Markdown
// files name exist, that every feature has its README and its test, and that no file names the machine it
// was written on.
//
//	go run ./cmd/tidy [folder]
//	go run ./cmd/tidy -metrics [folder]
//
// With -metrics it prints the page of all metrics instead.
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
	flag.Parse()
	os.Exit(run(cmp.Or(flag.Arg(0), "."), *page, os.Stdout, os.Stderr))
}

// run checks the tree under root, or prints the page of its metrics, and returns the exit status.
func run(root string, page bool, stdout, stderr io.Writer) int {
	t, err := load(root)
	if err != nil {
		fmt.Fprintln(stderr, "tidy:", err)
		return 2
	}
	if page {
		fmt.Fprint(stdout, metricsText(t))
		return 0
	}
	found := check(t)
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
		checkDocs, checkCommands, checkWords, checkProse, checkFeatures, checkMetrics,
	} {
		found = append(found, rule(t)...)
	}
	slices.SortFunc(found, func(a, b finding) int {
		byPlace := cmp.Or(cmp.Compare(a.file, b.file), cmp.Compare(a.line, b.line))
		return cmp.Or(byPlace, cmp.Compare(a.message, b.message))
	})
	return slices.Compact(found)
}
