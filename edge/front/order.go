//go:build !sim

package front

import (
	"iter"
	"maps"
)

// inOrder returns the connections as they come.
func inOrder(open map[*conn]struct{}) iter.Seq[*conn] { return maps.Keys(open) }
