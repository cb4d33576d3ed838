//go:build race

package bucket

// manyKeys is for how many keys tables are filled: the race detector makes each look into one ten times as dear.
const manyKeys = 100_000
