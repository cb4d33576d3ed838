package entry

import (
	"bytes"
	"github.com/penstock-edge/penstock/cache/accept"
	"github.com/penstock-edge/penstock/cache/fresh"
	"github.com/penstock-edge/penstock/cache/key"
	"github.com/penstock-edge/penstock/edge"
	"slices"
	"strings"
)

// Maker makes entries of answers, as a cache is configured.
type Maker struct {
	Rules        *key.Rules
	StripCookies bool     // answers are stored without what sets cookies
	Encodes      []string // media types whose bodies get encoded forms; a * at either end stands for anything
}

// Describe reads the head of an answer, and changes in it what override says. auth reports whether the
// request had Authorization: nothing is changed then.
func (m *Maker) Describe(y *edge.Exchange, auth bool) *Description {
	d := Describe(y)
	if d.Authorization = auth; m.StripCookies && !auth {
		_, d.Lines = CutField(nil, d.Lines, "set-cookie")
		_, d.Lines = CutField(nil, d.Lines, "set-cookie2")
		d.SetCookie = false // it is not stored
	}
	return d
}

// EntryOf returns what is stored of an answer for which these options hold. It lacks key and hashes.
func (m *Maker) EntryOf(d *Description, o *fresh.Options) *Entry {
	e := &Entry{At: d.Asked, Age: max(d.InitialAge()-max(d.Came-d.Asked, 0), 0), Status: d.Status,
		Modified: d.Modified, Date: d.Date, ETag: d.ETag, Reason: d.reason, Lines: d.Lines, Search: d.Search}
	e.Lifetime, _ = d.Lifetime(o)
	e.Revive, e.Rescue = d.Stale(o)
	e.Vary = bytes.Join(m.Rules.Omitter.Varying(d.Vary), []byte{','})
	if d.Strict() {
		e.Flags |= MustRevalidate
	}
	if d.MustRevalidate || d.ProxyRevalidate {
		e.Rescue, e.Revive = 0, 0
	}
	if d.NoCache {
		e.Flags |= AlwaysAsk
	}
	if m.encodable(d) {
		e.Flags |= Encodes
		if !slices.ContainsFunc(d.Vary, accept.IsAcceptEncoding) { // else the line is there
			e.Lines = append(bytes.Clone(e.Lines), "Vary: Accept-Encoding\r\n"...)
		}
	}
	return e
}

// encodable reports whether an answer with these fields gets encoded forms.
func (m *Maker) encodable(d *Description) bool {
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

// Moves reports whether by a 304 the answer belongs under another key than the one it is stored under:
// by Vary it depends on other fields of the request, or it comes with another rule for queries. What is
// stored is not known to be for the same requests then.
func (m *Maker) Moves(d *Description, old *Entry) bool {
	names := func(list [][]byte) []byte {
		return bytes.Join(slices.DeleteFunc(slices.Clone(list), accept.IsAcceptEncoding), []byte{','})
	}
	return len(d.Vary) > 0 &&
		!bytes.Equal(names(m.Rules.Omitter.Varying(d.Vary)), names(bytes.Split(old.Vary, []byte{','}))) ||
		len(d.Search) > 0 && !bytes.Equal(d.Search, old.Search)
}
