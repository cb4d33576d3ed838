package config

import (
	"strings"
	"testing"
)

// What stands for something else is shown as it is written, whoever makes the message.
func TestMessagesHideWhatIsExpanded(t *testing.T) {
	long := "long-secret-" + strings.Repeat("x", 200)
	env := map[string]string{"HOST": "User:Pass-Word@db.internal:9000", "LONG": long, "QUOTED": "a\"b\nsecret\x01", "N": "7"}
	f := Parse("f", []byte(`
a = "${HOST}"
b = "x-${LONG}-y"
c = "${QUOTED}"
d = "${N}"
e = "file:/secret"
`), Options{
		Env:      func(name string) (string, bool) { v, ok := env[name]; return v, ok },
		ReadFile: func(string) ([]byte, error) { return []byte("hunter2-of-the-file\n"), nil },
	})
	var c struct {
		A int    `toml:"a"`
		B bool   `toml:"b"`
		C []int  `toml:"c"`
		D string `toml:"d"`
		E Secret `toml:"e"`
	}
	f.Root.Decode(&c)
	f.Root.Errorf("d", "no server %q of user:pass-word@db.internal:9000 (%s, %q)", "Pass-Word", long[:60], env["QUOTED"])
	f.Root.Errorf("e", "cannot use %q", c.E.Reveal())
	f.Root.Warnf("d", "weak: %s", c.E.Reveal())
	text := f.Finish().Error() + f.Warnings().Error()
	for _, secret := range []string{"ass-", "assword", "db.internal", "long-secret", "xxxx", "secret\\x01", "hunter2"} {
		if strings.Contains(text, secret) {
			t.Errorf("%q is shown:\n%s", secret, text)
		}
	}
	for _, written := range []string{`is the string "${HOST}"`, `is the string "x-${LONG}-y"`, `is the string "${QUOTED}"`,
		`no server "${HOST}" of ${HOST} (${LONG}`, `cannot use "file:/secret"`, `weak: file:/secret`} {
		if !strings.Contains(text, written) {
			t.Errorf("%s is not shown:\n%s", written, text)
		}
	}
}
