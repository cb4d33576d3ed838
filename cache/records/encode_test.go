package records

import (
	"fmt"
	"github.com/penstock-edge/penstock/cache/accept"
	"github.com/penstock-edge/penstock/cache/entry"
	"strings"
	"sync"
	"testing"
)

// unit is how often a body of version repeats what its form has once.
const unit = 500

// shorten is a coding of the tests' own: the first of unit parts that are all the same.
var shorten = accept.Coding{Name: "gzip", Set: accept.Gzip, Encode: func(dst, src []byte) []byte { return append(dst, src[:len(src)/unit]...) }}

// version returns the entry of an answer, and its body.
func version(text []byte, n int) (*entry.Entry, []byte) {
	e := &entry.Entry{At: int64(n), Lifetime: 1 << 40, Status: 200, Key: text, Flags: entry.Encodes, ETag: fmt.Append(nil, `"`, n, `"`),
		Lines: fmt.Appendf(nil, "Content-Type: text/plain\r\nETag: \"%d\"\r\n", n)}
	return e, []byte(strings.Repeat(fmt.Sprint("version ", n, ". "), unit))
}

// decodedForm returns the decoded body and the tag of the encoded form of what has a key; false: there is none.
func decodedForm(t testing.TB, c *Records, text []byte) (body, tag string, ok bool) {
	t.Helper()
	o, _, ok := c.Store.Get(c.Hash(entry.AppendCodedKey(append([]byte{}, text...), &shorten)), nil)
	var e entry.Entry
	if !ok {
		return "", "", false
	}
	if err := e.Parse(o.Meta); err != nil {
		t.Fatal(err)
	}
	coded, err := whole(&o)
	if err != nil {
		return "", "", false // a part of it has gone
	}
	return strings.Repeat(string(coded), unit), string(e.ETag), true
}

// TestFormsAreOfTheirAnswer: whatever answers replace each other, are confirmed and encoded at the same time,
// a form is never that of another answer than the one that is stored.
func TestFormsAreOfTheirAnswer(t *testing.T) {
	c := New(16<<20, NewDurable())
	c.Coded.Store(true)
	text := []byte("key")
	k, one := c.Hash(text), &shorten
	coded := entry.AppendCodedKey([]byte("key"), one)
	e, body := version(text, 1)
	c.Keep(k, e, [][]byte{body})
	c.makeCoded(k, c.Hash(coded), coded, one)
	o, _, _ := c.Store.Get(k, nil)
	renewed := *e
	renewed.Lines = append(renewed.Lines, "X-New: 1\r\n"...)
	c.renewKept(k, &o, &renewed)
	if b, tag, ok := decodedForm(t, c, text); !ok || b != string(body) || tag != `W/"1"` {
		t.Errorf("after it was confirmed: %v, %d bytes, %s", ok, len(b), tag)
	}
	renewed.Flags = 0 // no-transform
	c.renewKept(k, &o, &renewed)
	if _, _, ok := decodedForm(t, c, text); ok {
		t.Error("a form of what is not to be transformed")
	}
	for round := range 200 {
		e, body := version(text, 2*round)
		c.Keep(k, e, [][]byte{body})
		c.makeCoded(k, c.Hash(coded), coded, one)
		var wg sync.WaitGroup
		wg.Go(func() {
			o, _, ok := c.Store.Get(k, nil)
			var e entry.Entry
			if ok && e.Parse(o.Meta) == nil {
				e.Lines = append([]byte("X-New: 1\r\n"), e.Lines...)
				c.renewKept(k, &o, &e)
			}
		})
		wg.Go(func() {
			e, body := version(text, 2*round+1)
			c.Keep(k, e, [][]byte{body})
		})
		wg.Go(func() { c.makeCoded(k, c.Hash(coded), coded, one) })
		wg.Wait()
		o, _, _ := c.Store.Get(k, nil)
		now, err := whole(&o)
		if err != nil {
			t.Fatal(err)
		}
		if b, tag, ok := decodedForm(t, c, text); ok && b != string(now) {
			t.Fatalf("round %d: the form %s is of another answer: %.12q, not %.12q", round, tag, b, now)
		}
	}
}
