//go:build sim

package fleet

// wires has the client use one connection: among several it draws, and nobody can repeat what.
const wires = -1
