package main

import (
	_ "example.com/gate/cache"
	_ "example.com/gate/edge/auth"
	_ "example.com/gate/edge/live"
)

func init() {}
func main() {}

// Exported is documented nowhere and need not be: nobody can import main.
type Exported struct{}

func (Exported) Do() {}
