// Package hashkey finds what consistent_hash chooses a target by.
package hashkey

import (
	"net/netip"
	"strings"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/header"
	"github.com/penstock-edge/penstock/pool/balance"
	"github.com/penstock-edge/penstock/pool/section"
)

// Key is what consistent_hash chooses by.
type Key struct {
	kind string // "ip", "path", "uri", "header", "cookie", "query"; empty: the policy needs none
	name []byte
	seed uint64
}

// New returns the key of a pool; the zero Key when its policy needs none.
func New(conf *section.Config, seed uint64) Key {
	if conf.Balance != "consistent_hash" {
		return Key{}
	}
	kind, name, _ := strings.Cut(conf.HashKey, ":")
	return Key{kind: kind, name: []byte(name), seed: seed}
}

// Of returns the key of x; a request without the named part is keyed by its address.
func (k *Key) Of(x *edge.Exchange) uint64 {
	var room [128]byte
	switch k.kind {
	case "":
		return 0
	case "path":
		return balance.HashKey(k.seed, x.Path)
	case "uri":
		h := balance.HashKey(k.seed, x.Path)
		return balance.HashKey(h, x.Query)
	case "header":
		if v := x.Req.AppendKey(room[:0], header.View(k.name)); len(v) > 0 {
			return balance.HashKey(k.seed, v)
		}
	case "cookie":
		if v := x.AppendCookie(room[:0], k.name); len(v) > 0 {
			return balance.HashKey(k.seed, v)
		}
	case "query":
		if v := x.AppendParam(room[:0], k.name); len(v) > 0 {
			return balance.HashKey(k.seed, v)
		}
	}
	return k.ofAddr(x.Client)
}

func (k *Key) ofAddr(a netip.Addr) uint64 {
	b := a.As16()
	return balance.HashKey(k.seed, b[:])
}
