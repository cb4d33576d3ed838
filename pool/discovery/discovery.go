// Package discovery finds the targets of a pool elsewhere than in the gateway's own file: in DNS, in a file
// of their own, in Consul, in Kubernetes or in etcd.
package discovery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/penstock-edge/penstock/edge/config"
)

// Endpoint is one target that a source has found.
type Endpoint struct {
	// Address is host:port, the host an IP in its canonical form or a name; from a file also unix:/path.
	Address string `json:"address"`
	Weight  int32  `json:"weight"`           // 0 to 65535; 0: it takes no new clients
	Zone    string `json:"zone,omitempty"`   // "" when the source does not say
	Backup  bool   `json:"backup,omitempty"` // asked only when no other target can be
	Drain   bool   `json:"drain,omitempty"`  // it takes no new clients
}

// Source is one place to ask for the targets of a pool.
type Source interface {
	// Run asks and watches until ctx ends, and leaves nothing behind. It calls tell, in its own goroutine,
	// with each complete set, sorted by address and without doubles, that differs from the one told before or
	// follows an error; or with an error when asking failed or found nothing, and then the last set still
	// stands. The set is never empty and is the callee's. Run may be called more than once, also at the same
	// time.
	Run(ctx context.Context, tell func([]Endpoint, error))
	// String names the source and what it is asked for, without secrets. Two sources of one name find the
	// same targets.
	String() string
}

// Dropper is implemented by every Source of this package.
type Dropper interface {
	// Dropped returns how many targets were left out so far because their address was no address. One that
	// stands in ten answers counts ten times.
	Dropped() int64
}

// MaxEndpoints is how many targets a set may have; an answer with more is an error.
const MaxEndpoints = 65535

const (
	maxWeight   = 65535
	maxZoneSize = 253
)

// errEmpty is reported when a source answers well, but with no target.
var errEmpty = errors.New("the answer is empty: there is no target in it")

// origin is what all sources have.
type origin struct {
	drops   atomic.Int64
	longest time.Duration // bound of the pauses after failures; 0: maxBackoff
}

// Dropped is that of Dropper.
func (o *origin) Dropped() int64 { return o.drops.Load() }

// answer collects the targets of one answer from outside.
type answer struct {
	list    []Endpoint
	dropped int
	why     error // of the first one that was dropped
}

// add takes a target, or drops it if it cannot be one. A weight out of range is brought into it.
func (a *answer) add(e Endpoint) {
	address, err := cleanAddress(e.Address)
	if err != nil {
		a.drop(err)
		return
	}
	e.Address = address
	e.Weight = min(max(e.Weight, 0), maxWeight)
	if !isZone(e.Zone) {
		e.Zone = ""
	}
	a.list = append(a.list, e)
}

func (a *answer) drop(why error) {
	a.dropped++
	if a.why == nil {
		a.why = why
	}
}

// set returns the targets sorted and without doubles. Of two with one address the ordinary one is kept, then
// the one with the greater weight.
func (a *answer) set() ([]Endpoint, error) {
	slices.SortFunc(a.list, func(x, y Endpoint) int {
		return cmp.Or(cmp.Compare(x.Address, y.Address), order(x.Backup, y.Backup), cmp.Compare(y.Weight, x.Weight),
			order(x.Drain, y.Drain), cmp.Compare(x.Zone, y.Zone))
	})
	a.list = slices.CompactFunc(a.list, func(x, y Endpoint) bool { return x.Address == y.Address })
	switch {
	case len(a.list) > MaxEndpoints:
		return nil, fmt.Errorf("the answer has %d targets: at most %d are taken", len(a.list), MaxEndpoints)
	case len(a.list) > 0:
		return a.list, nil
	case a.dropped > 0:
		return nil, fmt.Errorf("%w that can be used, %d cannot: %w", errEmpty, a.dropped, a.why)
	}
	return nil, errEmpty
}

// order puts false before true.
func order(x, y bool) int {
	switch {
	case x == y:
		return 0
	case x:
		return 1
	}
	return -1
}

// cleanAddress returns host:port in its one form.
func cleanAddress(address string) (string, error) {
	host, digits, err := net.SplitHostPort(address)
	if err != nil { // what stands before an @ may be a password
		return "", fmt.Errorf("%s is not host:port", quote(address[strings.LastIndexByte(address, '@')+1:]))
	}
	port, err := strconv.ParseUint(digits, 10, 16)
	if err != nil || port == 0 {
		return "", fmt.Errorf("%s has no port from 1 to 65535", quote(address))
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		ip = ip.Unmap()
		if ip.IsUnspecified() || ip.IsMulticast() {
			return "", fmt.Errorf("%s is no address of one machine", quote(address))
		}
		return netip.AddrPortFrom(ip, uint16(port)).String(), nil
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if !config.IsHostName(host) {
		return "", fmt.Errorf("%s names no host", quote(address))
	}
	return net.JoinHostPort(host, strconv.FormatUint(port, 10)), nil
}

// isZone reports whether s can be the name of a zone: it ends up in metrics and logs.
func isZone(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return len(s) <= maxZoneSize
}

// quote shows text from outside in a message, on one line and not whole if it is long.
func quote(s string) string {
	const most = 120
	if len(s) > most {
		return strconv.Quote(s[:most]) + "…"
	}
	return strconv.Quote(s)
}
