//go:build sim

package sim

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// names is a name server.
type names struct {
	w     *world
	d     *draws
	at    netip.AddrPort
	has   []netip.AddrPort
	conns []*end
	some  bool
}

func newNames(w *world, has []netip.AddrPort) *names {
	n := &names{w: w, d: w.drawsOf("names"), at: netip.MustParseAddrPort("10.0.3.1:53"), has: has}
	w.net.remotes[n.at] = func(e *end) {
		e.name = "names"
		e.actor = func() { n.some = true }
		n.conns = append(n.conns, e)
	}
	return n
}

func (n *names) ready() bool { return n.some }

func (n *names) done() bool { return true }

// act answers what has been asked: with some of the addresses, with an error, with junk, or not.
func (n *names) act() {
	n.some = false
	n.w.net.mu.Lock()
	defer n.w.net.mu.Unlock()
	var buf [1024]byte
	for i := 0; i < len(n.conns); i++ {
		e := n.conns[i]
		size, errno := e.recv(buf[:])
		if size == 0 {
			if errno == 0 { // whoever asked has gone
				e.close()
				n.conns = append(n.conns[:i], n.conns[i+1:]...)
				i--
			}
			continue
		}
		var m, reply dns.Msg
		if err := m.Unpack(buf[:size]); err != nil || len(m.Question) != 1 {
			n.w.breaks("names", "what is asked is no question: %v", err)
			continue
		}
		reply.SetReply(&m)
		switch n.d.n(8) {
		case 7:
			n.w.note("names", "does not answer")
			continue
		case 6:
			reply.Rcode = dns.RcodeServerFailure
		case 5:
			reply.Question[0].Name = "other.sim."
		default:
			some := n.has[:1+n.d.n(len(n.has))]
			for _, a := range some {
				rr, _ := dns.NewRR(fmt.Sprintf("%s 1 IN A %s", m.Question[0].Name, a.Addr()))
				reply.Answer = append(reply.Answer, rr)
			}
		}
		n.w.note("names", "answers, code %d, %d addresses", reply.Rcode, len(reply.Answer))
		if b, err := reply.Pack(); err == nil {
			e.send(b)
		}
	}
}

// targetFile is a file with targets, which somebody writes well or badly.
type targetFile struct {
	w    *world
	d    *draws
	path string
	has  []netip.AddrPort
	next time.Time
	left int
}

func newTargetFile(w *world, has []netip.AddrPort) *targetFile {
	f := &targetFile{w: w, d: w.drawsOf("file"), path: filepath.Join(w.dir, "targets.toml"), has: has}
	f.left = f.d.n(6)
	f.write(len(has))
	return f
}

func (f *targetFile) ready() bool { return f.left > 0 && !time.Now().Before(f.next) }

func (f *targetFile) done() bool { return f.left == 0 }

func (f *targetFile) act() {
	f.left--
	f.next = time.Now().Add(f.d.wait(4 * time.Second))
	switch f.d.n(4) {
	case 0:
		f.write(1 + f.d.n(len(f.has)))
	case 1:
		f.put("targets = [")
	case 2:
		os.Remove(f.path)
		f.w.note("file", "is removed")
	case 3:
		f.put(fmt.Sprintf("targets = [{ address = %q, weight = %d }]", f.has[0], f.d.n(3)))
	}
}

func (f *targetFile) write(n int) {
	var all []string
	for _, a := range f.has[:n] {
		all = append(all, fmt.Sprintf("%q", a))
	}
	f.put("targets = [" + strings.Join(all, ", ") + "]")
}

func (f *targetFile) put(text string) {
	f.w.note("file", "%s", text)
	if err := os.WriteFile(f.path+".new", []byte(text), 0o600); err != nil {
		f.w.t.Fatal(err)
	}
	if err := os.Rename(f.path+".new", f.path); err != nil {
		f.w.t.Fatal(err)
	}
}
