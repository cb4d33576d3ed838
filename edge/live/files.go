package live

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/penstock-edge/penstock/edge/config"
	"github.com/penstock-edge/penstock/edge/lib/smallfile"
)

// named are the keys whose value is a file that the gateway reads, by what the file is called in a line about
// it. Files that it writes change by themselves.
var named = map[string]string{
	"cert": "certificate", "key": "certificate key", "ca": "authorities", "crl": "revocations",
	"file":       "targets",
	"token_file": "file", "ca_file": "authorities", "warm": "file",
}

// files adds what the files hold that a table names, and the tables below it.
func (p *parts) files(h *hasher, t *config.Table) {
	for _, key := range t.Keys() {
		v, _ := t.Value(key)
		if t.Path() == "" && key == "rate_limit" {
			continue // its files are written
		}
		p.filesOf(h, key, v)
	}
}

func (p *parts) filesOf(h *hasher, key string, v config.Value) {
	if sub := v.Table(); sub != nil {
		p.files(h, sub)
		return
	}
	for _, e := range v.List() {
		p.filesOf(h, key, e)
	}
	text, _ := v.String()
	what := named[key]
	if path, secret := strings.CutPrefix(text, "file:"); secret {
		text, what = path, "file"
	}
	if what != "" && filepath.IsAbs(text) {
		p.add(what+" "+text, h.sumFile(text))
	}
}

// largestFile is up to what size a file is read for its hash; of a larger one its size and time count.
const largestFile = 1 << 20

// sumFile returns a hash of what a file holds; one that cannot be read is equal to all others that cannot.
func (h *hasher) sumFile(path string) uint64 {
	h.Reset()
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() {
		return h.Sum64()
	}
	h.number('f', uint64(info.Size()))
	if info.Size() > largestFile {
		h.number('t', uint64(info.ModTime().UnixNano()))
		return h.Sum64()
	}
	if b, err := smallfile.Read(path, largestFile); err == nil {
		_, _ = h.Write(b) // a hash takes everything
	}
	return h.Sum64()
}

// shortened returns lines for the log, which has one event for all of them.
func shortened(lines []string) []string {
	const most = 20
	if len(lines) <= most {
		return lines
	}
	return append(slices.Clone(lines[:most]), "and more")
}
