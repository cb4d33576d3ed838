package splice

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// ends are the descriptors of a pipe.
type ends struct{ r, w int }

func (e ends) close() {
	_ = unix.Close(e.r) // nothing can be done about a failed close
	_ = unix.Close(e.w)
	made.Add(-1)
}

// closeWhenUnreachable sees to it that the pool, which drops pipes without telling, leaves no descriptor
// behind.
func (p *Pipe) closeWhenUnreachable() {
	p.cleanup = runtime.AddCleanup(p, ends.close, ends{p.r, p.w})
}

// close closes the pipe and what is in it now.
func (p *Pipe) close() {
	p.cleanup.Stop()
	ends{p.r, p.w}.close()
}
