package config

import "testing"

func TestExpandEnv(t *testing.T) {
	f := func(text, want, wantMsg string) {
		t.Helper()
		got, msg := expandEnv(text, testOptions().Env)
		if got != want || msg != wantMsg {
			t.Errorf("%q: got %q, %q", text, got, msg)
		}
	}
	const bad = `"${" begins a variable such as ${HOME}: write "$${" for the characters themselves`
	f("${PORT}", "8080", "")
	f("a${PORT}b${PORT}", "a8080b8080", "")
	f("${EMPTY}", "", "")
	f("${NEST}", "${PORT}", "") // not looked at again
	f("$PORT $ {PORT} }", "$PORT $ {PORT} }", "")
	f("$${PORT}", "${PORT}", "")
	f("$$${PORT}", "$${PORT}", "")
	f("$${${PORT}}", "${8080}", "")
	f("${GONE}", "", "the environment variable GONE is not set")
	f("${", "", bad)
	f("${}", "", bad)
	f("${PORT", "", bad)
	f("${A B}", "", bad)
	f("${A-B}", "", bad)
	f("${1}", "", bad)
}
