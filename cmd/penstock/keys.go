package main

import (
	"fmt"
	"strings"

	"github.com/penstock-edge/penstock/configs"
)

type keysCmd struct {
	Section string `arg:"" optional:"" help:"Only sections whose name begins so, as pool." placeholder:"SECTION"`
}

// Help implements kong.HelpProvider.
func (keysCmd) Help() string {
	return `Each key with its type, its default and its meaning. configs/full.toml shows them in use.

Example:

  penstock keys pool.NAME.health`
}

// Run prints the keys, a line each, by section.
func (k *keysCmd) Run(c *console) error {
	found := false
	for section := range strings.SplitSeq(configs.Keys, "\n\n") {
		if strings.HasPrefix(section, "["+k.Section) {
			c.printf("\n%s\n", strings.TrimSuffix(section, "\n"))
			found = true
		}
	}
	if !found {
		return fmt.Errorf("no section begins with %q: penstock keys lists all", k.Section)
	}
	return nil
}
