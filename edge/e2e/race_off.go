//go:build !race

package e2e

// RaceEnabled reports whether the tests and the gateway run under the race detector.
const RaceEnabled = false
