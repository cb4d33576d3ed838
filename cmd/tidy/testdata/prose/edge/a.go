// Package edge tells a story, and what a client says of it; whoever says: that is fine.
package edge

// good reports whether x is good, for who asks.
func good(x int) bool { return x > 0 }

// bad tells whether x is bad.
func bad(x int) bool { return x < 0 }

// torn returns x; a break in the line does not hide what is banned, and its first line counts. It says
// that x is x.
func torn(x int) int { return x } // Says if it is

// why says what is wrong.
func why() {}

type (
	// told says nothing.
	told struct{}

	// survey looks around.
	survey struct{}
)

// Take takes.
func (told) Take() {}

// takeField takes a field.
func takeField() {}
