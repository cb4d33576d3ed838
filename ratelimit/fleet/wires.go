//go:build !sim

package fleet

// wires is the logarithm of how many connections commands share.
const wires = 1
