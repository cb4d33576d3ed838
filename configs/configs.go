// Package configs holds the configurations that are shipped, for those who need one inside the binary.
package configs

import _ "embed"

// Full is full.toml: every key with its default and meaning.
//
//go:embed full.toml
var Full string
