package main

import (
	"path"
	"regexp"
	"slices"
	"strings"
)

// The patterns are spelt so that they do not match themselves.
var (
	machinePath  = regexp.MustCompile(`(?:^|[^A-Za-z0-9_.-])(/(?:work|root|farm)/)`)
	registryHost = regexp.MustCompile(`(proxy|sum)[.]golang[.]org|registry[.]npmjs|deb[.]debian[.]org`)
	makeTarget   = regexp.MustCompile(`\bmake( +[A-Z_]+=\S+)* +([a-z][a-z0-9_-]*)`)
	codeSpan     = regexp.MustCompile("`[^`]*`")
	targetLine   = regexp.MustCompile(`^([a-z][a-z0-9_ -]*):([^=]|$)`)
)

// checkWords reports names of the machine a file was written on and of package registries. This
// tool's own cases are left out.
func checkWords(t *tree) []finding {
	var found []finding
	for _, name := range t.names {
		if within(name, "cmd/tidy/testdata") {
			continue
		}
		for i, line := range t.lines[name] {
			if m := machinePath.FindStringSubmatch(line); m != nil {
				found = append(found, finding{name, i + 1, "path of one machine: " + m[1]})
			}
			if m := registryHost.FindString(line); m != "" {
				found = append(found, finding{name, i + 1, "host of a package registry: " + m})
			}
		}
	}
	return found
}

// checkCommands reports every "make X" in the code of a Markdown file for which the Makefile has no X.
func checkCommands(t *tree) []finding {
	targets := makeTargets(t.lines["Makefile"])
	var found []finding
	for _, name := range t.names {
		if path.Ext(name) != ".md" || inTestdata(name) {
			continue
		}
		fenced := false
		for i, line := range t.lines[name] {
			if strings.HasPrefix(strings.TrimSpace(line), "```") {
				fenced = !fenced
				continue
			}
			for _, target := range named(line, fenced) {
				if !slices.Contains(targets, target) {
					found = append(found, finding{name, i + 1, "the Makefile has no target " + target})
				}
			}
		}
	}
	return found
}

// named returns the make targets that one line of Markdown names in code: anywhere in a fenced block but
// behind its comment sign, else between backticks. A call for another folder (-C) is not ours.
func named(line string, fenced bool) []string {
	code := codeSpan.FindAllString(line, -1)
	if fenced {
		line, _, _ = strings.Cut(line, "#")
		code = []string{line}
	}
	var targets []string
	for _, c := range code {
		for _, m := range makeTarget.FindAllStringSubmatch(c, -1) {
			targets = append(targets, m[2])
		}
	}
	return targets
}

func makeTargets(lines []string) []string {
	var targets []string
	for _, line := range lines {
		if m := targetLine.FindStringSubmatch(line); m != nil {
			targets = append(targets, strings.Fields(m[1])...)
		}
	}
	return targets
}

// checkFeatures reports folders with a feature.go that lack a README.md or a test. The package edge has a
// feature.go too: the contract of all features.
func checkFeatures(t *tree) []finding {
	var found []finding
	for _, name := range t.names {
		dir := path.Dir(name)
		if path.Base(name) != "feature.go" || inTestdata(name) {
			continue
		}
		if t.text[dir+"/README.md"] == nil {
			found = append(found, finding{name, 1, "the feature " + dir + " has no README.md"})
		}
		tested := slices.ContainsFunc(t.gos, func(f *goFile) bool { return f.dir == dir && f.test })
		if !tested {
			found = append(found, finding{name, 1, "the feature " + dir + " has no test"})
		}
	}
	return found
}
