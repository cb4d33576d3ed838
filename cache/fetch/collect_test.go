package fetch

import (
	"errors"
	"io"
	"testing"

	"github.com/penstock-edge/penstock/cache/cachetest"
	"github.com/penstock-edge/penstock/cache/entry"
	"github.com/penstock-edge/penstock/cache/flight"
	"github.com/penstock-edge/penstock/cache/key"
	"github.com/penstock-edge/penstock/cache/purge"
	"github.com/penstock-edge/penstock/cache/records"
	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/clock"
)

// staged is a body of which the first pieces are at hand, and the others have to be waited for.
type staged struct {
	edge.Opaque
	pieces []string
	atHand int
}

// Read implements edge.Body.
func (s *staged) Read(p []byte) (int, error) {
	if len(s.pieces) == 0 {
		return 0, io.EOF
	}
	n := copy(p, s.pieces[0])
	s.pieces, s.atHand = s.pieces[1:], s.atHand-1
	return n, nil
}

// Ready implements edge.Body.
func (s *staged) Ready() bool { return s.atHand > 0 }

// TestCollectAtHand: who leads a fetch takes what has come together with the head, and no more: it neither waits for
// the rest, nor for the readers of a body that is too large.
func TestCollectAtHand(t *testing.T) {
	f := func(name string, size, most int64, atHand int, want string, done bool) {
		t.Helper()
		c := &Fetcher{State: NewState(records.New(16<<20, records.NewDurable()), 16<<20)}
		text, url := new(key.Rules).Append(nil, cachetest.Request("/a"), "r")
		flight := flight.New(most, &c.Bodies)
		flight.Size = size
		flight.Entry = &entry.Entry{At: c.Millis(clock.Now()), Lifetime: 10_000, Status: 200, Key: text}
		flight.Entry.Hashes = purge.AppendHashes(nil, url, nil)
		reader := flight.Read()
		y := cachetest.Request("/a")
		y.Out = &staged{pieces: []string{"one", "two"}, atHand: atHand}
		fetch := &Fetch{c: c, Exchange: y, Flight: flight, room: firstPiece}
		stored, ended := fetch.collect(c.Hash(text), false)
		if ended != done || stored != done || c.Store.Has(c.Hash(text)) != done {
			t.Errorf("%s: ended %v, stored %v, want %v", name, ended, stored, done)
		}
		got := ""
		for {
			piece, err := reader.Piece(false)
			if got += string(piece); err == nil {
				continue
			}
			if done != errors.Is(err, io.EOF) || !done && !errors.Is(err, edge.ErrWait) {
				t.Errorf("%s: %v", name, err)
			}
			break
		}
		if got != want {
			t.Errorf("%s: %q is there, want %q", name, got, want)
		}
		if !done { // the rest comes
			fetch.collect(c.Hash(text), true)
		}
		if o, _, ok := c.Store.Get(c.Hash(text), nil); ok != (most >= 6) || ok && string(o.Body) != "onetwo" {
			t.Errorf("%s: stored in the end: %v", name, ok)
		}
		if err := reader.Close(); err != nil {
			t.Error(err)
		}
	}
	f("nothing", 6, 1<<20, 0, "", false)
	f("a part", 6, 1<<20, 1, "one", false)
	f("all", 6, 1<<20, 3, "onetwo", true)
	f("all, of no known length", -1, 1<<20, 3, "onetwo", true)
	f("a part, of no known length", -1, 1<<20, 1, "one", false)
	f("perhaps too large", -1, firstPiece-1, 3, "", false)
}
