package config

import (
	"os"
	"reflect"
	"strings"
	"testing"
)

// The example of the README is a good file, and what it shows as defaults are the defaults.
func TestReadmeExample(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, example, _ := strings.Cut(string(text), "```toml\n")
	example, _, ok := strings.Cut(example, "```")
	if !ok {
		t.Fatal("no example")
	}
	got := Load("README.md", []byte(example), testOptions())
	if errs := got.File.Finish(); errs != nil {
		t.Fatal(errs)
	}
	bare := Load("x", []byte("[[listener]]\naddress = ':1'\n[[route]]\nprefix = '/'"), testOptions())
	want, have := bare.Listeners[0], got.Listeners[0]
	have.Name, have.Address, have.Certificates, have.Table = want.Name, want.Address, nil, want.Table
	f := func(same bool, what string) {
		t.Helper()
		if !same {
			t.Errorf("the README shows another default of %s", what)
		}
	}
	f(got.Server.DrainTimeout == bare.Server.DrainTimeout, "server")
	f(got.Admin.Address == bare.Admin.Address, "admin")
	f(got.Log.Level == bare.Log.Level, "log")
	f(reflect.DeepEqual(have, want), "listener")
	f(got.Routes[0].Timeout == bare.Routes[0].Timeout && got.Routes[0].Priority == 0, "route")
}
