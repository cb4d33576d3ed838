package main

import (
	"fmt"
	"regexp"
	"strings"
	"text/tabwriter"

	"github.com/penstock-edge/penstock/configs"
	"github.com/penstock-edge/penstock/edge/config"
	"github.com/penstock-edge/penstock/edge/live"
)

type keysCmd struct {
	Section string `arg:"" optional:"" help:"Only sections whose name begins so, as pool." placeholder:"SECTION"`
}

// Help implements kong.HelpProvider.
func (keysCmd) Help() string {
	return `Types and defaults are those that the binary decodes by, meanings those of configs/full.toml.

Example:

  penstock keys pool.NAME.health`
}

// Run prints the keys, a line each, by section.
func (k *keysCmd) Run(c *console) error {
	t := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	last := ""
	for _, one := range allKeys() {
		section := one.Section
		if !strings.HasPrefix(section, k.Section) {
			continue
		}
		if section != last {
			_, _ = fmt.Fprintf(t, "\n[%s]\n", section) // the error is that of Flush
			last = section
		}
		_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", one.Name, one.Type, one.Default, one.meaning) // as above
	}
	if last == "" {
		return fmt.Errorf("no section begins with %q: penstock keys lists all", k.Section)
	}
	return t.Flush()
}

// keyLine is a key with what configs/full.toml says of it.
type keyLine struct {
	config.Key
	meaning string
}

// allKeys returns the keys that the binary knows, in the order of their sections.
func allKeys() []keyLine {
	conf, meanings := knownKeys(), meaningsOf(configs.Full)
	var all []keyLine
	seen := map[[2]string]int{} // places in all, from 1
	for _, k := range conf {
		k.Section = general(k.Section)
		id := [2]string{k.Section, k.Name}
		if at := seen[id]; at > 0 && all[at-1].Type == "" {
			all[at-1].Type = k.Type // this example has the key
		}
		if k.Section == "" || seen[id] > 0 {
			continue // the sections themselves; the same in another example
		}
		seen[id] = len(all) + 1
		m := meanings[id]
		switch {
		case k.Required:
			k.Default = "required"
		case k.Default == "" && m.def != "":
			k.Default = m.def
		case k.Default == "":
			k.Default = "none"
		}
		if m.text == k.Default {
			m.text = "" // it says no more
		}
		all = append(all, keyLine{k, m.text})
	}
	return all
}

// knownKeys builds the full configuration: those who read its sections then know their keys. Some of its
// files are not there on most machines, which is no matter.
func knownKeys() []config.Key {
	return live.Known("full.toml", []byte(configs.Full), dryFeatures())
}

var (
	names   = regexp.MustCompile(`^(pool|rate_limit|cache|headers)\.[a-z0-9_-]+`)
	keyText = regexp.MustCompile(`^#?([a-z][a-z0-9_]*) = .*?(?: +# (.*))?$`)
	section = regexp.MustCompile(`^#?\[\[?([^\]]+)\]`)
)

// general returns the name of a section with NAME for what the file names: pool.NAME.tls.
func general(s string) string { return names.ReplaceAllString(s, "$1.NAME") }

// meaning is the comment behind a key: its default, and what it is.
type meaning struct{ def, text string }

// meaningsOf returns the comments behind keys, by section and key.
func meaningsOf(text string) map[[2]string]meaning {
	all := map[[2]string]meaning{}
	in, before := "", ""
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if m := section.FindStringSubmatch(line); m != nil {
			in = general(m[1])
			if i := strings.LastIndexByte(in, '.'); i > 0 && before != "" {
				all[[2]string{in[:i], in[i+1:]}] = meaning{"off", before}
			}
		} else if m := keyText.FindStringSubmatch(line); m != nil {
			id := [2]string{in, m[1]}
			if def, rest, ok := strings.Cut(m[2], "; "); all[id] == (meaning{}) {
				if !ok {
					rest = m[2]
				}
				all[id] = meaning{def, rest}
			}
		}
		if comment, ok := strings.CutPrefix(line, "# "); !ok {
			before = ""
		} else if before == "" {
			before, _, _ = strings.Cut(comment, ". ")
		}
	}
	return all
}
