package lookup

import (
	"errors"
	"strings"
	"testing"

	"github.com/penstock-edge/penstock/cache/cachetest"
	"github.com/penstock-edge/penstock/cache/chunks"
	"github.com/penstock-edge/penstock/cache/store"
	"github.com/penstock-edge/penstock/edge"
)

// TestPieceWithoutWaiting: a part that is gone has to come from somewhere else, for which a loop may not
// wait.
func TestPieceWithoutWaiting(t *testing.T) {
	c := newCache(t, "")
	body := strings.Repeat("0123456789", 50_000)
	x := cachetest.Request("/large")
	c.put(t, x, body, 100_000)
	if l := (&Filter{Cache: c, Route: "r"}); l.Run(x) != edge.Answered {
		t.Fatal("no hit")
	}
	p := x.Out
	first, err := p.Piece(false)
	if err != nil || string(first) != body[:len(first)] {
		t.Fatalf("%d bytes, %v", len(first), err)
	}
	filler := strings.Repeat("x", 500_000)
	for i := range 200 { // all of it goes
		c.put(t, cachetest.Request("/"+strings.Repeat("f", i+1)), filler, 100_000)
	}
	for range 2 {
		if b, err := p.Piece(false); !errors.Is(err, edge.ErrWait) {
			t.Fatalf("%d bytes, %v", len(b), err)
		}
	}
	x.Out.(*chunks.Reader).Entry.ETag = nil // the target cannot be asked for the rest
	if b, err := p.Piece(true); !errors.Is(err, store.ErrGone) {
		t.Fatalf("%d bytes, %v", len(b), err)
	}
}
