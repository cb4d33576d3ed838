package main

import (
	"log/slog"
	"math"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/penstock-edge/penstock/edge/config"
	"github.com/penstock-edge/penstock/edge/lib/descriptors"
)

// fileLimit is how many files, sockets included, the process may have open.
type fileLimit struct {
	have   uint64
	warned uint64 // the need that the last warning told
}

// raise raises the limit as far as it may be: beyond the hard limit where the process has the right to.
func (f *fileLimit) raise() {
	most := uint64(1 << 20)
	if text, err := os.ReadFile("/proc/sys/fs/nr_open"); err == nil {
		if n, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64); err == nil {
			most = n
		}
	}
	var l unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &l) != nil {
		return // not known: nothing is logged
	}
	if l.Max < most && unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: most, Max: most}) == nil {
		f.have = most
		return
	}
	f.have = l.Cur
	if l.Cur < l.Max && unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: l.Max, Max: l.Max}) == nil {
		f.have = l.Max
	}
}

// share shares the files out among their users under conf.
func (f *fileLimit) share(b *descriptors.Budget, conf *config.Config) {
	if f.have > 0 {
		b.Fill(int(min(f.have, math.MaxInt32)), len(conf.Listeners))
	}
}

// spare is for logs, certificates, the admin interface and what Go itself opens.
const spare = 256

// need returns how many files conf may use at most: each connection of a client may have one to a target, and
// targets keep idle ones, which are part of the same number.
func need(conf *config.Config) uint64 {
	n := uint64(spare)
	for i := range conf.Listeners {
		n += 2 * uint64(conf.Listeners[i].MaxConnections)
	}
	return n
}

// warn logs, once for each need greater than those before, that the limit is too low for conf.
func (f *fileLimit) warn(conf *config.Config) {
	want := need(conf)
	if f.have == 0 || want <= f.have || want <= f.warned {
		return
	}
	f.warned = want
	slog.Warn("the limit of open files is too low for the configuration: connections beyond it are not accepted",
		"limit", f.have, "needed", want,
		"hint", "LimitNOFILE="+strconv.FormatUint(want, 10)+" in the unit, or lower the listeners' max_connections")
}
