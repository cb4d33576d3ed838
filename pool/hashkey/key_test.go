package hashkey

import (
	"testing"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/pool/section"
)

func TestHashKey(t *testing.T) {
	x := &edge.Exchange{}
	k := New(&section.Config{Balance: "consistent_hash", HashKey: "header:X-User-Id"}, 7)
	x.Req.Set("X-User-Id", "42")
	with := k.Of(x)
	x.Req.Set("X-User-Id", "43")
	if with == k.Of(x) {
		t.Fatal("two users have one key")
	}
}
