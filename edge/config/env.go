package config

import (
	"fmt"
	"strings"

	"github.com/penstock-edge/penstock/edge/config/lex"
)

// expand replaces ${NAME} in every string below n.
func (f *File) expand(n *node) {
	for _, kid := range n.kids {
		f.expand(kid)
	}
	text, ok := n.value.(string)
	if !ok || !strings.Contains(text, "${") {
		return
	}
	expanded, msg := expandEnv(text, func(name string) (string, bool) {
		value, ok := f.options.Env(name)
		f.hide(value, "${"+name+"}")
		return value, ok
	})
	if msg != "" {
		f.wrong(n, "", msg)
	}
	n.value = expanded
	if expanded != text {
		f.note(expanded, text)
	}
}

// expandEnv returns text with ${NAME} replaced by the variable and $${ by ${. What a variable holds is not
// looked at again. The message is what is wrong, "" if nothing.
func expandEnv(text string, env func(string) (string, bool)) (expanded, msg string) {
	var b strings.Builder
	for {
		i := strings.Index(text, "${")
		if i < 0 {
			b.WriteString(text)
			return b.String(), ""
		}
		if i > 0 && text[i-1] == '$' {
			b.WriteString(text[:i-1])
			b.WriteString("${")
			text = text[i+2:]
			continue
		}
		b.WriteString(text[:i])
		name, rest, closed := strings.Cut(text[i+2:], "}")
		if !closed || !isVariable(name) {
			return "", `"${" begins a variable such as ${HOME}: write "$${" for the characters themselves`
		}
		value, ok := env(name)
		if !ok {
			return "", fmt.Sprintf("the environment variable %s is not set", name)
		}
		b.WriteString(value)
		text = rest
	}
}

func isVariable(name string) bool {
	for i := range len(name) {
		c := name[i]
		if c == '-' || !lex.IsBareKeyByte(c) || i == 0 && '0' <= c && c <= '9' {
			return false
		}
	}
	return name != ""
}
