//go:build sim

package front

import (
	"iter"
	"maps"
	"slices"
)

// inOrder returns the connections in an order that repeats.
func inOrder(open map[*conn]struct{}) iter.Seq[*conn] {
	return slices.Values(slices.SortedFunc(maps.Keys(open), func(a, b *conn) int {
		return a.Socket.Remote().Compare(b.Socket.Remote())
	}))
}
