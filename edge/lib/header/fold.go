package header

import "strings"

// AppendFold appends what a name is to programs that put fields into variables, such as targets of the CGI
// kind: its letters in lower case, its digits, and "-" for every other byte. X_Forwarded_For and
// X.Forwarded.For are X-Forwarded-For to them.
func AppendFold(dst, name []byte) []byte {
	for _, c := range name {
		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
			dst = append(dst, c)
		case 'A' <= c && c <= 'Z':
			dst = append(dst, c-'A'+'a')
		default:
			dst = append(dst, '-')
		}
	}
	return dst
}

// Names are names of fields that nobody else may send, whatever their spelling.
type Names struct {
	exact    map[string]bool // by folded name
	prefixes []string        // likewise
}

// NewNames returns the names in list; a * at the end of one stands for whatever follows.
func NewNames(list ...string) *Names {
	n := &Names{exact: make(map[string]bool)}
	for _, name := range list {
		name, open := strings.CutSuffix(name, "*")
		folded := string(AppendFold(nil, []byte(name)))
		if open {
			n.prefixes = append(n.prefixes, folded)
			continue
		}
		n.exact[folded] = true
	}
	return n
}

// Cover reports whether name could be taken for one of n.
func (n *Names) Cover(name []byte) bool {
	var room [64]byte
	folded := AppendFold(room[:0], name)
	if n.exact[string(folded)] {
		return true
	}
	for _, p := range n.prefixes {
		if strings.HasPrefix(View(folded), p) {
			return true
		}
	}
	return false
}

// IsPlain reports whether a name has letters, digits and hyphens only: it can be taken for no other then.
func IsPlain(name []byte) bool {
	for _, c := range name {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-':
		default:
			return false
		}
	}
	return true
}
