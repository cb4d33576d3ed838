package cache

import (
	"bytes"
	"github.com/penstock-edge/penstock/cache/accept"
	"github.com/penstock-edge/penstock/cache/fresh"
	"github.com/penstock-edge/penstock/cache/key"
	"github.com/penstock-edge/penstock/edge"
	"slices"
	"strings"
)

// maker makes entries of answers, as a cache is configured.
type maker struct {
	rules        *key.Rules
	StripCookies bool     // answers are stored without what sets cookies
	Encodes      []string // media types whose bodies get encoded forms; a * at either end stands for anything
}

// describe reads the head of an answer, and changes in it what override says. auth reports whether the
// request had Authorization: nothing is changed then.
func (m *maker) describe(y *edge.Exchange, auth bool) *description {
	d := describe(y)
	if d.Authorization = auth; m.StripCookies && !auth {
		_, d.lines = takeField(nil, d.lines, "set-cookie")
		_, d.lines = takeField(nil, d.lines, "set-cookie2")
		d.SetCookie = false // it is not stored
	}
	return d
}

// entryOf returns what is stored of an answer for which these options hold. It lacks key and hashes.
func (m *maker) entryOf(d *description, o *fresh.Options) *entry {
	e := &entry{at: d.Asked, age: max(d.InitialAge()-max(d.Came-d.Asked, 0), 0), status: d.Status,
		modified: d.Modified, date: d.Date, etag: d.etag, reason: d.reason, lines: d.lines, search: d.search}
	e.lifetime, _ = d.Lifetime(o)
	e.revive, e.rescue = d.Stale(o)
	e.vary = bytes.Join(m.rules.Omitter.Varying(d.vary), []byte{','})
	if d.Strict() {
		e.flags |= mustRevalidate
	}
	if d.MustRevalidate || d.ProxyRevalidate {
		e.rescue, e.revive = 0, 0
	}
	if d.NoCache {
		e.flags |= alwaysAsk
	}
	if m.encodable(d) {
		e.flags |= encodes
		if !slices.ContainsFunc(d.vary, accept.IsAcceptEncoding) { // else the line is there
			e.lines = append(bytes.Clone(e.lines), "Vary: Accept-Encoding\r\n"...)
		}
	}
	return e
}

// encodable tells that an answer with these fields gets encoded forms.
func (m *maker) encodable(d *description) bool {
	if d.Status != 200 || d.encoded || d.NoTransform {
		return false
	}
	kind, _, _ := bytes.Cut(d.kind, []byte{';'})
	kind = bytes.ToLower(bytes.TrimSpace(kind))
	return slices.ContainsFunc(m.Encodes, func(t string) bool {
		prefix, open := strings.CutSuffix(t, "*")
		suffix, ending := strings.CutPrefix(t, "*")
		switch {
		case open:
			return bytes.HasPrefix(kind, []byte(prefix))
		case ending:
			return bytes.HasSuffix(kind, []byte(suffix))
		}
		return string(kind) == t
	})
}

// moves reports whether a 304 says that the answer belongs under another key than the one it is stored under:
// by Vary it depends on other fields of the request, or it comes with another rule for queries. What is
// stored is not known to be for the same requests then.
func (m *maker) moves(d *description, old *entry) bool {
	names := func(list [][]byte) []byte {
		return bytes.Join(slices.DeleteFunc(slices.Clone(list), accept.IsAcceptEncoding), []byte{','})
	}
	return len(d.vary) > 0 &&
		!bytes.Equal(names(m.rules.Omitter.Varying(d.vary)), names(bytes.Split(old.vary, []byte{','}))) ||
		len(d.search) > 0 && !bytes.Equal(d.search, old.search)
}
