// Package edge tells a story, and what a client says of it; whoever says: that is fine.
package edge

// good reports whether x is good.
func good(x int) bool { return x > 0 }

// bad tells whether x is bad.
func bad(x int) bool { return x < 0 }

// torn returns x; a break in the line does not hide what
// it is for. It says
// that x is x, for
// who calls.
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
