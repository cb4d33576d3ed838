package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/penstock-edge/penstock/edge/lib/statefile"
)

// The unit's RuntimeDirectory= has a file with the admin address of the process that serves: the
// configuration may name another one by now, or be broken.
const addressFile = "admin-address"

// runtimeFolder is the RuntimeDirectory= of the unit that this process belongs to; empty: it belongs to none.
func runtimeFolder() string {
	first, _, _ := strings.Cut(os.Getenv("RUNTIME_DIRECTORY"), ":")
	return first
}

// publish writes down where the admin interface is.
func publish(address string) {
	if dir := runtimeFolder(); dir != "" {
		_ = statefile.File{Dir: dir, Name: addressFile}.Write([]byte(address + "\n")) // the file's is taken instead
	}
}

// published returns the address written down; empty: there is none.
func published() string {
	dir := runtimeFolder()
	if dir == "" {
		return ""
	}
	b, err := os.ReadFile(filepath.Join(dir, addressFile))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

var adminAddress = regexp.MustCompile(
	`(?m)^[ \t]*\[admin\][ \t]*(?:#.*)?\r?\n` + // the table
		`(?:[ \t]*(?:[^\[ \t\r\n].*)?\r?\n)*?` + // its other keys
		`[ \t]*address[ \t]*=[ \t]*["']([^"'\r\n]+)["']`)

// addressIn looks for the admin address in a file that cannot be read as a whole; empty: it is not there.
func addressIn(text []byte) string {
	if m := adminAddress.FindSubmatch(text); m != nil {
		return string(m[1])
	}
	return ""
}
