// Package configs holds the configurations that are shipped, and what the binary says about their keys.
package configs

import _ "embed"

// Keys is keys.txt: every key by section, with type, default and meaning.
//
//go:embed keys.txt
var Keys string
