package config

import (
	"fmt"

	"github.com/penstock-edge/penstock/edge/lib/caught"
)

// Guard calls f, one step of reading or building what the file asks for. A panic of it is no mistake of the
// user's, but the file cannot be taken all the same: it is recorded at the table that was read last, and
// returned for the log. Nothing that comes later is recorded any more: it would be an echo. nil: f returned.
func (f *File) Guard(step func()) *caught.Panic {
	p := caught.Call(step)
	if p != nil {
		f.giveUp(p)
	}
	return p
}

// giveUp records what a step panicked with.
func (f *File) giveUp(p *caught.Panic) {
	n := f.reading
	if n == nil {
		n = &node{}
	}
	const msg = "this section makes the gateway fail, which is a mistake of its own: %s"
	f.report(n.at, n.path(), "", fmt.Sprintf(msg, p))
	f.broken = true
}

// Failed reports whether there is nothing to build: the file is no TOML, or a step of reading it has failed.
func (f *File) Failed() bool { return f.broken }
