// Package ticket makes the values of cookies that tie clients to targets, and finds the target that one
// stands for. The values of all targets are made beforehand: a request costs a search and a comparison.
package ticket

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"slices"
)

// mark begins each value; applications make none like it: a client that brings another has it from the
// application.
const mark = "~"

// Key signs tickets.
type Key []byte

// Value returns the ticket of the target at an address of a pool: an id and what proves that it was made
// here.
func (k Key) Value(pool, address string) string {
	mac := hmac.New(sha256.New, k)
	mac.Write([]byte(pool + "\x00" + address))
	return mark + base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:24])
}

// Is reports whether v looks like a ticket; whether it is a good one, List.Find says.
func Is(v []byte) bool { return bytes.HasPrefix(v, []byte(mark)) }

// List is the tickets of all targets of a pool, in order.
type List []entry

type entry struct {
	value []byte
	index int
}

// NewList returns the list of values, which are told apart by their places.
func NewList(values []string) List {
	l := make(List, len(values))
	for i, v := range values {
		l[i] = entry{[]byte(v), i}
	}
	slices.SortFunc(l, func(a, b entry) int { return bytes.Compare(a.value, b.value) })
	return l
}

// Find returns the place that v had among the values; -1: none.
func (l List) Find(v []byte) int {
	// A search by the first bytes tells a guesser no more than the others do: all must be equal.
	i, _ := slices.BinarySearchFunc(l, v, func(e entry, v []byte) int {
		return bytes.Compare(e.value[:prefix], v[:min(prefix, len(v))])
	})
	if i == len(l) || subtle.ConstantTimeCompare(l[i].value, v) != 1 {
		return -1
	}
	return l[i].index
}

// prefix is how many characters of a ticket it is found by.
const prefix = 8
