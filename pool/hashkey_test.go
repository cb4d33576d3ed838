package pool

import (
	"testing"

	"github.com/penstock-edge/penstock/pool/section"
)

func TestHashKey(t *testing.T) {
	x := newExchange()
	k := newHashKey(&section.Config{Balance: "consistent_hash", HashKey: "header:X-User-Id"}, 7)
	x.Req.Set("X-User-Id", "42")
	with := k.of(x)
	x.Req.Set("X-User-Id", "43")
	if with == k.of(x) {
		t.Fatal("two users have one key")
	}
}
