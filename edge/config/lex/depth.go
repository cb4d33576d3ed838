package lex

const (
	MaxDepth = 64 // lists and inline tables within each other, in text that is not too deep
	maxDots  = 64 // parts of one dotted key
)

// TooDeep returns the offset at which text nests lists and inline tables, or strings keys together with
// dots, beyond what a person writes. The parser recurses for each level and does work that is quadratic in
// the parts of a key: a hostile file of one megabyte would take the process down.
func TooDeep(text string) (int, bool) {
	depth, dots := 0, 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '#':
			i = SkipComment(text, i) - 1
		case '"', '\'':
			i = SkipString(text, i) - 1
		case '[', '{':
			depth, dots = depth+1, 0
		case ']', '}':
			depth, dots = max(depth-1, 0), 0
		case '=', ',', '\n':
			dots = 0
		case '.':
			dots++
		}
		if depth > MaxDepth || dots > maxDots {
			return i, true
		}
	}
	return 0, false
}
