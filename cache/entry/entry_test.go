package entry

import (
	"bytes"
	"fmt"
	"github.com/penstock-edge/penstock/cache/accept"
	"pgregory.net/rapid"
	"testing"
)

// TestEntry: what is appended is parsed again, and nothing else makes an entry that panics.
func TestEntry(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		part := func(name string) []byte { return rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(t, name) }
		number := func(name string) int64 { return rapid.Int64().Draw(t, name) }
		e := &Entry{number("at"), number("age"), number("number"), number("lifetime"), number("revive"), number("rescue"),
			number("modified"), number("date"), int(rapid.Uint16().Draw(t, "status")), rapid.Uint16().Draw(t, "flags"),
			accept.Forms(rapid.Uint16().Draw(t, "forms")), part("key"), part("etag"),
			part("hashes"), part("vary"), part("search"), part("reason"), part("lines")}
		b := e.Append(nil)
		var back Entry
		if err := back.Parse(b); err != nil || fmt.Sprint(back) != fmt.Sprint(*e) {
			t.Fatalf("%v: %v, want %v", err, back, *e)
		}
		cut := rapid.IntRange(0, len(b)-1).Draw(t, "cut")
		if back.Parse(b[:cut]) == nil {
			t.Fatalf("%d of %d bytes are an entry", cut, len(b))
		}
	})
}

func FuzzEntry(f *testing.F) {
	f.Add((&Entry{Key: []byte("k"), Lines: []byte("A: b\r\n")}).Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		var e Entry
		if e.Parse(b) == nil && !bytes.Equal(e.Append(nil), b) {
			t.Error("another entry would have these bytes")
		}
	})
}
