//go:build !race

package bucket

// manyKeys is for how many keys tables are filled.
const manyKeys = 2_000_000
