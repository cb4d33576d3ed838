package config

const (
	maxFileBytes = 64 << 20
	maxDepth     = 64 // lists and inline tables within each other
	maxDots      = 64 // parts of one dotted key
)

// tooDeep returns the offset at which text nests lists and inline tables, or strings keys together with
// dots, beyond what a person writes. The parser recurses for each level and does work that is quadratic in
// the parts of a key: a hostile file of one megabyte would take the process down.
func tooDeep(text string) (int, bool) {
	depth, dots := 0, 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '#':
			i = skipComment(text, i) - 1
		case '"', '\'':
			i = skipString(text, i) - 1
		case '[', '{':
			depth, dots = depth+1, 0
		case ']', '}':
			depth, dots = max(depth-1, 0), 0
		case '=', ',', '\n':
			dots = 0
		case '.':
			dots++
		}
		if depth > maxDepth || dots > maxDots {
			return i, true
		}
	}
	return 0, false
}
