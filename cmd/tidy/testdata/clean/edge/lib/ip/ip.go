// Package ip stands on the standard library, x/sys and one engine.
package ip

import (
	_ "net/netip"

	_ "example.org/engine"
	_ "example.org/engine/sub"
	_ "golang.org/x/sys/unix"
)
